// How each answer came about: one bar a turn from the server's figures (viva.turn_metrics), raw.
// They are milliseconds since the person's last sound.

import { milliseconds } from './amounts.js';
import { label } from './labels.js';

const LABELS = { patience_ms: 'patience', final_ms: 'words final', first_token_ms: 'first word thought', first_audio_ms: 'first sound made', released_ms: 'released', first_sent_ms: 'first sound sent' };
const called = (name) => label(LABELS[name] ?? name.replace(/_ms$/, '').replaceAll('_', ' '));

/** [name, ms] of one turn, earliest first. @param {object} metrics  one viva.turn_metrics event */
export function figuresOf(metrics) {
  const flat = { ...metrics, ...(metrics.figures ?? {}) };
  return Object.entries(flat).filter(([name, value]) => name.endsWith('_ms') && Number.isFinite(value) && value >= 0).sort((a, b) => a[1] - b[1]);
}

/** @param {HTMLDetailsElement} host  @param {object[]} measured */
export function showTimings(host, measured) {
  const rows = measured.map(figuresOf).filter((figures) => figures.length);
  host.hidden = rows.length === 0;
  if (host.hidden || host.dataset.rows === String(rows.length)) return;
  host.dataset.rows = rows.length;
  const longest = Math.max(...rows.map((figures) => figures.at(-1)[1]), 1);
  host.querySelector('ol').replaceChildren(...rows.map((figures) => {
    const item = document.createElement('li'), bar = document.createElement('span'), words = document.createElement('span');
    bar.className = 'timing-bar';
    for (const [name, ms] of figures) {
      const mark = document.createElement('i');
      mark.style.setProperty('--at', ms / longest);
      mark.title = `${called(name)}: ${milliseconds(ms)}`;
      bar.append(mark);
    }
    bar.style.setProperty('--end', figures.at(-1)[1] / longest);
    bar.setAttribute('aria-hidden', 'true');
    words.textContent = figures.map(([name, ms]) => `${called(name)} ${milliseconds(ms)}`).join(' · ');
    item.append(bar, words);
    return item;
  }));
}
