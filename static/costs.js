// What a conversation has cost, in words. From `viva.costs`; the prices are the server's, and an estimate.

const PARTS = { stt: 'ears', llm: 'mind', tts: 'voice' };

/** "$1.20", and of little the first two digits that count: "$0.0041". */
export function money(amount, currency) {
  const digits = amount === 0 || amount >= 0.1 ? {} : { maximumSignificantDigits: 2 };
  return new Intl.NumberFormat('en', { style: 'currency', currency, ...digits }).format(amount);
}

const list = (words) => new Intl.ListFormat('en', { type: 'conjunction' }).format(words);

/** What each part of it had: "ears $0.01, mind $0.03". */
function shares({ used, currency }) {
  return Object.entries(PARTS).flatMap(([stage, name]) => {
    const sum = used.reduce((all, one) => all + (one.stage === stage ? one.money ?? 0 : 0), 0);
    return sum > 0 ? [`${name} ${money(sum, currency)}`] : [];
  }).join(', ');
}

/**
 * @param {object|null} costs  of viva.costs; null: the server told of none
 * @param {boolean} charged  somebody is asked who may send a bill
 * @returns {string}  for the page after the last word; '': nothing is known
 */
export function costWords(costs, charged) {
  if (costs === null) return charged ? '' : 'It cost nothing: all of it ran on the server itself.';
  const { money: sum, wasted, currency, not_priced: unknown } = costs;
  const open = unknown.length ? `no price is set here for ${list(unknown)}` : '';
  if (!sum) return open ? `What it cost is not known: ${open}.` : 'It cost nothing: no vendor was asked.';
  const cost = `It cost about ${money(sum, currency)}: ${shares(costs)}${open && `, and more that is not known, as ${open}`}.`;
  return wasted >= sum / 20 ? `${cost} Of that, ${money(wasted, currency)} went into answers that were not needed, as you went on speaking.` : cost;
}

/** "in 5 hours", until a budget is filled again. @param {number} seconds */
export function waitWords(seconds) {
  const [amount, unit] = seconds >= 5400 ? [Math.round(seconds / 3600), 'hour'] : [Math.max(1, Math.round(seconds / 60)), 'minute'];
  return new Intl.RelativeTimeFormat('en').format(amount, unit);
}
