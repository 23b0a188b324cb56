// A caller made of @openai/agents-realtime as its users write one, for a page that a test drives.
//
//   agent.connect       a new session; resolves when the client says that it is connected
//   agent.session       the RealtimeSession
//   agent.seen          every event that its transport got, as it came
//   agent.unread        types of those that the client's own schemas do not know or do not accept

import { OpenAIRealtimeWebRTC, OpenAIRealtimeWebSocket, RealtimeAgent, RealtimeSession, tool } from '@openai/agents-realtime';
import { z } from 'zod';
import { parseRealtimeEvent } from 'client-schemas';

const agent = window.agent = { seen: [], unread: [], errors: [], called: [], interruptions: 0 };

const weather = tool({
  name: 'weather',
  description: 'The weather in a city.',
  parameters: z.object({ city: z.string() }),
  execute: async ({ city }) => { agent.called.push(city); return `It is raining in ${city}.`; },
});

/** @param {object} how  transport: "webrtc" or "websocket"; url; key; config: of the session */
agent.connect = async ({ transport, url, key, config = {} }) => {
  agent.seen.length = 0;
  const line = agent.line = new { webrtc: OverWebRTC, websocket: OverWebSocket }[transport](url);
  await line.start();
  const session = agent.session = new RealtimeSession(new RealtimeAgent({ name: 'Caller', instructions: 'Be brief.', tools: [weather] }), { transport: line.layer, config });
  line.layer.on('*', (event) => {
    agent.seen.push(event);
    if (!event.type.startsWith('viva.') && parseRealtimeEvent({ data: JSON.stringify(event) }).isGeneric) agent.unread.push(event.type);
  });
  session.on('error', ({ error }) => agent.errors.push(JSON.stringify(error?.error ?? error?.message ?? error)));
  await session.connect({ apiKey: key, url });
};

agent.close = () => { agent.session.close(); agent.line.stop?.(); };

/** Speaks samples (int16, 24 kHz, base64) into the microphone; resolves when they have been said. */
agent.say = (base64) => agent.line.say(new Int16Array(Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0)).buffer));

/** The loudest moment of what is heard within `ms`, as RMS from 0 to 1, or sooner when it is above `enough`. */
agent.loudness = async (ms, enough = 1) => {
  const end = performance.now() + ms;
  let loudest = 0;
  while (performance.now() < end && loudest < enough) {
    await new Promise((next) => { setTimeout(next, 20); });
    loudest = Math.max(loudest, agent.line.level());
  }
  return loudest;
};

const RATE = 24000, PIECE_MS = 20;
const rms = (samples) => Math.hypot(...samples) / Math.sqrt(samples.length);

class OverWebRTC {
  async start() {
    const context = this.context = agent.context ??= new AudioContext({ sampleRate: 48000 });
    await context.resume();
    this.mouth = context.createMediaStreamDestination();
    this.loudspeaker = new Audio();
    this.layer = new OpenAIRealtimeWebRTC({ mediaStream: this.mouth.stream, audioElement: this.loudspeaker });
  }

  say(samples) {
    const buffer = this.context.createBuffer(1, samples.length, RATE);
    buffer.copyToChannel(Float32Array.from(samples, (sample) => sample / 32768), 0);
    const source = new AudioBufferSourceNode(this.context, { buffer });
    source.connect(this.mouth);
    source.start();
    return new Promise((done) => { source.onended = done; });
  }

  level() {
    if (!this.analyser) {
      this.analyser = new AnalyserNode(this.context, { fftSize: 1024 });
      this.context.createMediaStreamSource(this.loudspeaker.srcObject).connect(this.analyser);
    }
    const samples = new Float32Array(1024);
    this.analyser.getFloatTimeDomainData(samples);
    return rms(samples);
  }
}

/** Sends its microphone all the time and plays what comes, as a telephony bridge does. */
class OverWebSocket {
  constructor(url) { Object.assign(this, { url, said: [], toPlay: [], now: 0 }); }

  start() {
    this.layer = new OpenAIRealtimeWebSocket({ url: this.url });
    this.layer.on('audio', ({ data }) => this.toPlay.push(...new Int16Array(data)));
    this.layer.on('audio_interrupted', () => { agent.interruptions += 1; this.toPlay.length = 0; });
    const began = performance.now();
    let pieces = 0;
    this.timer = setInterval(() => {
      for (; pieces < (performance.now() - began) / PIECE_MS; pieces += 1) this.#pass(RATE * PIECE_MS / 1000);
    }, PIECE_MS);
  }

  #pass(count) {
    const piece = new Int16Array(count);
    piece.set(this.said.splice(0, count));
    this.layer.sendAudio(piece.buffer);
    if (!this.said.length) this.silent?.();
    const played = this.toPlay.splice(0, count);
    this.now = played.length ? rms(played) / 32768 : 0;
  }

  say(samples) {
    this.said.push(...samples);
    return new Promise((done) => { this.silent = done; });
  }

  level() { return this.now; }

  stop() { clearInterval(this.timer); }
}
