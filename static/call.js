// One call: a peer connection, its two data channels, and the HTTP request that makes it. No page.
//
// Events (CustomEvent, `detail` in brackets):
//   up [{resumed}]    the server has opened its session, or taken up the one before
//   message [event]   one event of the OpenAI Realtime protocol, or one of ours (`viva.*`)
//   shapes [message]  mouth shapes, {rtp, shapes: [[ms, shape, weight], …]}
//   voice [{stream, receiver}]   the interviewer's sound
//   echo [stream]     the own webcam as the server sees it
//   quality [{level, lossPercent, roundTripMs}]   level 0 (nothing comes) … 3 (good), every 500 ms
//   lost [fault]      it is over without a goodbye; worded in notices.js

import { send } from './access.js';
import { label } from './labels.js';

const SERVERS_MS = 2000;                          // for the server to name STUN and TURN servers; without them most calls work
const GATHER_MS = 1000;                           // ICE gathering may take longer; what is there then is sent
const NO_PATH_MS = 3000;                          // without any interface Chromium gathers for ever, and finds nothing
const CONNECT_MS = 12_000;
const WATCH_MS = 500;
// The server always sends something, 50 packets a second. Silence this long is asked about over HTTP: a server that
// is gone, or behind a network that is, does not answer. One that is only out of breath (pauses of 2 s have been seen)
// is waited for; not as long where the conversation goes on over another line.
const SILENT_MS = 1000, ANSWER_MS = 1000, GIVEN_UP_MS = 6000, CHANGED_MS = 2500;
const UDP_MS = 5000;                              // from the answer to a connection; then no UDP passes

const CANDIDATE = /^a=candidate:/m;

/** What the server's operator has set up for networks that let little through; none by default. */
async function iceServers() {
  try {
    const response = await send('/v1/viva/ice', { signal: AbortSignal.timeout(SERVERS_MS) });
    return response.ok ? (await response.json()).iceServers : [];
  } catch { return []; }
}

/** Settles when the server has answered; throws where it does not, or not soon. */
export const knock = () => fetch('/healthz', { cache: 'no-store', signal: AbortSignal.timeout(ANSWER_MS) });

export class CallError extends Error {
  /** @param {{kind: string}} fault  offline, gone, busy, rejected, timeout */
  constructor(fault) { super(fault.message ?? fault.kind); this.fault = fault; }
}

export class Call extends EventTarget {
  /**
   * @param {object} parts
   * @param {MediaStreamTrack|null} parts.microphone  null: the call listens and types
   * @param {MediaStreamTrack|null} parts.camera
   * @param {boolean} parts.cameraLater  there is a camera that may be switched on during the call
   * @param {object} parts.viva  mode, persona, language, topic, greet, patience
   * @param {string} parts.resume  the token of a conversation that is to go on; '': a new one
   */
  constructor({ microphone, camera, cameraLater = false, viva, resume = '' }) {
    super();
    Object.assign(this, { viva, resume, location: null, over: false, waited: Boolean(resume) });
    const peer = this.peer = new RTCPeerConnection();
    if (microphone) peer.addTrack(microphone, new MediaStream([microphone]));
    else peer.addTransceiver('audio', { direction: 'recvonly' });
    if (camera) this.video = this.#sender(peer.addTrack(camera, new MediaStream([camera])));
    else if (cameraLater) this.video = peer.addTransceiver('video', { direction: 'sendrecv' });
    this.events = peer.createDataChannel('oai-events');
    this.mouth = peer.createDataChannel('viva-visemes', { ordered: false, maxRetransmits: 0 });
    this.events.addEventListener('message', ({ data }) => this.#receive(JSON.parse(data)));
    this.mouth.addEventListener('message', ({ data }) => this.#tell('shapes', JSON.parse(data)));
    peer.addEventListener('track', ({ track, receiver, streams }) => {
      const stream = streams[0] ?? new MediaStream([track]);
      if (track.kind === 'audio') this.#tell('voice', { stream: new MediaStream([track]), receiver });
      else this.#tell('echo', stream);
    });
    peer.addEventListener('connectionstatechange', () => { if (peer.connectionState === 'failed') this.#lose({ kind: this.wasUp ? 'dropped' : 'timeout' }); });
    // One that is waited for may be a page that is only loaded again.
    this.onPageHide = () => { if (!this.waited) this.#hangUp(this.location); };
    addEventListener('pagehide', this.onPageHide);
  }

  /** Offers, and returns when the answer is in place. Throws CallError. */
  async open() {
    this.deadline = setTimeout(() => this.#lose({ kind: 'timeout' }), CONNECT_MS);
    const servers = await iceServers();
    if (this.over) return;
    this.peer.setConfiguration({ ...this.peer.getConfiguration(), iceServers: servers });
    await this.peer.setLocalDescription();
    await this.#gathered();
    const { sdp } = this.peer.localDescription;
    if (!CANDIDATE.test(sdp)) throw new CallError({ kind: 'offline' });
    const response = await this.#post(sdp);
    const answer = await response.text();
    this.location = response.headers.get('Location');
    if (this.over) { if (this.hungUp || !this.waited) this.#hangUp(this.location); return; }
    if (!CANDIDATE.test(answer)) throw new CallError({ kind: 'offline' });
    this.noUdp = setTimeout(() => this.#lose({ kind: 'timeout' }), UDP_MS);
    await this.peer.setRemoteDescription({ type: 'answer', sdp: answer });
    this.watch = setInterval(() => this.#look(), WATCH_MS);
  }

  /** Sends one event; nothing happens while the channel is not open. */
  send(event) { if (this.events.readyState === 'open') this.events.send(JSON.stringify(event)); }

  /** Shows another camera, or none, without a new call. @returns {Promise<boolean>} done */
  async showCamera(track) {
    if (!this.video) return false;
    await this.video.sender.replaceTrack(track);
    return true;
  }

  async useMicrophone(track) {
    const sender = this.peer.getSenders().find((one) => one.track?.kind === 'audio');
    if (!sender) return false;
    await sender.replaceTrack(track);
    return true;
  }

  /** Hangs up, also where only the line was over. Nothing is told any more. */
  close() {
    if (!this.hungUp) this.#hangUp(this.location);
    this.hungUp = true;
    this.abandon();
  }

  /** Ends the line; a conversation that the server waits with goes on over another. */
  abandon() {
    if (this.over) return;
    this.over = true;
    for (const timer of [this.deadline, this.noUdp]) clearTimeout(timer);
    clearInterval(this.watch);
    removeEventListener('pagehide', this.onPageHide);
    this.peer.close();
  }

  #sender(sender) { return this.peer.getTransceivers().find((one) => one.sender === sender); }

  #hangUp(location) { if (location) send(location, { method: 'DELETE', keepalive: true }).catch(() => {}); }    // a server that is gone has hung up

  #tell(name, detail) { if (!this.over) this.dispatchEvent(new CustomEvent(name, { detail })); }

  #lose(fault) {
    if (this.over) return;
    const { waited } = this;
    this.#tell('lost', fault);
    if (waited) this.abandon(); else this.close();
  }

  #gathered() {
    const { peer } = this;
    const some = () => CANDIDATE.test(peer.localDescription?.sdp ?? '');
    return new Promise((done) => {
      if (peer.iceGatheringState === 'complete') { done(); return; }
      peer.addEventListener('icegatheringstatechange', () => { if (peer.iceGatheringState === 'complete') done(); });
      // The server need not know where we are: it answers whoever knocks. Only through a NAT of its own it has to
      // knock first, and then there are ICE servers that say where.
      let late = !peer.getConfiguration().iceServers.length;
      peer.addEventListener('icecandidate', () => { if (late && some()) done(); });
      setTimeout(() => { late = true; if (some() || !navigator.onLine) done(); }, GATHER_MS);
      setTimeout(done, NO_PATH_MS);
    });
  }

  async #post(sdp) {
    let response, body = new Blob([sdp], { type: 'application/sdp' });
    if (this.resume) {
      const form = new FormData();
      form.append('sdp', body);
      form.append('resume', this.resume);
      body = form;
    }
    try {
      response = await send('/v1/realtime/calls', { method: 'POST', body });
    } catch {
      throw new CallError({ kind: 'gone', offline: !navigator.onLine });
    }
    if (response.status === 201) return response;
    const { error: refusal = {} } = await response.json().catch(() => ({}));      // a proxy's own pages are no JSON
    const retryAfterS = Number(response.headers.get('Retry-After')) || null;
    if (refusal.code === 'budget_spent') throw new CallError({ kind: 'budget', retryAfterS });
    if (response.status === 503) throw new CallError({ kind: 'busy', retryAfterS });
    if (response.status === 429) throw new CallError({ kind: 'often', retryAfterS });
    if (response.status === 401) throw new CallError({ kind: 'locked' });
    if (response.status === 409) throw new CallError({ kind: 'elsewhere' });
    if (response.status === 410) throw new CallError({ kind: 'over' });
    if (response.status >= 500) throw new CallError({ kind: 'gone' });
    throw new CallError({ kind: 'rejected', message: refusal.message ?? label('The server answered {status}.', { status: response.status }) });
  }

  #receive(event) {
    if (event.type === 'session.created') {
      this.send({ type: 'session.update', session: { type: 'realtime', viva: this.viva } });
      for (const timer of [this.deadline, this.noUdp]) clearTimeout(timer);
      this.wasUp = true;
      this.#tell('up', { resumed: Boolean(this.resume) });
    }
    if (event.session?.viva?.resume) this.waited = true;
    this.#tell('message', event);
  }

  /** Do packets still come, and how well? */
  async #look() {
    if (this.over) return;
    let inbound, roundTripMs = null;
    for (const report of (await this.peer.getStats()).values()) {
      if (report.type === 'inbound-rtp' && report.kind === 'audio') inbound = report;
      if (report.type === 'candidate-pair' && report.nominated) roundTripMs = 1000 * (report.currentRoundTripTime ?? 0);
    }
    if (this.over || !inbound?.packetsReceived) return;
    const now = performance.now(), before = this.seen ?? { received: 0, lost: 0, at: now };
    const received = inbound.packetsReceived, lost = inbound.packetsLost ?? 0;
    if (received === before.received) {
      this.#tell('quality', { level: 0, lossPercent: 100, roundTripMs });
      // A tab that slept looks late: it must have looked twice within the silence.
      this.quiet = (this.quiet ?? 0) + 1;
      if (this.quiet < 2) return;
      if (now - before.at > (this.waited ? CHANGED_MS : GIVEN_UP_MS)) this.#lose({ kind: 'dropped' });
      else if (now - before.at > SILENT_MS) knock().catch(() => this.#lose({ kind: 'dropped' }));
      return;
    }
    this.quiet = 0;
    this.seen = { received, lost, at: now };
    const lossPercent = 100 * Math.max(0, lost - before.lost) / Math.max(1, received - before.received + Math.max(0, lost - before.lost));
    const level = lossPercent > 8 || roundTripMs > 500 ? 1 : lossPercent > 2 || roundTripMs > 250 ? 2 : 3;
    this.#tell('quality', { level, lossPercent, roundTripMs });
  }
}
