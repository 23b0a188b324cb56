// What each state looks and sounds like: a table, and `lookOf`, which fills in the names.
// face: a state of the face · chip: [strong, soft] · said: for aria-live (empty: nothing is said)

import { label } from './labels.js';
import { stateOf } from './states.js';
import { drawerFor, smallFor } from './notices.js';

const LOOKS = {
  start:       { face: 'idle',      chip: ['', ''], said: '' },
  connecting:  { face: 'idle',      chip: ['Connecting', 'to {name}'], said: 'Connecting.' },
  listening:   { face: 'listening', chip: ['Listening', ''], said: 'Your turn.' },
  hearing:     { face: 'hearing',   chip: ['Hearing you', ''], said: '' },
  pausing:     { face: 'hearing',   chip: ['Take your time', ''], said: '' },
  thinking:    { face: 'thinking',  chip: ['Thinking', ''], said: '{name} is thinking.', saidAfterMs: 1000 },
  speaking:    { face: 'speaking',  chip: ['{name} is speaking', 'break in any time'], said: '' },
  interrupted: { face: 'hearing',   chip: ['Go on', '{name} stopped'], said: '{name} stopped. Go on.' },
  muted:       { face: 'listening', chip: ['You are muted', 'we hear nothing'], said: 'Your microphone is muted.' },
  refused:     { face: 'listening', chip: ['No microphone', ''], said: '' },
  nocamera:    { face: 'listening', chip: ['Listening', ''], said: '' },
  lost:        { face: 'away',      chip: ['Connection lost', ''], said: '' },
  ended:       { face: 'idle',      chip: ['', ''], said: '' },
};

const CAMERA_NOTES = { off: 'Camera is off', refused: 'Camera not allowed', system: 'Camera not allowed', absent: 'No camera found', busy: 'Camera in use elsewhere', insecure: 'No camera here' };

/** @param {object} m  the model  @param {string} name  the interviewer's */
export function lookOf(m, name) {
  const state = stateOf(m), look = LOOKS[state];
  const named = (text) => label(text, { name });
  let [strong, soft] = look.chip;
  if (state === 'speaking' && m.phase === 'doubting') soft = 'hears you too';
  if (state === 'speaking' && m.again) soft = 'once more';
  if (state === 'listening' && m.thinking) [strong, soft] = ['Take your time', ''];
  if (state === 'speaking' && m.muted) soft = 'you are muted';
  if (['listening', 'nocamera'].includes(state) && (m.mic || m.note?.kind === 'deaf')) soft = 'type your answer';
  if (state === 'lost' && m.fault && m.fault.kind !== 'dropped') strong = 'Not connected';
  if (state === 'lost' && m.waits) strong = 'Reconnecting';
  const drawer = drawerFor(m, name), small = drawer ? null : smallFor(m);
  // She keeps her face while the drawer is open: her voice still plays.
  const face = state === 'refused' && m.phase === 'answering' ? (m.audible ? 'speaking' : 'thinking') : look.face;
  return {
    state, face, chip: [named(strong), named(soft)],
    said: small?.text ?? named(look.said), saidAfterMs: look.saidAfterMs ?? 0,
    alarm: drawer?.alarm ?? '',
    notice: drawer ?? small,
    selfNote: m.camera ? label(CAMERA_NOTES[m.camera]) : '',
    micOff: m.muted || m.mic !== null,
  };
}
