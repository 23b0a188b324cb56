// One rate of samples to another, continuous: windowed sinc (Blackman), 24 zeros to each side of the middle.

const ZEROS = 24;

export class Resampler {
  /** @param {number} from  Hz  @param {number} to  Hz */
  constructor(from, to) {
    this.step = from / to;                        // input samples in one output sample
    this.cut = Math.min(1, to / from);            // of the input's band
    this.reach = Math.ceil(ZEROS / this.cut);
    this.input = new Float32Array(this.reach);
    this.at = this.reach;                         // of the next output sample, in `input`
  }

  /** @param {Float32Array} samples  @returns {Float32Array} */
  push(samples) {
    if (this.step === 1) return samples;
    const joined = new Float32Array(this.input.length + samples.length);
    joined.set(this.input);
    joined.set(samples, this.input.length);
    const output = new Float32Array(Math.max(0, Math.ceil((joined.length - this.reach - this.at) / this.step)));
    for (let i = 0; i < output.length; i += 1, this.at += this.step) output[i] = this.#value(joined, this.at);
    const gone = Math.max(0, Math.floor(this.at) - this.reach);
    this.input = joined.slice(gone);
    this.at -= gone;
    return output;
  }

  #value(input, at) {
    let sum = 0;
    for (let i = Math.ceil(at - this.reach + 1); i < at + this.reach; i += 1) {
      const x = (i - at) * this.cut, turn = Math.PI * x;
      const window = 0.42 + 0.5 * Math.cos(turn / ZEROS) + 0.08 * Math.cos(2 * turn / ZEROS);
      sum += (input[i] ?? 0) * window * (Math.abs(turn) < 1e-9 ? 1 : Math.sin(turn) / turn);
    }
    return sum * this.cut;
  }
}
