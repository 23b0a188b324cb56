// What the page knows of the conversation, and what each event does to it. Pure: no page, no network,
// no clock of its own (`now` comes in), so that every state can be tried with a list of events.
//
// Server events carry the names of OpenAI Realtime; `viva.*` are the server's own; `page.*` come from
// the page itself (the link, the devices, the person's buttons).

import { length, seconds } from './amounts.js';
import { label } from './labels.js';
import { breakOff, place, put, remove, textOf } from './turns.js';

// What the server says to a button that had nothing to act on.
const HARMLESS = ['response_cancel_not_active'];      // the reply ended in the same moment
const ERRORS = { input_audio_buffer_commit_empty: 'Say something first: nothing has been heard since the last answer.', nothing_to_repeat: 'Nothing has been said yet.' };

const PARTS = {                                   // that a server may have several of
  stt: 'The recogniser changed from {from} to {to}: {why}.',
  llm: 'The model changed from {from} to {to}: {why}.',
  tts: 'The voice changed from {from} to {to}: {why}.',
};

const INTERRUPTED_MS = 1500;                      // how long "Go on" and the struck words stay

const leftWords = (leftS) => (leftS < 90 ? seconds(Math.round(leftS)) : length(60_000 * Math.round(leftS / 60)));

const SOCKET_NOTE = Object.freeze({ kind: 'socket', text: 'No UDP passes on this network. The sound takes the way of web pages, a little later than usual; your picture stays here.' });

export const START = Object.freeze({
  link: 'none',                                   // none, connecting, up, lost, ended
  attempt: 0,                                     // of connecting again
  waits: false,                                   // the server keeps the conversation for this page
  unheard: null,                                  // { item, text }: what of a reply was lost with the line
  fault: null,                                    // why there is no link: { kind, … }, worded in notices.js
  phase: 'listening',                             // the server's: listening, hearing, paused, answering, doubting
  audible: false,                                 // the reply can be heard
  patience: null,                                 // { ms, spent, why } of this pause
  interruptedAt: null,                            // page's ms
  personSpeaks: false,
  again: null,                                    // null, or the id of the reply, then of its item, that says the last answer once more
  thinking: false,                                // the person has asked for time before their first word
  ending: null,                                   // the server has said that this is the end
  muted: false,
  mic: null,                                      // null: open; else why not: refused, system, absent, busy, insecure
  micDrawer: false,                               // the drawer about it is open
  camera: null,                                   // null: shown; else off, refused, system, absent, busy, insecure
  note: null,                                     // one small notice at a time: { kind, text }
  soundBlocked: false,
  caption: { who: 'none', text: '' },
  turns: [],
  measured: [],                                   // viva.turn_metrics, oldest first
  costs: null,                                    // the last viva.costs
  speech: {},                                     // item id → { from, to }: ms of the microphone's clock, pauses included
  theySpoke: 0, voiceSince: null, upSince: null, lasted: 0,      // ms of the page's
});

const wasInterrupted = (m, now) => m.interruptedAt !== null && now - m.interruptedAt < INTERRUPTED_MS;
const closeVoice = (m, now) => (m.voiceSince === null ? {}
  : { voiceSince: null, theySpoke: m.theySpoke + now - m.voiceSince });
const finished = (caption) => (caption.who === 'they' && !caption.cut ? { ...caption, at: Infinity } : caption);
const closeLink = (m, now) => (m.upSince === null ? {} : { upSince: null, lasted: m.lasted + now - m.upSince });

const ON = {
  'page.connecting': (m, e) => ({ link: 'connecting', fault: e.attempt ? m.fault : null, attempt: e.attempt ?? 0, phase: 'listening', audible: false, patience: null, again: null, thinking: false, ending: null, interruptedAt: null, personSpeaks: false,
    caption: e.attempt ? m.caption : { who: 'none', text: e.text } }),
  'page.up': (m, e, now) => ({ link: 'up', attempt: 0, upSince: now, phase: 'answering',          // she greets first
    caption: { who: 'none', text: '' },
    fault: null,
    note: e.socket ? SOCKET_NOTE : m.lasted > 0 && !e.resumed ? { kind: 'again', text: 'Connected again. The conversation on the server starts anew; your transcript is kept here.' } : m.note }),
  'page.lost': (m, e, now) => ({ link: 'lost', fault: e.fault, waits: Boolean(e.waits), attempt: e.attempt ?? m.attempt, audible: false, patience: null, personSpeaks: false, ...closeVoice(m, now), ...closeLink(m, now),
    turns: m.upSince === null ? m.turns : breakOff(m.turns, `break-${now}`, label('The connection was lost here.')) }),
  'page.ended': (m, e, now) => ({ link: 'ended', audible: false, note: null, soundBlocked: false, ...closeVoice(m, now), ...closeLink(m, now) }),
  'page.start': (m) => ({ ...START, muted: m.muted }),
  'page.think': (m) => ({ thinking: m.phase === 'listening' }),
  'page.muted': (m, e) => ({ muted: e.muted }),
  'page.mic': (m, e) => ({ mic: e.problem, micDrawer: Boolean(e.problem) }),
  'page.type-instead': () => ({ micDrawer: false }),
  'page.camera': (m, e) => ({ camera: e.problem,
    note: e.problem && e.problem !== 'off' ? { kind: 'camera', text: e.text } : m.note?.kind === 'camera' ? null : m.note }),
  'page.note': (m, e) => ({ note: e.note }),
  'page.sound': (m, e) => ({ soundBlocked: e.blocked }),

  'viva.floor': (m, e, now) => ({
    phase: e.phase, audible: Boolean(e.audible), thinking: m.thinking && e.phase === 'listening',
    patience: e.phase === 'paused' && e.patience_ms ? { ms: e.patience_ms, spent: e.spent_ms ?? 0, why: e.why ?? '' } : null,
    interruptedAt: e.phase === 'hearing' || e.phase === 'paused' ? m.interruptedAt : null,
    caption: e.phase === 'listening' ? finished(m.caption) : m.caption,
    note: m.note?.kind === 'camera' && e.phase === 'hearing' ? null : m.note,
  }),
  'viva.partial': (m, e, now) => ({
    turns: put(m.turns, e.item_id, 'you', () => ({ text: e.sure ?? '', tail: e.tail ?? '', live: true })),
    // While she speaks or has just been cut, her words stay in the strip.
    caption: m.phase === 'doubting' || wasInterrupted(m, now) ? m.caption : { who: 'you', item: e.item_id, sure: e.sure ?? '', tail: e.tail ?? '' },
    interruptedAt: wasInterrupted(m, now) ? m.interruptedAt : null,
  }),
  'viva.phrase': (m, e) => ({ caption: { who: 'they', item: e.item_id, text: e.text, at: -1, cut: false } }),
  'viva.word': (m, e) => (m.caption.who === 'they' && m.caption.item === e.item_id && !m.caption.cut ? { caption: { ...m.caption, at: e.start } } : {}),
  'viva.turn_metrics': (m, e) => ({ measured: [...m.measured, e] }),
  // That the language is not understood has been said already.
  'viva.trouble': (m, e) => (m.note?.kind === 'deaf' && e.stage === 'stt' ? {} : { note: { kind: 'trouble', text: e.message } }),
  'viva.provider': (m, e) => (m.note?.kind === 'deaf' ? {} : { note: { kind: 'provider', text: label(PARTS[e.stage], { from: e.from, to: e.to, why: e.why }) } }),
  'viva.costs': (m, e) => ({ costs: e }),
  'viva.ending': (m, e) => ({ note: { kind: 'ending', text: e.in_s === null ? 'What conversations may cost here is nearly spent: this one ends soon, with a goodbye.'
    : label(e.why === 'server_stops' ? 'This server is about to be stopped: {time} are left.' : 'This server ends conversations after a while: {time} are left.', { time: leftWords(e.in_s) }) } }),
  // The same conversation on a new line; its items follow, so what is known is only put in its place again.
  'viva.resumed': (m, e) => ({
    turns: m.turns.at(-1)?.who === 'note' ? m.turns.slice(0, -1) : m.turns,
    unheard: e.unheard && { item: e.unheard.item_id, text: e.unheard.text.trim() },
    caption: e.unheard ? { who: 'they', item: e.unheard.item_id, text: e.unheard.text.trim(), at: Infinity, cut: false } : m.caption,
    note: m.note === SOCKET_NOTE ? m.note : { kind: 'again', text: e.unheard ? 'Connected again. What you have missed is marked in the transcript.' : 'Connected again. Go on where you were.' },
  }),
  'viva.ended': (m, e) => ({ ending: e.why ?? 'over' }),

  'input_audio_buffer.speech_started': (m, e) => ({ personSpeaks: true, speech: { ...m.speech, [e.item_id]: { from: e.audio_start_ms, to: e.audio_start_ms } } }),
  'input_audio_buffer.speech_stopped': (m, e) => ({ personSpeaks: false,
    speech: e.item_id in m.speech ? { ...m.speech, [e.item_id]: { ...m.speech[e.item_id], to: e.audio_end_ms } } : m.speech }),
  // What is said once more is no new turn: the server adds an item for it and takes that back afterwards.
  'response.created': (m, e) => ({ again: e.response.metadata?.viva === 'repeat' ? e.response.id : null }),
  'response.output_item.added': (m, e) => (e.response_id === m.again ? { again: e.item.id } : {}),
  'conversation.item.added': (m, e) => (e.item.id === m.again ? {} : { turns: place(m.turns, e.item, e.previous_item_id) }),
  'conversation.item.done': (m, e) => (e.item.type !== 'message' ? {} : {
    turns: m.turns.map((turn) => (turn.id !== e.item.id ? turn
      : { ...turn, text: textOf(e.item) || turn.text, unheard: m.unheard?.item === turn.id ? m.unheard.text : turn.unheard ?? '', live: turn.who === 'you' && !textOf(e.item) && !turn.text, cut: turn.cut || (turn.who === 'they' && e.item.status === 'incomplete') })),
  }),
  'conversation.item.deleted': (m, e) => ({ turns: remove(m.turns, e.item_id), interruptedAt: null,
    speech: Object.fromEntries(Object.entries(m.speech).filter(([id]) => id !== e.item_id)),
    ...(m.again === e.item_id ? { again: null } : { caption: m.caption.item === e.item_id ? { who: 'none', text: '' } : m.caption }) }),
  'conversation.item.truncated': (m, e) => ({ turns: m.turns.map((turn) => (turn.id === e.item_id ? { ...turn, cut: true, live: false } : turn)) }),
  'conversation.item.input_audio_transcription.completed': (m, e, now) => ({
    turns: e.transcript.trim() ? put(m.turns, e.item_id, 'you', () => ({ text: e.transcript.trim(), tail: '', live: false })) : remove(m.turns, e.item_id),
    // A recogniser without partial results speaks here for the first time.
    caption: m.audible || m.phase === 'doubting' || wasInterrupted(m, now) || !e.transcript.trim() ? m.caption : { who: 'you', item: e.item_id, sure: e.transcript.trim(), tail: '' },
  }),
  'conversation.item.input_audio_transcription.failed': (m, e) => ({ turns: remove(m.turns, e.item_id), note: { kind: 'trouble', text: e.error?.message ?? 'That could not be understood.' } }),
  'response.output_audio_transcript.delta': (m, e) => (e.item_id === m.again ? {} : { turns: put(m.turns, e.item_id, 'they', (turn) => ({ text: turn.text + e.delta })) }),
  'response.output_text.delta': (m, e) => (e.item_id === m.again ? {} : { turns: put(m.turns, e.item_id, 'they', (turn) => ({ text: turn.text + e.delta })) }),
  'response.done': (m) => ({ turns: m.turns.map((turn) => (turn.who === 'they' && turn.live ? { ...turn, live: false } : turn)) }),
  'output_audio_buffer.started': (m, e, now) => ({ audible: true, voiceSince: m.voiceSince ?? now }),
  'output_audio_buffer.stopped': (m, e, now) => ({ ...closeVoice(m, now), caption: finished(m.caption) }),
  'output_audio_buffer.cleared': (m, e, now) => ({ ...closeVoice(m, now),
    caption: m.caption.who === 'they' ? { ...m.caption, cut: true } : m.caption,
    interruptedAt: m.personSpeaks ? now : null }),
  error: (m, e) => {
    const text = HARMLESS.includes(e.error?.code) ? null : ERRORS[e.error?.code] ?? e.error?.message ?? 'Something went wrong on the server.';
    return text === null ? {} : { note: { kind: 'trouble', text } };
  },
};

/** @param {object} model  START or what this returned before  @param {number} now  ms */
export function reduce(model, event, now) {
  const change = ON[event.type];
  return change ? { ...model, ...change(model, event, now) } : model;
}

/** There is no connection although there should be one. */
export const isBroken = (m) => m.link === 'lost' || (m.link === 'connecting' && m.fault !== null);

/** The one state that is shown: the keys of LOOKS in looks.js. */
export function stateOf(m) {
  if (m.link === 'none') return 'start';
  if (isBroken(m)) return 'lost';                 // also while it is being tried again
  if (m.link !== 'up') return m.link;
  if (m.micDrawer) return 'refused';
  const floor = m.interruptedAt !== null && m.phase === 'hearing' ? 'interrupted'
    : { listening: 'listening', hearing: 'hearing', paused: 'pausing', doubting: 'speaking', answering: m.audible ? 'speaking' : 'thinking' }[m.phase];
  if (m.muted && ['listening', 'hearing', 'pausing'].includes(floor)) return 'muted';
  return floor === 'listening' && m.note?.kind === 'camera' ? 'nocamera' : floor;
}

/** The conversation is over and its last word has been heard. */
export const isOver = (m) => m.link === 'up' && m.ending !== null && !m.audible && m.phase !== 'answering';
