// Numbers, money and time as the language of the page writes them.

import { pageLanguage } from './labels.js';

export const number = (value) => new Intl.NumberFormat(pageLanguage()).format(value);

/** "$1.20", and of little the first two digits that count: "$0.0041". */
export function money(amount, currency) {
  const digits = amount === 0 || amount >= 0.1 ? {} : { maximumSignificantDigits: 2 };
  return new Intl.NumberFormat(pageLanguage(), { style: 'currency', currency, ...digits }).format(amount);
}

const time = (value, unit, unitDisplay = 'long') => new Intl.NumberFormat(pageLanguage(), { style: 'unit', unit, unitDisplay }).format(value);

export const seconds = (value) => time(value, 'second');

export const milliseconds = (value) => time(Math.round(value), 'millisecond', 'short');

/** How long something was or will be: "1 minute 5 seconds", without the seconds from 5 minutes on. @param {number} ms */
export function length(ms) {
  const all = Math.round(ms / 1000), whole = Math.floor(all / 60), rest = all % 60;
  if (!whole) return seconds(all);
  if (whole >= 5 || !rest) return time(Math.round(all / 60), 'minute');
  return new Intl.ListFormat(pageLanguage(), { type: 'unit', style: 'narrow' }).format([time(whole, 'minute'), seconds(rest)]);
}

/** How long it is until something: "in 5 hours", "in 20 minutes". @param {number} waitS */
export function waitWords(waitS) {
  const [amount, unit] = waitS >= 5400 ? [Math.round(waitS / 3600), 'hour'] : [Math.max(1, Math.round(waitS / 60)), 'minute'];
  return new Intl.RelativeTimeFormat(pageLanguage()).format(amount, unit);
}

/** "ears, mind and voice" */
export const allOf = (names) => new Intl.ListFormat(pageLanguage(), { type: 'conjunction' }).format(names);

/** "ears $0.01, mind $0.03" */
export const sideBySide = (parts) => parts.join({ zh: '，', ja: '、', ar: '، ' }[pageLanguage()] ?? ', ');
