// How loud a voice is now, and how its energy lies over five bands: the bars.

const BANDS_HZ = [[100, 300], [300, 700], [700, 1400], [1400, 2800], [2800, 6000]];
const FLOOR_DB = -60, FULL_DB = -14;              // of a speaking voice: nothing … loud

export class Levels {
  /** @param {AudioContext} context  @param {MediaStream} stream  with an audio track */
  constructor(context, stream) {
    this.source = context.createMediaStreamSource(stream);
    this.analyser = new AnalyserNode(context, { fftSize: 1024, smoothingTimeConstant: 0 });
    this.source.connect(this.analyser);
    this.samples = new Float32Array(this.analyser.fftSize);
    this.bins = new Float32Array(this.analyser.frequencyBinCount);
    this.hertz = context.sampleRate / this.analyser.fftSize;
    this.shown = new Array(BANDS_HZ.length + 1).fill(0);
  }

  /** @returns {{level: number, bars: number[], peak: number}}  0…1 each, falling softly; peak of the samples */
  read() {
    this.analyser.getFloatTimeDomainData(this.samples);
    this.analyser.getFloatFrequencyData(this.bins);
    let sum = 0, peak = 0;
    for (const sample of this.samples) { sum += sample * sample; peak = Math.max(peak, Math.abs(sample)); }
    const now = [10 * Math.log10(sum / this.samples.length + 1e-12), ...BANDS_HZ.map((band) => this.#loudest(band) + 18)]
      .map((db) => Math.min(1, Math.max(0, (db - FLOOR_DB) / (FULL_DB - FLOOR_DB))));
    // Up at once, down in a few frames: bars that fall as fast as they rise only flicker.
    this.shown = now.map((value, i) => (value > this.shown[i] ? value : this.shown[i] * 0.8 + value * 0.2));
    const [level, ...bars] = this.shown.map((value) => Math.round(value * 20) / 20);
    return { level, bars, peak };
  }

  #loudest([from, to]) {
    let top = -200;
    for (let i = Math.ceil(from / this.hertz); i < to / this.hertz && i < this.bins.length; i += 1) top = Math.max(top, this.bins[i]);
    return top;
  }

  close() { this.source.disconnect(); }
}
