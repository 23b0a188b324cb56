// The transcript as a list, and what each event does to it. Pure: a list in, a list out.
// A turn: { id, who: 'you' | 'they' | 'note', text, tail, live, cut }. `tail` follows `text` as it is
// (with its space, where the language has spaces) and may still change; `live` while words are coming;
// `cut` when the rest was never said.

const blank = (id, who) => ({ id, who, text: '', tail: '', live: true, cut: false });

/** What an item of the Realtime protocol says, or null where its words are not known yet. */
export function textOf(item) {
  const words = (item.content ?? []).map((part) => part.text ?? part.transcript ?? null).filter((text) => text !== null);
  return words.length ? words.join('').trim() : null;
}

/** Changes the turn `id`, or adds it at the end. */
export function put(turns, id, who, change) {
  const known = turns.some((turn) => turn.id === id);
  const list = known ? turns : [...turns, blank(id, who)];
  return list.map((turn) => (turn.id === id ? { ...turn, ...change(turn) } : turn));
}

/** conversation.item.added: `after` is null for the front of this call's part, undefined or unknown for the end. */
export function place(turns, item, after) {
  if (item.type !== 'message' || item.role === 'system') return turns;
  const who = item.role === 'user' ? 'you' : 'they';
  const turn = turns.find((one) => one.id === item.id) ?? blank(item.id, who);
  const others = turns.filter((one) => one.id !== item.id);
  const before = others.findIndex((one) => one.id === after);
  const index = after === null ? others.findLastIndex((one) => one.who === 'note') + 1 : before >= 0 ? before + 1 : others.length;
  return [...others.slice(0, index), { ...turn, text: textOf(item) ?? turn.text }, ...others.slice(index)];
}

export const remove = (turns, id) => turns.filter((turn) => turn.id !== id);

/** Everything that was still open when the connection went is closed; a line says what happened. */
export function breakOff(turns, id, text) {
  if (!turns.length) return turns;
  const closed = turns.map((turn) => (turn.live ? { ...turn, text: (turn.text + turn.tail).trim(), tail: '', live: false } : turn));
  return [...closed.filter((turn) => turn.text), { id, who: 'note', text, tail: '', live: false, cut: false }];
}

/**
 * What a person said, as one would write it: some recognisers know no capitals.
 * @param {string} text  @param {string} language  @param {boolean} [begins]  it is the beginning of what was said
 */
export function asWritten(text, language, begins = true) {
  if (language !== 'en' || text !== text.toLowerCase()) return text;
  const written = text.replace(/(?<![\p{L}\p{N}'’])i(?![\p{L}\p{N}])/gu, 'I');
  return begins ? written.replace(/^\s*\p{L}/u, (first) => first.toUpperCase()) : written;
}

/**
 * Which way a text runs: as most of its letters do, for an Arabic answer may begin with "API".
 * @param {string} text  @param {string} usual  of a text without letters: 'ltr' or 'rtl'
 */
export function directionOf(text, usual) {
  const all = text.match(/\p{L}/gu)?.length ?? 0, leftwards = text.match(/(?=\p{L})[\p{Script=Arabic}\p{Script=Hebrew}]/gu)?.length ?? 0;
  return all ? 2 * leftwards > all ? 'rtl' : 'ltr' : usual;
}

/** Words in `text`, in any script. */
export function countWords(text, language = 'en') {
  let words = 0;
  for (const part of new Intl.Segmenter(language, { granularity: 'word' }).segment(text)) words += part.isWordLike ? 1 : 0;
  return words;
}
