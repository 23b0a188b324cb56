// The page's own words in the language of the person, where the table has them; what is not in it stays English, as
// does what the server says in its own words. Whole sentences are looked up: no language orders its parts as another.

const CODES = ['es', 'fr', 'de', 'zh', 'hi', 'ja', 'ko', 'pt', 'ar', 'ru', 'it', 'nl'];
export const PAGE_LANGUAGES = Object.freeze(['en', ...CODES]);
let known = new Map();

/** The language that the page is in, and its numbers. */
export const pageLanguage = () => document.documentElement.lang;

/**
 * Must be called before anything is shown. English needs no table, and fetches none.
 * @param {string} chosen  one of PAGE_LANGUAGES; '': the browser's
 */
export async function loadLabels(chosen) {
  const code = [chosen, ...navigator.languages.map((one) => one.slice(0, 2))].find((one) => PAGE_LANGUAGES.includes(one)) ?? 'en';
  if (code === 'en') return;
  const { ROWS } = await import('./label-table.js').catch(() => ({})), column = CODES.indexOf(code) + 1;
  if (!ROWS) return;                              // it could not be fetched: English is better than no page
  known = new Map(ROWS.map((row) => [row[0], row[column]]));
  Object.assign(document.documentElement, { lang: code, dir: code === 'ar' ? 'rtl' : 'ltr' });
  document.title = label(document.title);
  relabel(document.body);
}

/** Each name keeps its own direction: an Arabic sentence is not turned about by a Latin one (UAX #9, isolates). */
const isolated = (name) => (document.documentElement.dir === 'rtl' ? `\u2068${name}\u2069` : name);

const fill = (text, names) => text.replace(/{(\w+)}/g, (braces, name) => (name in names ? isolated(names[name]) : braces));

/** The label for what is `english` in the page. @param {object} [names]  what stands in braces */
export const label = (english, names = {}) => fill(known.get(english) ?? english, names);

/**
 * The form of a label that goes with a number, which stands in it as {count}.
 * @param {string} english  'one: {count} turn | other: {count} turns': the plural categories that the language has
 */
export function counted(english, count, names = {}) {
  const forms = Object.fromEntries(label(english).split(' | ').map((form) => form.match(/^(\w+): (.*)$/).slice(1)));
  const form = forms[new Intl.PluralRules(pageLanguage()).select(count)] ?? forms.other;
  return fill(form, { count: new Intl.NumberFormat(pageLanguage()).format(count), ...names });
}

/** Sentences behind each other; empty ones are left out. */
export const inOne = (...sentences) => sentences.filter(Boolean).join(['zh', 'ja'].includes(pageLanguage()) ? '' : ' ');

/** What a language is called in the page's. @param {{code: string, name: string}} language */
export function languageName({ code, name }) {
  return known.size ? new Intl.DisplayNames([pageLanguage()], { type: 'language' }).of(code) : name;
}

function relabel(root) {
  const texts = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
  for (let text = texts.nextNode(); text; text = texts.nextNode()) {
    const english = text.data.trim();
    if (known.has(english)) text.data = text.data.replace(english, known.get(english));
  }
  for (const name of ['aria-label', 'placeholder']) {
    for (const element of root.querySelectorAll(`[${name}]`)) element.setAttribute(name, label(element.getAttribute(name)));
  }
}
