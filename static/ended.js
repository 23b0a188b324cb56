// The page after the last word: what is known now, and nothing else.

import { length, number } from './amounts.js';
import { asText, turnElement } from './transcript.js';
import { costWords } from './costs.js';
import { counted, inOne, label } from './labels.js';
import { countWords } from './turns.js';

const $ = (id) => document.getElementById(id);

/** Counted in the page from what passed through it. @param {object} m  the model */
export function figuresOf(m, language) {
  const of = (who) => m.turns.filter((turn) => turn.who === who && turn.text);
  return { lastedMs: m.lasted, youMs: Object.values(m.speech).reduce((sum, { from, to }) => sum + to - from, 0), theyMs: m.theySpoke, yourTurns: of('you').length, theirTurns: of('they').length,
    words: of('you').reduce((sum, turn) => sum + countWords(turn.text, language), 0) };
}

/**
 * @param {object} m  @param {{name: string}} person  @param {{code: string, direction: string}} language
 * @param {boolean} charged  somebody is asked here who may send a bill
 */
export function showEnded(m, person, language, charged) {
  const { lastedMs, youMs, theyMs, yourTurns, theirTurns, words } = figuresOf(m, language.code);
  const turns = (count) => counted('one: {count} turn | other: {count} turns', count), { name } = person;
  $('ended-title').textContent = lastedMs < 1000 ? label('That was short.') : label('That was {time}.', { time: length(lastedMs) });
  $('ended-text').textContent = label(yourTurns ? 'You and {name} talked. This page has counted along; nothing is judged.' : 'You did not get to say anything this time. {name} is here whenever you are.', { name });
  const figures = [
    youMs >= 1000 && [length(youMs), label('you spoke, pauses included')],
    theyMs >= 1000 && [length(theyMs), label('{name} spoke', { name })],
    words && [number(words), counted('one: word of yours, in {yours}; {name} had {theirs} | other: words of yours, in {yours}; {name} had {theirs}', words, { name, yours: turns(yourTurns), theirs: turns(theirTurns) })],
  ].filter(Boolean);
  $('glance').hidden = figures.length === 0;
  $('glance').replaceChildren(...figures.map(([value, text]) => {
    const item = document.createElement('li'), strong = document.createElement('b');
    strong.textContent = value;
    item.append(strong, ` ${text}`);
    return item;
  }));
  $('ended-costs').textContent = inOne(m.ending === 'budget_spent' && label('It ended because what it may cost was spent.'), costWords(m.costs, charged));
  $('ended-log').hidden = $('keep').hidden = !m.turns.some((turn) => turn.text);
  $('ended-turns').replaceChildren(...m.turns.filter((turn) => turn.text).map((turn) => turnElement(turn, person.name, language)));
  $('ended-title').focus();
}

/** Saves the conversation as a text file. */
export function keepTranscript(m, person, language) {
  const link = document.createElement('a');
  link.href = URL.createObjectURL(new Blob([`${asText(m.turns, person.name, language.code)}\n`], { type: 'text/plain' }));
  link.download = `viva-${new Date().toISOString().slice(0, 10)}.txt`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}
