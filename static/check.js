// "Before you start": the own microphone with its meter, the camera's picture, a test sound.
// What is opened here is what the call takes over.

import { label } from './labels.js';
import { Levels } from './levels.js';
import { cameraWords, microphoneWords } from './notices.js';

const $ = (id) => document.getElementById(id);
const CLEAR = 0.35;                               // a level that a speaking voice reaches

export class DeviceCheck {
  /** @param {() => AudioContext} context  opened at the first need  */
  constructor(settings, devices, context) { Object.assign(this, { settings, devices, context, microphone: null, camera: null, levels: null }); }

  /** Opens what the browser gives without asking, and wires the buttons. */
  async begin() {
    if (!this.wired) this.#wire();
    this.#showCamera();
    await this.#list();
    if (await this.devices.isGranted('microphone')) await this.openMicrophone().catch(() => {});   // its words are on the page
    if (this.settings.get('camera') && await this.devices.isGranted('camera')) await this.openCamera().catch(() => {});
  }

  /** @returns {Promise<MediaStreamTrack>}  Throws DeviceError. */
  async openMicrophone() {
    if (this.microphone?.readyState === 'live') return this.microphone;
    try {
      this.microphone = await this.devices.openMicrophone(this.settings.get('microphone'));
    } catch (error) {
      this.#say(error.problem ? microphoneWords(error.problem) : error.message, 'bad');
      throw error;
    }
    this.levels?.close();
    this.levels = new Levels(this.context(), new MediaStream([this.microphone]));
    this.heard = false;
    this.#say('Say something.');
    $('try-microphone').hidden = true;
    await this.#list();
    return this.microphone;
  }

  /** @returns {Promise<MediaStreamTrack>}  Throws DeviceError. */
  async openCamera() {
    if (this.camera?.readyState === 'live') return this.camera;
    try {
      this.camera = await this.devices.openCamera();
    } catch (error) {
      $('preview-note').textContent = error.problem ? cameraWords(error.problem) : error.message;
      throw error;
    }
    this.#showCamera();
    return this.camera;
  }

  closeCamera() { this.camera?.stop(); this.camera = null; this.#showCamera(); }

  /** Lets go of both devices: the browser's recording sign goes out. */
  close() {
    this.closeCamera();
    this.microphone?.stop();
    this.microphone = null;
    this.levels?.close();
    this.levels = null;
    this.#say('Try it before you start.');
    $('try-microphone').hidden = false;
  }

  /** Once a frame on the start page. */
  frame(level) {
    const percent = Math.round(level * 100);
    if (percent !== this.percent) {
      this.percent = percent;
      $('meter').style.setProperty('--level', level);
      $('meter').setAttribute('aria-valuenow', percent);
    }
    if (level > CLEAR && !this.heard) { this.heard = true; this.#say('We hear you clearly.', 'good'); }
  }

  #wire() {
    this.wired = true;
    $('try-microphone').addEventListener('click', () => this.openMicrophone().catch(() => {}));
    $('test-sound').addEventListener('click', () => this.#testSound());
    $('preview-camera').addEventListener('click', () => {
      this.settings.set('camera', !this.settings.get('camera'));
      this.closeCamera();
      if (this.settings.get('camera')) this.openCamera().catch(() => {});
    });
    $('microphone').addEventListener('change', ({ target }) => {
      this.settings.set('microphone', target.value);
      this.microphone?.stop();
      this.microphone = null;
      this.openMicrophone().catch(() => {});
    });
    navigator.mediaDevices?.addEventListener?.('devicechange', () => this.#list());
  }

  async #list() {
    const found = await this.devices.microphones(), chosen = this.settings.get('microphone');
    const named = found.filter((one) => one.label);
    const list = named.length ? named : [{ id: '', label: label(found.length ? 'The browser’s choice' : 'None found yet') }];
    $('microphone').replaceChildren(...list.map((one) => Object.assign(document.createElement('option'), { value: one.id, textContent: one.label, selected: one.id === chosen })));
    $('microphone').disabled = named.length < 2;
  }

  #showCamera() {
    const video = $('preview-video'), on = Boolean(this.camera);
    video.hidden = !on;
    video.srcObject = on ? new MediaStream([this.camera]) : null;
    $('preview').toggleAttribute('data-on', on);
    const wanted = this.settings.get('camera');
    $('preview-camera').setAttribute('aria-pressed', String(wanted));
    $('preview-camera').querySelector('span').textContent = label(wanted ? 'Camera on' : 'Camera off');
    $('preview-note').hidden = on;
  }

  #say(text, kind = '') { $('say-text').textContent = label(text); $('say-text').dataset.kind = kind; }

  /** Two soft notes: enough to know which loudspeaker speaks, and how loud. */
  #testSound() {
    const context = this.context(), from = context.currentTime + 0.05;
    [[440, 0], [660, 0.28]].forEach(([hertz, after]) => {
      const tone = new OscillatorNode(context, { frequency: hertz }), loud = new GainNode(context, { gain: 0 });
      loud.gain.setValueAtTime(0, from + after);
      loud.gain.linearRampToValueAtTime(0.18, from + after + 0.03);
      loud.gain.exponentialRampToValueAtTime(0.001, from + after + 0.6);
      tone.connect(loud).connect(context.destination);
      tone.start(from + after);
      tone.stop(from + after + 0.65);
    });
  }
}
