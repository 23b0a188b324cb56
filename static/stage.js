// Puts a look (looks.js) on the page: chip, face, ring, notice, self-view, announcements.
// Every change of state passes through `show`; `frame` is for what moves by itself.

import { Face } from './face.js';
import { PERSONAS } from './face/personas.js';
import { Captions } from './captions.js';
import { PatienceRing } from './patience.js';
import { icon } from './icons.js';
import { label } from './labels.js';

const BREATH_MS = 250;
// A machine this slow needs its time for the sound: first only the mouth moves, then nothing.
const SLOW_FRAME_MS = { calm: 20, still: 40 }, SLOW_FOR_S = 2;
const $ = (id) => document.getElementById(id);

/** The interviewer's face, moving as much as this machine and person want. */
class Presence {
  constructor(host) { Object.assign(this, { host, motion: 'auto', state: 'idle', persona: '', face: null }); }

  show(persona, motion) {
    if (this.face && persona === this.persona && motion === this.motion) return;
    this.face?.destroy();
    Object.assign(this, { persona, motion });
    this.face = new Face(this.host, persona, motion === 'still' ? { still: true } : motion === 'calm' ? { reducedMotion: true } : {});
    this.face.setState(this.state);
  }

  setState(state) { this.state = state; this.face?.setState(state); }
  setViseme(shape, weight) { this.face?.setViseme(shape, weight); }
}

export class Stage {
  constructor(settings) {
    this.settings = settings;
    this.presence = new Presence($('face'));
    this.captions = new Captions($('captions'));
    this.ring = new PatienceRing($('mic'));
    this.bars = { you: [...$('your-bars').children], they: [...$('they-bars').children] };
    this.written = new Map();
    this.slow = { s: 0, frames: 0 };
    this.slowdown = null;                         // what the machine made of it: null, calm, still
  }

  /** @param {{id: string, name: string, role: string}} person */
  setPerson(person, language) {
    this.person = person;
    const { backdrop, halo } = PERSONAS[person.id] ?? PERSONAS.vera;
    document.body.style.setProperty('--backdrop', backdrop);
    document.body.style.setProperty('--halo', halo);
    $('face').setAttribute('aria-label', label('{name}, your interviewer', { name: person.name }));
    this.captions.setLanguage(language.code, language.direction);
    this.#drawFace();
  }

  /** @param {object} look  from lookOf  @param {object} model */
  show(look, model) {
    const { state } = look, { body } = document;
    const entered = body.dataset.state !== state;
    body.dataset.state = state;
    body.toggleAttribute('data-call', !['start', 'ended'].includes(state));
    body.toggleAttribute('data-mic-off', look.micOff);
    if (!body.hasAttribute('data-call')) this.presence.setState('idle');
    else this.presence.setState(look.face);
    this.#chip(look.chip, state === 'pausing' ? BREATH_MS : 0);
    this.#mute(model);
    this.#self(look.selfNote);
    this.#notice(look.notice);
    this.captions.show(model.caption, this.person?.name ?? '');
    if (model.patience !== this.patience) {
      this.patience = model.patience;
      if (this.patience) this.ring.run(this.patience.ms, this.patience.spent); else this.ring.stop();
    }
    this.#announce(look, entered);
  }

  /** Once a frame. @param {{level: number, bars: number[]}|null} you  @param {object|null} they */
  frame(you, they, dt) {
    for (const [who, heard] of [['you', you], ['they', they]]) {
      const level = heard?.level ?? 0;
      if (this.#changed(`${who}-level`, level)) document.body.style.setProperty(`--${who}-level`, level);
      this.bars[who].forEach((bar, i) => { const value = heard?.bars[i] ?? 0; if (this.#changed(`${who}-${i}`, value)) bar.style.setProperty('--bar', value); });
    }
    this.#watchPace(dt);
  }

  /** The face moves as the settings and the machine say. */
  #drawFace() {
    const wanted = this.settings.get('motion');
    const motion = wanted === 'auto' ? this.slowdown ?? 'auto' : wanted;
    this.presence.show(this.person.id, motion);
    document.body.dataset.motion = motion;
  }

  redraw() { if (this.person) this.#drawFace(); }

  #watchPace(dt) {
    if (dt > 0.25 || document.hidden || this.settings.get('motion') !== 'auto' || this.slowdown === 'still') return;   // a sleeping tab is not a slow machine
    this.slow.s += dt;
    this.slow.frames += 1;
    if (this.slow.s < SLOW_FOR_S) return;
    const frameMs = 1000 * this.slow.s / this.slow.frames;
    this.slow = { s: 0, frames: 0 };
    const next = this.slowdown === null ? 'calm' : 'still';
    if (frameMs <= SLOW_FRAME_MS[next]) return;
    this.slowdown = next;
    this.#drawFace();
  }

  /** A breath between two words is no pause to remark on: the ring runs at once, the words wait a moment. */
  #chip([strong, soft], afterMs) {
    clearTimeout(this.chipping);
    const write = () => {
      $('state').querySelector('.strong').textContent = strong;
      $('state').querySelector('small').textContent = soft && `· ${soft}`;
    };
    if (afterMs) this.chipping = setTimeout(write, afterMs); else write();
  }

  #mute({ muted, mic }) {
    if (!this.#changed('mute', `${muted} ${mic}`)) return;
    const off = muted || mic !== null;
    $('mute').setAttribute('aria-pressed', String(muted));
    $('mute').setAttribute('aria-label', label(mic ? 'Microphone is not available. Try again' : muted ? 'Unmute the microphone' : 'Mute the microphone'));
    $('mute').title = $('mute').getAttribute('aria-label');
    $('mute').querySelector('[data-icon]').innerHTML = icon(off ? 'muted' : 'mic');
  }

  #self(note) {
    $('self').toggleAttribute('data-off', Boolean(note));
    $('self-note').textContent = note;
    $('camera').setAttribute('aria-pressed', String(!note));
  }

  #notice(notice) {
    const box = $('notice');
    if (!this.#changed('notice', JSON.stringify(notice))) return;
    const before = box.dataset.id;
    box.hidden = !notice;
    box.dataset.id = notice?.id ?? '';
    if (!notice) { if (box.contains(document.activeElement)) $('main').focus(); box.replaceChildren(); return; }
    box.dataset.kind = notice.kind;
    const parts = [];
    const add = (tag, text, parent = parts) => { const element = document.createElement(tag); element.textContent = text; parent.push(element); return element; };
    if (notice.title) add('h2', notice.title);
    if (notice.text) add('p', notice.text);
    if (notice.steps) { const list = add('ol', ''); notice.steps.forEach((step) => { const item = document.createElement('li'); item.textContent = step; list.append(item); }); }
    const focused = box.contains(document.activeElement) ? document.activeElement.dataset.action : null;
    const row = add('p', '');
    row.className = 'row';
    for (const [look, text, action] of notice.actions ?? []) {
      const button = document.createElement('button');
      Object.assign(button, { type: 'button', className: look, textContent: label(text) });
      button.dataset.action = action;
      row.append(button);
    }
    box.replaceChildren(...parts);
    // The same drawer with new words keeps the focus where it was.
    if (focused && before === notice.id) row.querySelector(`[data-action="${focused}"]`)?.focus();
  }

  #announce(look, entered) {
    if (this.#changed('alarm', look.alarm)) $('alarm').textContent = look.alarm;
    if (!entered && !this.#changed('said', look.said)) return;
    this.written.set('said', look.said);
    clearTimeout(this.saying);
    // What was said stays until there is something new, or a quick change would take it back unread; the same
    // words count as new only after the region was empty.
    if (!look.said) return;
    if ($('announce').textContent === look.said) $('announce').textContent = '';
    this.saying = setTimeout(() => { $('announce').textContent = look.said; }, Math.max(60, look.saidAfterMs));
  }

  #changed(key, value) { if (this.written.get(key) === value) return false; this.written.set(key, value); return true; }
}
