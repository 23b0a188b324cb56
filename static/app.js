// The wiring: events of the call and of the page go through one reducer (states.js), and what comes
// out is shown. Nothing here decides how a state looks or what an event means.

import * as resume from './resume.js';
import { knock } from './call.js';
import { isOver, reduce, START } from './states.js';
import { lookOf } from './looks.js';
import { cameraWords } from './notices.js';
import { Stage } from './stage.js';
import { Transcript } from './transcript.js';
import { Levels } from './levels.js';
import { Voice } from './voice.js';
import { StartPage } from './start.js';
import { DeviceCheck } from './check.js';
import { Settings, bindDialog } from './settings.js';
import { showTimings } from './timings.js';
import { showEnded } from './ended.js';
import { Face } from './face.js';
import { bindControls } from './controls.js';
import { placeIcons } from './icons.js';
import { label, languageName } from './labels.js';

const LAST_WORD_MS = 700;                         // jitter buffer and loudspeaker, after the server's last sample
const LAST_WORD_LIMIT_MS = 30_000;
const NOTE_MS = 9000;
const NO_UDP = ['timeout', 'offline'];            // WebRTC found no way; pages may have one
const RETRIES = 5;
const KNOCK_MS = 200;                             // between two knocks at a server that cannot be reached
const retryMs = (attempt) => (attempt === 1 ? 150 : 1000 * 2 ** (attempt - 2)) * (0.75 + 0.5 * Math.random());   // jitter: not all clients at once
const $ = (id) => document.getElementById(id);

export class App {
  /** @param {object} parts  Call, SocketCall: the classes of a call; devices: microphone and camera */
  constructor({ Call, SocketCall, devices }) {
    Object.assign(this, { Call, SocketCall, devices, bySocket: false, model: START, call: null, voice: null, mine: null, timers: {} });
    this.settings = new Settings();
    this.speaks = this.settings.get('pageLanguage');
    this.stage = new Stage(this.settings);
    this.transcript = new Transcript({ log: $('log'), list: $('turns'), empty: $('no-turns') });
    this.startPage = new StartPage(this.settings, () => this.#choose());
    this.check = new DeviceCheck(this.settings, devices, () => this.context);
  }

  start() {
    placeIcons();
    bindDialog($('settings'), this.settings);
    $('settings').addEventListener('close', () => { if (this.model.link === 'none') this.#speakAnother(); });
    bindControls(this);
    this.settings.addEventListener('change', ({ detail }) => this.#applySetting(detail.name));
    for (const name of ['theme', 'layout', 'captions', 'captionSize', 'readAloud', 'panel']) this.#applySetting(name);
    addEventListener('online', () => { if (this.model.link === 'lost') this.redial(); });
    this.#load();
    this.frame = this.frame.bind(this);
    requestAnimationFrame(this.frame);
  }

  /** The start page; or, where it was left in mid-conversation and is back in time, that conversation. */
  async #load() {
    const goesOn = resume.cameBack() && resume.token();
    if (!goesOn) this.check.begin();
    await this.startPage.load();
    if (!goesOn || this.model.link !== 'none') return;
    this.#choose();
    await this.#dial(1);
  }

  /** One for the page; browsers let it run after the first click. */
  get context() {
    this.audio ??= new AudioContext({ latencyHint: 'interactive' });
    if (this.audio.state === 'suspended') this.audio.resume();
    return this.audio;
  }

  dispatch(event) {
    const before = this.model;
    this.model = reduce(before, event, performance.now());
    if (this.model === before) return;
    const name = this.person?.name ?? '';
    this.stage.show(lookOf(this.model, name), this.model);
    this.transcript.show(this.model.turns, name);
    if (this.model.measured !== before.measured) showTimings($('timings'), this.model.measured);
    if (this.model.note !== before.note && this.model.note) this.#forgetNote(this.model.note);
    if (isOver(this.model)) this.timers.end ??= setTimeout(() => this.leave(), LAST_WORD_MS);
    else if (this.model.ending && !before.ending) this.timers.limit = setTimeout(() => this.leave(), LAST_WORD_LIMIT_MS);
  }

  /** From the start page, or again from the beginning: a new conversation. */
  async begin() {
    this.startPage.stop();
    this.#choose();
    this.#drop();
    this.bySocket = false;
    this.dispatch({ type: 'page.start' });
    await this.#dial(0);
  }

  /** The person hangs up, or the conversation has come to its end. */
  leave() {
    if (!['connecting', 'up', 'lost'].includes(this.model.link)) return;
    const talked = this.model.upSince !== null || this.model.turns.length > 0;
    this.#drop();
    this.dispatch({ type: talked ? 'page.ended' : 'page.start' });
    this.check.close();
    if (!talked) { this.home(); return; }
    this.goodbye?.destroy();
    this.goodbye = new Face($('goodbye'), this.person.id);
    this.goodbye.setExpression('pleased');
    showEnded(this.model, this.person, this.language, this.startPage.about.providers.some(({ charged }) => charged));
  }

  home() {
    this.goodbye?.destroy();
    this.goodbye = null;
    this.dispatch({ type: 'page.start' });
    if (this.#speakAnother()) return;
    this.startPage.load();
    this.check.begin();
    $('main').focus();
  }

  /** A page of another language is another page: it is loaded where nothing is lost by that. */
  #speakAnother() {
    const other = this.settings.get('pageLanguage') !== this.speaks;
    if (other) location.reload();
    return other;
  }

  /** Another call after a drop; the page keeps the transcript. */
  redial() { clearTimeout(this.timers.retry); this.knocking = null; this.#dial(Math.max(1, this.model.attempt)); }

  setMuted(muted) {
    if (this.model.mic) { this.retryMicrophone(); return; }
    if (this.mine) this.mine.enabled = !muted;
    this.dispatch({ type: 'page.muted', muted });
  }

  async retryMicrophone() {
    const track = await this.#openMicrophone();
    // A call that was made without a microphone only listens: it takes a new one.
    if (track && !(await this.call?.useMicrophone(track))) await this.#dial(this.model.turns.length ? 1 : 0);
  }

  async toggleCamera() {
    const on = this.model.camera !== null;
    this.settings.set('camera', on);
    if (!on) {
      await this.call?.showCamera(null);
      this.check.closeCamera();
      this.dispatch({ type: 'page.camera', problem: 'off' });
      return;
    }
    const track = await this.#openCamera();
    if (track && !(await this.call?.showCamera(track))) this.dispatch({ type: 'page.note', note: { kind: 'later', text: 'The camera joins with the next call.' } });
  }

  /** A typed message: it counts as the person's turn, and as breaking in. */
  type(text) {
    if (this.model.phase === 'answering') { this.call?.send({ type: 'response.cancel' }); this.call?.send({ type: 'output_audio_buffer.clear' }); }
    this.call?.send({ type: 'conversation.item.create', item: { type: 'message', role: 'user', content: [{ type: 'input_text', text }] } });
    this.call?.send({ type: 'response.create' });
  }

  send(type) { this.call?.send({ type }); }

  think() { this.send('viva.think'); this.dispatch({ type: 'page.think' }); }

  async unblock() { await this.audio?.resume(); this.#play(); }

  frame(now) {
    const dt = Math.min(1, (now - (this.last ?? now)) / 1000);
    this.last = now;
    const you = this.check.levels && !this.model.muted ? this.check.levels.read() : null;
    const they = this.voice?.tick(dt) ?? null;
    if (this.model.link === 'none') this.check.frame(you?.level ?? 0); else this.stage.frame(you, they, dt);
    this.#clock();
    requestAnimationFrame(this.frame);
  }

  async #dial(attempt) {
    const goesOn = attempt ? resume.token() : '';
    if (goesOn) this.call?.abandon(); else this.call?.close();
    this.voice?.close();
    this.voice = null;
    const mine = this.dialling = {};              // a newer attempt makes this one void
    this.dispatch({ type: 'page.connecting', attempt, text: label(this.check.microphone ? 'Setting up the sound. This takes a second or two.' : 'Your browser may ask for the microphone now: allow it to speak.') });
    const microphone = await this.#openMicrophone();
    const camera = this.settings.get('camera') ? await this.#openCamera() : null;
    if (!this.settings.get('camera')) this.dispatch({ type: 'page.camera', problem: 'off' });
    if (this.dialling !== mine || this.model.link !== 'connecting') return;
    const { mode, persona, language, topic } = this.startPage.chosen;
    const call = this.call = new (this.bySocket ? this.SocketCall : this.Call)({
      microphone, camera, cameraLater: this.model.camera === 'off', resume: goesOn, context: this.context,
      viva: { mode: mode.id, persona: persona.id, language: language.code, topic: topic?.id ?? null, greet: true, patience: this.settings.get('patience') } });
    this.#listen(call);
    try {
      await call.open();
    } catch (error) {
      if (this.call === call) this.#lost(error.fault ?? { kind: 'rejected', message: error.message });
      if (goesOn) call.abandon(); else call.close();
    }
  }

  #listen(call) {
    const on = (name, does) => call.addEventListener(name, ({ detail }) => { if (this.call === call) does(detail); });
    on('up', ({ resumed, socket }) => {
      this.dispatch({ type: 'page.up', resumed, socket });
      if (!this.language.ears) this.dispatch({ type: 'page.note', note: { kind: 'deaf', text: label('Nothing here understands spoken {language} yet. Type your answers.', { language: languageName(this.language) }) } });
    });
    on('message', (event) => {
      if (event.session?.viva?.resume) resume.keep(event.session.viva.resume);
      if (event.type === 'viva.ended' && event.why === 'elsewhere') { this.call.abandon(); this.#lost({ kind: 'elsewhere' }); return; }
      if (event.type === 'output_audio_buffer.cleared') this.voice?.clear();
      if (event.type === 'output_audio_buffer.started') this.voice?.begins();
      this.dispatch(event);
    });
    on('shapes', (message) => this.voice?.push(message));
    on('voice', (voice) => { this.voice?.close(); this.voice = new Voice($('voice'), this.context, voice, this.stage.presence); this.#play(); });
    on('echo', (stream) => { $('echo').srcObject = stream; $('echo').play().catch(() => {}); });       // a picture that does not start is not worth a word
    on('quality', (quality) => { if (quality.level) resume.touch(); this.#quality(quality); });
    on('lost', (fault) => this.#lost(fault));
  }

  #lost(fault) {
    const attempt = this.model.link === 'up' ? 1 : this.model.attempt + 1;
    if (['over', 'elsewhere'].includes(fault.kind)) resume.forget();
    if (fault.kind === 'over' && !this.model.turns.length) { this.home(); return; }      // the page came back too late
    if (NO_UDP.includes(fault.kind) && !this.bySocket) { this.bySocket = true; this.#dial(attempt); return; }
    const waits = Boolean(resume.token());
    const again = !['rejected', 'locked', 'offline', 'elsewhere', 'budget'].includes(fault.kind) && (waits || attempt <= RETRIES);
    this.#quality({ level: 0 });
    this.dispatch({ type: 'page.lost', fault, waits, attempt: again ? attempt : 0 });
    clearTimeout(this.timers.retry);
    if (again && waits) { this.#comeBack(attempt); return; }
    const waitMs = Math.max(retryMs(attempt), 1000 * (fault.retryAfterS ?? 0));
    if (again) this.timers.retry = setTimeout(() => this.#dial(attempt), waitMs);
  }

  /** Knocks until the server can be reached again, as long as it waits; then takes the conversation up. */
  async #comeBack(attempt) {
    const mine = this.knocking = {};
    let answered = false;
    while (!answered && this.knocking === mine && resume.token()) {
      await new Promise((done) => { setTimeout(done, KNOCK_MS * (0.5 + Math.random())); });      // jitter: not all clients at once
      answered = await knock().then(() => true, () => false);
    }
    if (this.knocking === mine && this.model.link === 'lost') await this.#dial(attempt);
  }

  async #play() { this.dispatch({ type: 'page.sound', blocked: !(await this.voice?.play()) }); }

  async #openMicrophone() {
    try {
      this.mine = await this.check.openMicrophone();
      this.mine.enabled = !this.model.muted;
      this.mine.onended = () => this.dispatch({ type: 'page.mic', problem: 'absent' });      // pulled out
      if (this.model.mic) this.dispatch({ type: 'page.mic', problem: null });
      return this.mine;
    } catch (error) {
      this.mine = null;
      this.dispatch({ type: 'page.mic', problem: error.problem ?? 'busy' });
      return null;
    }
  }

  async #openCamera() {
    try {
      const track = await this.check.openCamera();
      this.dispatch({ type: 'page.camera', problem: null });
      return track;
    } catch (error) {
      this.dispatch({ type: 'page.camera', problem: error.problem ?? 'busy', text: cameraWords(error.problem ?? 'busy') });
      return null;
    }
  }

  #choose() {
    if (!this.startPage.about) return;
    const { mode, persona, language, topic } = this.startPage.chosen;
    Object.assign(this, { person: persona, language });
    this.stage.setPerson(persona, language);
    this.transcript.setLanguage(language.code, language.direction);
    const about = topic ? label(topic.title) : (mode.id === 'language' ? languageName(language) : '');
    $('where-mode').textContent = about && label(mode.title);
    $('where-topic').textContent = about || label(mode.title);
    $('call-title').textContent = label('{mode} with {name}', { mode: label(mode.title), name: persona.name });
  }

  #drop() {
    Object.values(this.timers).forEach(clearTimeout);
    this.timers = {};
    this.knocking = null;
    if (['connecting', 'lost'].includes(this.model.link)) resume.end(); else resume.forget();      // not by a copy of this tab
    this.call?.close();
    this.voice?.close();
    this.call = this.voice = null;
    $('echo').srcObject = null;
  }

  #forgetNote(note) {
    if (note.kind === 'deaf') return;             // stays true
    clearTimeout(this.timers.note);
    this.timers.note = setTimeout(() => { if (this.model.note === note) this.dispatch({ type: 'page.note', note: null }); }, NOTE_MS);
  }

  #quality({ level }) {
    $('quality').dataset.level = level;
    $('quality-text').textContent = label(['None', 'Poor', 'Fair', 'Good'][level]);
  }

  #clock() {
    const { upSince, lasted } = this.model;
    const seconds = Math.floor((lasted + (upSince === null ? 0 : performance.now() - upSince)) / 1000);
    if (seconds === this.seconds) return;
    this.seconds = seconds;
    $('clock').textContent = `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, '0')}`;
    $('clock').dateTime = `PT${seconds}S`;
  }

  #applySetting(name) {
    const value = this.settings.get(name);
    if (name === 'theme') { if (value === 'auto') delete document.documentElement.dataset.theme; else document.documentElement.dataset.theme = value; }
    if (name === 'layout') document.body.dataset.layout = value;
    if (name === 'captions') { document.body.toggleAttribute('data-no-captions', !value); $('show-captions').setAttribute('aria-pressed', String(value)); }
    if (name === 'captionSize') document.body.style.setProperty('--caption-size', value);
    if (name === 'readAloud') $('log').setAttribute('aria-live', value ? 'polite' : 'off');
    if (name === 'panel') document.body.dataset.panel = value ? 'shown' : 'hidden';
    if (name === 'motion') this.stage.redraw();
    if (name === 'patience' && this.model.link === 'up') this.call?.send({ type: 'session.update', session: { type: 'realtime', viva: { patience: value } } });
  }
}
