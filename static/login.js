// The log-in form, in place of the start page. Shown when the server asks for a key, and when a secret has run out.

import { forget, logIn, secret } from './access.js';
import { label } from './labels.js';

const $ = (id) => document.getElementById(id);

export class LogIn {
  /** @param {() => void} onOpen  called when the server has let the page in */
  constructor(onOpen) {
    $('log-in').addEventListener('submit', (event) => { event.preventDefault(); this.#try(onOpen); });
    $('log-out').addEventListener('click', () => { forget(); location.reload(); });
  }

  show() {
    const had = secret() !== '';
    forget();
    this.#say(had ? label('Your log-in has run out. Please log in again.') : '');
    this.#swap(true);
    $('key').focus();
  }

  hide() {
    if (!$('log-in').hidden) this.#swap(false);
    $('log-out').hidden = !secret();
  }

  async #try(onOpen) {
    const key = $('key').value.trim();
    if (!key) { this.#say(label('Enter the key first.')); $('key').focus(); return; }
    $('enter').disabled = true;
    const wrong = /^[\x21-\x7e]+$/.test(key) ? await logIn(key) : label('A key has no spaces and no special letters. Check that only the key was copied.');
    $('enter').disabled = false;
    this.#say(wrong);
    if (wrong) { $('key').select(); return; }
    $('key').value = '';
    onOpen();
  }

  #swap(asked) { $('log-in').hidden = !asked; $('start').hidden = asked; }

  #say(text) {
    $('key-wrong').hidden = !text;
    $('key-wrong').textContent = text;
    $('key').setAttribute('aria-invalid', String(text !== ''));
  }
}
