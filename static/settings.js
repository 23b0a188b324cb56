// What a person chose, kept in this browser, and the dialog where they choose it.

import { number } from './amounts.js';
import { label, PAGE_LANGUAGES } from './labels.js';

const KEY = 'viva.settings';
const DEFAULTS = Object.freeze({
  theme: 'auto', layout: 'talk', captions: true, captionSize: 1, singleKeys: true, patience: 1, readAloud: false, motion: 'auto', panel: true,
  pageLanguage: '', mode: '', persona: '', language: '', topic: '', microphone: '', camera: true,
});

function stored() {
  try {
    const saved = JSON.parse(localStorage.getItem(KEY)) ?? {};
    // A kind that changed between versions is not taken over.
    return Object.fromEntries(Object.entries(saved).filter(([key, value]) => typeof value === typeof DEFAULTS[key]));
  } catch {
    return {};                                    // storage is blocked or was edited: the page still works
  }
}

export class Settings extends EventTarget {
  constructor() { super(); this.values = { ...DEFAULTS, ...stored() }; }

  get(name) { return this.values[name]; }

  set(name, value) {
    if (this.values[name] === value) return;
    this.values[name] = value;
    try { localStorage.setItem(KEY, JSON.stringify(this.values)); } catch { /* kept for this visit only */ }
    this.dispatchEvent(new CustomEvent('change', { detail: { name, value } }));
  }
}

/** Fills in the dialog's inputs (each has `name` = a setting) and keeps both in step. */
export function bindDialog(dialog, settings) {
  const form = dialog.querySelector('form');
  form.elements.pageLanguage.append(...PAGE_LANGUAGES.map(languageOption));
  const fill = () => {
    for (const input of form.querySelectorAll('[name]')) {
      const value = settings.get(input.name);
      if (input.type === 'checkbox') input.checked = value;
      else if (input.type === 'radio') input.checked = input.value === String(value);
      else input.value = value;
    }
    form.querySelector('#patience-text').textContent = patienceText(settings.get('patience'));
  };
  form.addEventListener('input', ({ target }) => {
    if (!target.name) return;
    settings.set(target.name, target.type === 'checkbox' ? target.checked : typeof DEFAULTS[target.name] === 'number' ? Number(target.value) : target.value);
    fill();
  });
  settings.addEventListener('change', fill);
  dialog.addEventListener('click', (event) => { if (event.target === dialog) dialog.close(); });
  fill();
}

/** By its own name, for whoever cannot read the page. */
const languageOption = (code) => Object.assign(new Option(new Intl.DisplayNames([code], { type: 'language' }).of(code), code), { lang: code });

function patienceText(times) {
  if (times === 1) return label('Waits as long as the conversation asks for');
  return label(times < 1 ? 'Answers sooner (× {times})' : 'Waits longer (× {times})', { times: number(times) });
}
