// The page's own words in the language of the browser, where the table has them; what is not in it stays English.

const CODES = ['es', 'fr', 'de', 'zh', 'hi', 'ja', 'ko', 'pt', 'ar', 'ru', 'it', 'nl'];
let known = new Map();

/** Must be called before anything is shown. English needs no table, and fetches none. */
export async function loadLabels() {
  const code = navigator.languages.map((one) => one.slice(0, 2)).find((one) => one === 'en' || CODES.includes(one)) ?? 'en';
  if (code === 'en') return;
  const { ROWS } = await import('./label-table.js').catch(() => ({})), column = CODES.indexOf(code) + 1;
  if (!ROWS) return;                              // it could not be fetched: English is better than no page
  known = new Map(ROWS.map((row) => [row[0], row[column]]));
  Object.assign(document.documentElement, { lang: code, dir: code === 'ar' ? 'rtl' : 'ltr' });
  relabel(document.body);
}

/** The label for what is `english` in the page. @param {object} [names]  what stands in braces */
export function label(english, names = {}) {
  return Object.entries(names).reduce((text, [name, value]) => text.replaceAll(`{${name}}`, value), known.get(english) ?? english);
}

/** What a language is called in the page's. @param {{code: string, name: string}} language */
export function languageName({ code, name }) {
  return known.size ? new Intl.DisplayNames([document.documentElement.lang], { type: 'language' }).of(code) : name;
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
