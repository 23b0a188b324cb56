// Runs beside the page, where sound is due every 3 ms: microphone to 24 kHz pieces, and such pieces to the loudspeaker.

import { Resampler } from './resampling.js';

const RATE = 24_000;                              // Hz, of the protocol
const PIECE = RATE * 40 / 1000;                   // samples in one message
const CUSHION = RATE * 80 / 1000;                 // samples that wait before a sound begins: messages do not come evenly
const FADE = RATE * 5 / 1000;

const toInt16 = (samples) => Int16Array.from(samples, (sample) => Math.max(-32768, Math.min(32767, Math.round(sample * 32768))));

/** Posts the microphone, Int16Array of 40 ms. */
class Recorder extends AudioWorkletProcessor {
  constructor() { super(); this.resampler = new Resampler(sampleRate, RATE); this.rest = []; }

  process([[channel]]) {
    if (channel) this.rest.push(...this.resampler.push(channel.slice()));
    while (this.rest.length >= PIECE) this.port.postMessage(toInt16(this.rest.splice(0, PIECE)));
    return true;
  }
}

/**
 * Plays what is posted: {samples: Int16Array} of one reply after another, {clear: true} silences.
 * Posts {played}: samples at 24 kHz of the reply since {begin: true}; and {dry: true} when nothing is left.
 */
class Player extends AudioWorkletProcessor {
  constructor() {
    super();
    Object.assign(this, { queue: [], waiting: 0, resampler: new Resampler(RATE, sampleRate), ready: new Float32Array(0), started: false, played: 0, told: 0 });
    this.port.onmessage = ({ data }) => {
      if (data.begin) { this.played = 0; this.told = 0; }
      if (data.clear) this.#clear();
      if (data.samples) { this.queue.push(data.samples); this.waiting += data.samples.length; }
    };
  }

  process(inputs, [[channel]]) {
    this.started ||= this.waiting >= CUSHION || (this.waiting > 0 && currentTime - (this.since ??= currentTime) > 0.1);
    if (!this.started) return true;
    while (this.ready.length < channel.length && this.queue.length) this.#take();
    channel.set(this.ready.subarray(0, channel.length));
    this.ready = this.ready.slice(channel.length);
    if (!this.ready.length && !this.queue.length) this.#dry();
    if (this.played - this.told > RATE / 20) { this.told = this.played; this.port.postMessage({ played: this.played }); }
    return true;
  }

  #take() {
    const samples = this.queue.shift();
    this.waiting -= samples.length;
    this.played += samples.length;
    const more = this.resampler.push(Float32Array.from(samples, (sample) => sample / 32768));
    const joined = new Float32Array(this.ready.length + more.length);
    joined.set(this.ready);
    joined.set(more, this.ready.length);
    this.ready = joined;
  }

  #clear() {
    this.queue = [];
    this.waiting = 0;
    const fade = Math.min(FADE, this.ready.length);
    this.ready = this.ready.slice(0, fade).map((sample, i) => sample * (1 - i / fade));
  }

  #dry() {
    Object.assign(this, { started: false, since: undefined });
    this.port.postMessage({ played: this.played, dry: true });
  }
}

registerProcessor('recorder', Recorder);
registerProcessor('player', Player);
