// The page after the last word: what is known now, and nothing else.

import { asText, turnElement } from './transcript.js';
import { costWords } from './costs.js';
import { countWords } from './turns.js';

const $ = (id) => document.getElementById(id);

const plural = (count, one, many = `${one}s`) => `${count} ${count === 1 ? one : many}`;

/** "1 minute 5 seconds" @param {number} ms */
export function length(ms) {
  const seconds = Math.round(ms / 1000), minutes = Math.floor(seconds / 60), rest = seconds % 60;
  if (!minutes) return plural(seconds, 'second');
  return minutes >= 5 || !rest ? plural(Math.round(seconds / 60), 'minute') : `${plural(minutes, 'minute')} ${plural(rest, 'second')}`;
}

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
  $('ended-title').textContent = lastedMs < 1000 ? 'That was short.' : `That was ${length(lastedMs)}.`;
  $('ended-text').textContent = yourTurns ? `You and ${person.name} talked. This page has counted along; nothing is judged.` : `You did not get to say anything this time. ${person.name} is here whenever you are.`;
  const figures = [
    youMs >= 1000 && [length(youMs), 'you spoke, pauses included'],
    theyMs >= 1000 && [length(theyMs), `${person.name} spoke`],
    words && [String(words), `${words === 1 ? 'word' : 'words'} of yours, in ${plural(yourTurns, 'turn')}; ${person.name} had ${plural(theirTurns, 'turn')}`],
  ].filter(Boolean);
  $('glance').hidden = figures.length === 0;
  $('glance').replaceChildren(...figures.map(([value, text]) => {
    const item = document.createElement('li'), strong = document.createElement('b');
    strong.textContent = value;
    item.append(strong, ` ${text}`);
    return item;
  }));
  $('ended-costs').textContent = [m.ending === 'budget_spent' ? 'It ended because what it may cost was spent.' : '', costWords(m.costs, charged)].filter(Boolean).join(' ');
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
