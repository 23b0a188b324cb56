// What a conversation has cost, in words. From `viva.costs`; the prices are the server's, and an estimate.

import { allOf, money, sideBySide } from './amounts.js';
import { inOne, label } from './labels.js';

const PARTS = { stt: 'ears', llm: 'mind', tts: 'voice' };

/** What each part of it had: "ears $0.01, mind $0.03". */
function shares({ used, currency }) {
  return sideBySide(Object.entries(PARTS).flatMap(([stage, name]) => {
    const sum = used.reduce((all, one) => all + (one.stage === stage ? one.money ?? 0 : 0), 0);
    return sum > 0 ? [`${label(name)} ${money(sum, currency)}`] : [];
  }));
}

/**
 * @param {object|null} costs  of viva.costs; null: the server told of none
 * @param {boolean} charged  somebody is asked who may send a bill
 * @returns {string}  for the page after the last word; '': nothing is known
 */
export function costWords(costs, charged) {
  if (costs === null) return charged ? '' : label('It cost nothing: all of it ran on the server itself.');
  const { money: sum, wasted, currency, not_priced: unknown } = costs, providers = allOf(unknown);
  if (!sum) return unknown.length ? label('What it cost is not known: no price is set here for {providers}.', { providers }) : label('It cost nothing: no vendor was asked.');
  const cost = { money: money(sum, currency), shares: shares(costs), providers };
  return inOne(
    unknown.length ? label('It cost about {money}: {shares}, and more that is not known, as no price is set here for {providers}.', cost) : label('It cost about {money}: {shares}.', cost),
    wasted >= sum / 20 ? label('Of that, {money} went into answers that were not needed, as you went on speaking.', { money: money(wasted, currency) }) : '');
}
