// The start page, built from what the server says it can do (GET /v1/viva/about).

import { send } from './access.js';
import { allOf } from './amounts.js';
import { Face } from './face.js';
import { label, languageName } from './labels.js';
import { LogIn } from './login.js';
import { budgetWords } from './notices.js';
import { PERSONAS } from './face/personas.js';

const $ = (id) => document.getElementById(id);
const STAGES = { stt: 'Ears', llm: 'Mind', tts: 'Voice' };
const ASK_AGAIN_MS = 1000;                        // while models load
const GONE_MS = 3000;                             // while the server does not answer
const SPENT_MS = 60_000;                          // while it may spend nothing

function make(tag, className, text) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text !== undefined) element.textContent = text;
  return element;
}

const option = (value, text, language) => Object.assign(make('option', '', text), { value }, language);

export class StartPage {
  /** @param {Settings} settings  @param {() => void} onAbout  called whenever more is known */
  constructor(settings, onAbout) {
    Object.assign(this, { settings, onAbout, about: null, locked: false });
    this.logIn = new LogIn(() => this.load());
  }

  /** Asks the server until everything is ready; a newer round ends an older one. */
  async load() {
    const round = this.round = (this.round ?? 0) + 1;
    while (round === this.round) {
      const about = await this.#ask();
      if (round !== this.round) return;
      if (this.locked) { this.logIn.show(); return; }
      if (about) this.logIn.hide();
      if (about) this.#show(about);
      const wrong = !about ? label('The server does not answer. The page tries again every few seconds.') : about.limits?.no_budget_s ? budgetWords(about.limits.no_budget_s) : '';
      $('server-gone').hidden = !wrong;
      $('server-gone').textContent = wrong;
      this.#button();
      const spent = Boolean(about?.limits?.no_budget_s);
      if (about && !spent && (about.ready || !about.providers.some((one) => !one.ready && !one.error))) return;
      await new Promise((done) => { setTimeout(done, spent ? SPENT_MS : about ? ASK_AGAIN_MS : GONE_MS); });
    }
  }

  stop() { this.round = (this.round ?? 0) + 1; }

  /** What was chosen, as whole entries of `about`. */
  get chosen() {
    const { about, settings } = this;
    const by = (list, id) => list.find((one) => (one.id ?? one.code) === id);
    const defaults = about.defaults ?? {};
    const mode = by(about.modes, settings.get('mode')) ?? by(about.modes, defaults.mode) ?? about.modes[0];
    const persona = by(about.personas, settings.get('persona')) ?? by(about.personas, settings.get('mode') ? '' : defaults.persona) ?? by(about.personas, mode.persona) ?? about.personas[0];
    const language = by(about.languages, settings.get('language')) ?? by(about.languages, this.#browserLanguage()) ?? about.languages[0];
    const topic = mode.id === 'interview' && !this.#general(mode, language) ? by(about.topics, settings.get('topic')) ?? by(about.topics, defaults.topic) ?? about.topics[0] ?? null : null;
    return { mode, persona, language, topic };
  }

  async #ask() {
    try {
      const response = await send('/v1/viva/about', { cache: 'no-store' });
      this.locked = response.status === 401;
      return response.ok ? await response.json() : null;
    } catch {
      return null;
    }
  }

  #browserLanguage() {
    const own = navigator.language.slice(0, 2);
    return this.about.languages.find(({ code, ears }) => code === own && ears)?.code ?? this.about.defaults?.language ?? 'en';
  }

  #show(about) {
    const first = this.about === null;
    this.about = about;
    if (first) this.#build();
    this.#engines();
    this.refresh();
    this.onAbout();
  }

  #build() {
    const { about, settings } = this;
    $('modes').replaceChildren(...about.modes.map((mode) => {
      const card = make('label', 'card'), text = make('span', 'card-in');
      text.append(make('b', '', label(mode.title)), make('span', '', label(mode.summary)));
      card.append(this.#radio('mode', mode.id), text);
      return card;
    }));
    $('people').replaceChildren(...about.personas.map((person) => this.#portrait(person)));
    $('language').replaceChildren(...about.languages.map((one) => {
      const { code, own, direction } = one, name = languageName(one);
      return option(code, own === name ? own : `${own} (${name})`, { lang: code, dir: direction });
    }));
    $('topic').replaceChildren(...about.topics.map(({ id, title }) => option(id, label(title))));
    for (const name of ['language', 'topic']) $(name).addEventListener('change', ({ target }) => { settings.set(name, target.value); this.refresh(); });
    $('start').addEventListener('change', ({ target }) => {
      if (target.name === 'mode') { settings.set('mode', target.value); settings.set('persona', ''); }     // each mode has its own person, until one is chosen
      if (target.name === 'persona') settings.set('persona', target.value);
      if (target.name) this.refresh();
    });
  }

  #radio(name, value) { return Object.assign(document.createElement('input'), { type: 'radio', name, value }); }

  #portrait(person) {
    const card = make('label', 'person'), text = make('span', 'person-in'), picture = make('span', 'person-pic'), face = make('span', 'face');
    card.style.setProperty('--backdrop', (PERSONAS[person.id] ?? PERSONAS.vera).backdrop);
    face.dataset.still = '';
    picture.append(face);
    text.append(picture, make('span', 'person-name', person.name), make('span', 'person-role', label(person.role)));
    card.append(this.#radio('persona', person.id), text);
    requestAnimationFrame(() => new Face(face, person.id, { still: true }));
    return card;
  }

  /** The question bank of the mind that is no language model is English. */
  #general(mode, language) {
    const { name, chain } = this.about.providers.find(({ stage }) => stage === 'llm') ?? {};
    return mode.id === 'interview' && language.code !== 'en' && name === 'scripted' && !chain?.length;
  }

  /** Puts the choices on the page. */
  refresh() {
    if (!this.about) return;
    const { mode, persona, language, topic } = this.chosen;
    const check = (name, value) => { for (const input of document.querySelectorAll(`#start input[name="${name}"]`)) input.checked = input.value === value; };
    check('mode', mode.id);
    check('persona', persona.id);
    $('language').value = language.code;
    $('topic-pick').hidden = topic === null;
    if (topic) $('topic').value = topic.id;
    const general = this.#general(mode, language);
    const missing = [
      language.ears ? '' : label('Nothing on this server understands spoken {language} yet: you will hear {name} and type your answers.', { language: languageName(language), name: persona.name }),
      language.voice ? '' : label('No voice on this server speaks {language} yet: you will read the answers.', { language: languageName(language) }),
      general ? label('In {language} the scripted interviewer asks six general questions and does not judge the answers: its question bank is English.', { language: languageName(language) }) : '',
    ].filter(Boolean).join(' '), add = language.add ?? [];
    $('language-note').hidden = !missing;
    $('language-note').querySelector('p').textContent = missing;
    $('language-note').querySelector('details').hidden = !add.length;
    $('language-note').querySelector('ul').replaceChildren(...add.map((line) => make('li', '', line)));
    this.#button();
  }

  #engines() {
    const { providers } = this.about;
    const list = $('engines').querySelector('dl');
    list.replaceChildren(...providers.flatMap((one) => {
      const what = make('dd'), [first = one, ...others] = one.chain ?? [], error = one.error ?? first.error;
      what.append(make('b', '', first.name), first.detail ? ` ${first.detail}` : '');
      if (error || !one.ready) what.append(' ', make('span', error ? 'bad' : 'loading', error ? label('Not working: {error}', { error }) : label('Loading…')));
      if (others.length) what.append(make('span', 'next', others.map(({ name, error: wrong }, place) => label(place ? 'then {name}' : 'If it fails: {name}', { name: wrong ? label('{name} (not working: {error})', { name, error: wrong }) : name })).join(', ')));
      return [make('dt', '', label(STAGES[one.stage] ?? one.stage)), what];
    }));
    $('engines').querySelector('ul').replaceChildren(...providers.flatMap((one) => [
      make('li', '', `${label(STAGES[one.stage] ?? one.stage)}: ${one.why}`),
      ...(one.better ? [make('li', 'better', label('Better would be {better}', { better: one.better }))] : []),
    ]));
  }

  #button() {
    const loading = this.about?.providers.filter((one) => !one.ready && !one.error) ?? [];
    const spent = Boolean(this.about?.limits?.no_budget_s), stuck = !this.about || !$('server-gone').hidden;
    $('go').disabled = stuck || loading.length > 0;
    $('go').textContent = spent ? label('Closed until midnight UTC') : stuck ? label('Waiting for the server') : loading.length ? label('Getting the {parts} ready…', { parts: allOf(loading.map((one) => label((STAGES[one.stage] ?? one.stage).toLowerCase()))) }) : label('Start talking');
  }
}
