// A call where WebRTC finds no way: the same session over a WebSocket, its sound in events (24 kHz PCM, base64).
// The events are those of call.js; what belongs to a media stream (`output_audio_buffer.*`) is said here, by what is played.

import { protocols } from './access.js';
import { CallError } from './call.js';

const OPEN_MS = 8000;
const WATCH_MS = 500;
const PIECE = 960;                                // samples in one message to the player, which counts what it has taken
const STUCK = 128 * 1024;                         // bytes of our own sound that do not leave: 2 s
const RATE = 24;                                  // samples in a ms
const REFUSED = { 4409: 'elsewhere', 4410: 'over' };     // close codes: the conversation cannot be taken up again
const LINE_ONLY = 4000;                           // a close code that hangs up nothing
const NO_CLOCK = { getSynchronizationSources: () => [] };      // mouth shapes come by the sound alone

const toBase64 = (samples) => {
  let text = '';
  for (const byte of new Uint8Array(samples.buffer)) text += String.fromCharCode(byte);
  return btoa(text);
};
const fromBase64 = (text) => new Int16Array(Uint8Array.from(atob(text), (character) => character.charCodeAt(0)).buffer);

export class SocketCall extends EventTarget {
  /** @param {object} parts  as of Call, and `context`: the page's AudioContext */
  constructor({ microphone, camera, viva, resume = '', context }) {
    super();
    Object.assign(this, { microphone, camera, viva, resume, context, over: false, location: null, reply: null, dry: true });
  }

  /** Returns when the socket is open. Throws CallError. */
  async open() {
    this.deadline = setTimeout(() => this.#lose({ kind: 'gone' }), OPEN_MS);
    await this.context.audioWorklet.addModule(new URL('worklets.js', import.meta.url));
    if (this.over) return;
    this.player = new AudioWorkletNode(this.context, 'player', { numberOfInputs: 0, outputChannelCount: [1] });
    this.player.port.onmessage = ({ data }) => this.#hasPlayed(data);
    this.loudspeaker = this.context.createMediaStreamDestination();
    this.player.connect(this.loudspeaker);
    this.recorder = new AudioWorkletNode(this.context, 'recorder', { numberOfOutputs: 0, channelCount: 1, channelCountMode: 'explicit' });
    this.recorder.port.onmessage = ({ data }) => this.#record(data);
    const url = new URL('/v1/realtime', location.href);
    url.protocol = url.protocol.replace('http', 'ws');
    const socket = this.socket = new WebSocket(url, [...protocols(), ...(this.resume ? [`viva-resume.${this.resume}`] : [])]);
    socket.addEventListener('message', ({ data }) => this.#receive(JSON.parse(data)));
    await new Promise((opened, failed) => {
      socket.addEventListener('open', opened);
      socket.addEventListener('close', () => failed(new CallError({ kind: 'gone', offline: !navigator.onLine })));
    });
    socket.addEventListener('close', ({ code }) => this.#lose({ kind: REFUSED[code] ?? 'dropped' }));
    await this.useMicrophone(this.microphone);
    this.#tell('voice', { stream: this.loudspeaker.stream, receiver: NO_CLOCK });
    this.showCamera(this.camera);
    this.watch = setInterval(() => this.#look(), WATCH_MS);
  }

  send(event) { if (this.socket?.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(event)); }

  /** There is no way for a picture: the page shows its own. */
  async showCamera(track) {
    this.#tell('echo', track ? new MediaStream([track]) : null);
    return true;
  }

  async useMicrophone(track) {
    this.source?.disconnect();
    this.source = track ? this.context.createMediaStreamSource(new MediaStream([track])) : null;
    this.source?.connect(this.recorder);
    return true;
  }

  /** Hangs up. Nothing is told any more. */
  close() { this.#end(1000); }

  /** Ends the line; the conversation waits for another. */
  abandon() { this.#end(LINE_ONLY); }

  #end(code) {
    if (this.over) return;
    this.over = true;
    clearTimeout(this.deadline);
    clearInterval(this.watch);
    this.source?.disconnect();
    this.player?.disconnect();
    this.socket?.close(code);
  }

  #tell(name, detail) { if (!this.over) this.dispatchEvent(new CustomEvent(name, { detail })); }

  #say(type) { this.#tell('message', { type, response_id: this.reply?.response }); }

  #lose(fault) { if (!this.over) { this.#tell('lost', fault); this.abandon(); } }

  #record(samples) { this.send({ type: 'input_audio_buffer.append', audio: toBase64(samples) }); }

  #receive(event) {
    if (event.type === 'response.output_audio.delta') { this.#play(event); return; }
    if (event.type === 'session.created') {
      clearTimeout(this.deadline);
      this.#tell('up', { resumed: Boolean(this.resume), socket: true });
      this.send({ type: 'session.update', session: { type: 'realtime', viva: this.viva } });
    }
    const { reply } = this;
    if (event.type === 'conversation.item.truncated' && event.item_id === reply?.item) {
      this.player.port.postMessage({ clear: true });
      const playedMs = Math.floor(reply.played / RATE);
      if (playedMs < event.audio_end_ms) this.send({ type: 'conversation.item.truncate', item_id: reply.item, content_index: 0, audio_end_ms: playedMs });
    }
    this.#tell('message', event);
    if (event.type === 'response.done' && event.response.id === reply?.response) {
      reply.whole = true;
      if (event.response.status === 'cancelled') { this.player.port.postMessage({ clear: true }); this.#say('output_audio_buffer.cleared'); this.reply = null; } else this.#heardOut();
    }
  }

  #play({ response_id: response, item_id: item, delta }) {
    const begins = this.reply?.response !== response;
    if (begins) this.reply = { response, item, played: 0, whole: false };
    this.dry = false;
    const samples = fromBase64(delta);
    if (begins) this.player.port.postMessage({ begin: true });
    for (let at = 0; at < samples.length; at += PIECE) this.player.port.postMessage({ samples: samples.slice(at, at + PIECE) });
    if (begins) this.#say('output_audio_buffer.started');
  }

  #hasPlayed({ played, dry = false }) {
    if (this.reply) this.reply.played = played;
    this.dry = dry;
    this.#heardOut();
  }

  #heardOut() { if (this.reply?.whole && this.dry) { this.#say('output_audio_buffer.stopped'); this.reply = null; } }

  #look() {
    const stuck = this.socket.bufferedAmount;
    if (stuck > STUCK) { this.#lose({ kind: 'dropped' }); return; }
    this.#tell('quality', { level: stuck > STUCK / 8 ? 1 : 2 });
  }
}
