// The interviewer's voice: played, measured, and followed by a mouth.

import { LipSync } from './lipsync.js';
import { SoundShapes } from './sound-shapes.js';
import { Levels } from './levels.js';

const SOUND = 0.012;                              // a sample this large is no longer silence
const REST_S = 0.3;                               // of silence before a sound counts as the first of a reply

export class Voice {
  /**
   * @param {HTMLAudioElement} element
   * @param {AudioContext} context
   * @param {{stream: MediaStream, receiver: RTCRtpReceiver}} voice
   * @param {{setViseme(shape: string, weight: number): void}} face
   */
  constructor(element, context, { stream, receiver }, face) {
    Object.assign(this, { element, context, face });
    element.srcObject = stream;
    this.levels = new Levels(context, stream);
    this.sounds = new SoundShapes(this.levels.analyser);
    this.lips = new LipSync(face, receiver, { outputMs: () => 1000 * (context.outputLatency || 0) });
    this.silentS = 0;
    this.firstRtp = null;                         // of the reply whose first sound is awaited
    this.expectFirst = true;
  }

  /** @returns {Promise<boolean>} false: the browser waits for a click first */
  async play() {
    try {
      await this.element.play();
      return this.context.state === 'running' || (await this.#resume());
    } catch (error) {
      if (error.name === 'AbortError') return true;     // another stream took its place
      return false;
    }
  }

  /** One message with mouth shapes. */
  push(message) {
    this.lips.push(message);
    const first = this.expectFirst && message.shapes.find(([, shape]) => shape !== 'rest');
    if (first) { this.firstRtp = (message.rtp + first[0] * 48) % 2 ** 32; this.expectFirst = false; }
  }

  /** A new reply begins: its first sound tells how late sound reaches the page. */
  begins() { this.expectFirst = true; this.firstRtp = null; }

  /** It was cut: the mouth shuts at once. */
  clear() { this.lips.clear(); this.begins(); }

  /** Once a frame. @returns {{level: number, bars: number[]}} */
  tick(dt) {
    const heard = this.levels.read();
    this.#learn(heard.peak, dt);
    if (!this.lips.tick()) this.face.setViseme(...this.sounds.next(dt));
    return heard;
  }

  close() {
    this.levels.close();
    this.element.srcObject = null;
    this.face.setViseme('rest', 1);
  }

  async #resume() { await Promise.race([this.context.resume(), new Promise((done) => { setTimeout(done, 300); })]); return this.context.state === 'running'; }

  #learn(peak, dt) {
    if (peak < SOUND) { this.silentS += dt; return; }
    if (this.silentS > REST_S && this.firstRtp !== null) {
      const { samples } = this.levels, first = samples.findIndex((sample) => Math.abs(sample) >= SOUND);
      const agoMs = 1000 * (samples.length - first) / this.context.sampleRate;
      this.lips.learn(this.firstRtp, performance.timeOrigin + performance.now() - agoMs);
      this.firstRtp = null;
    }
    this.silentS = 0;
  }
}
