// The panel with the conversation: one line a turn, kept in step with the list in the model.

import { label } from './labels.js';
import { asWritten, directionOf } from './turns.js';

export class Transcript {
  constructor({ log, list, empty }) { Object.assign(this, { log, list, empty, lines: new Map(), last: null }); }

  setLanguage(code, direction) { Object.assign(this, { code, direction }); }

  /** @param {object[]} turns  as in turns.js  @param {string} name  the interviewer's */
  show(turns, name) {
    if (turns === this.last) return;
    this.last = turns;
    // Someone who scrolled up to read is left there.
    const atEnd = this.log.scrollHeight - this.log.scrollTop - this.log.clientHeight < 48;
    const shown = turns.filter((turn) => turn.text || turn.tail);
    const kept = new Set(shown.map((turn) => turn.id));
    for (const [id, line] of this.lines) if (!kept.has(id)) { line.element.remove(); this.lines.delete(id); }
    shown.forEach((turn, i) => {
      const line = this.lines.get(turn.id) ?? this.#newLine(turn, name);
      if (this.list.children[i] !== line.element) this.list.insertBefore(line.element, this.list.children[i] ?? null);
      if (line.turn !== turn) this.#write(line, turn);
    });
    this.empty.hidden = shown.length > 0;
    if (atEnd) this.log.scrollTop = this.log.scrollHeight;
  }

  #newLine(turn, name) {
    const line = { element: turnElement(turn, name, this), turn: null };
    this.lines.set(turn.id, line);
    return line;
  }

  #write(line, turn) {
    line.turn = turn;
    writeTurn(line.element, turn, this);
  }
}

/** One turn as a list item. @param {{code: string, direction: string}} language */
export function turnElement(turn, name, { code, direction }) {
  const element = document.createElement('li');
  element.dataset.who = turn.who;
  const words = document.createElement('span'), said = document.createElement('span'), tail = document.createElement('span');
  words.className = 'words';
  said.className = 'said';
  tail.className = 'tail';
  if (turn.who !== 'note') {
    const who = document.createElement('b');
    who.textContent = turn.who === 'you' ? label('You') : name;
    element.append(who);
    words.lang = code;
  }
  words.append(said, tail);
  element.append(words);
  writeTurn(element, turn, { code, direction });
  return element;
}

/** The words of a turn and what of them may still change, as they are shown. */
export const wordsOf = ({ who, text, tail = '' }, code) => (who === 'you' ? [asWritten(text, code), asWritten(tail, code, !text)] : [text, tail]);

function writeTurn(element, turn, { code, direction }) {
  const [said, tail] = wordsOf(turn, code);
  if (turn.who !== 'note') element.dir = directionOf(said + tail, direction);
  element.querySelector('.said').textContent = said;
  element.querySelector('.tail').textContent = tail;
  mark(element, turn);
  if (!turn.cut || element.querySelector('.cut')) return;
  const cut = document.createElement('small');
  cut.className = 'cut';
  cut.textContent = ` ${label('You broke in here.')}`;
  element.append(cut);
}

/** What was lost with the line is underlined: it was not heard, and can be read. */
function mark(element, { text, unheard }) {
  if (!unheard || element.querySelector('.unheard') || !text.endsWith(unheard)) return;
  const said = element.querySelector('.said'), missed = document.createElement('em'), why = document.createElement('small');
  said.textContent = text.slice(0, -unheard.length);
  missed.className = 'unheard';
  missed.textContent = unheard;
  why.className = 'cut';
  why.textContent = ` ${label('The end was not heard: the line was gone.')}`;
  said.append(missed);
  element.append(why);
}

/** The conversation as plain text, to keep. */
export const asText = (turns, name, code) => turns.filter((turn) => turn.text)
  .map((turn) => (turn.who === 'note' ? `[${turn.text}]` : `${turn.who === 'you' ? label('You') : name}: ${wordsOf(turn, code)[0]}${turn.cut ? ` [${label('interrupted')}]` : ''}`)).join('\n\n');
