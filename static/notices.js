// The words for everything that can go wrong: what happened, what to do, and the buttons that do it.
// An action is [class, text, name]; app.js does what the name says.

import { number, seconds, waitWords } from './amounts.js';
import { inOne, label } from './labels.js';
import { isBroken } from './states.js';

/** @param {number} waitS  until there is a new one */
export const budgetWords = (waitS) => label('This server has spent what it may in a day. It talks again after midnight UTC, {wait}.', { wait: waitWords(waitS) });

const MIC = {
  refused: { title: 'The browser blocks your microphone', steps: ['Select the icon left of the page’s address', 'Set Microphone to Allow', 'Come back here and try again'], alarm: 'The browser blocks the microphone. You can allow it, or type instead.' },
  system: { title: 'Your system blocks the microphone', steps: ['Open the system’s privacy settings', 'Allow this browser to use the microphone', 'Come back here and try again'], alarm: 'Your system blocks the microphone. You can allow it, or type instead.' },
  absent: { title: 'No microphone found', steps: ['Plug one in, or switch your headset on', 'Check that it is not switched off in the system’s sound settings', 'Come back here and try again'], alarm: 'No microphone found. You can plug one in, or type instead.' },
  busy: { title: 'Another program uses the microphone', steps: ['Close calls and recorders in other windows', 'If that does not help, unplug the microphone and plug it in again', 'Come back here and try again'], alarm: 'The microphone is in use elsewhere. You can free it, or type instead.' },
  insecure: { title: 'No microphone on an unprotected page', steps: ['Browsers open the microphone only on https addresses, or on this machine itself', 'Open the page as http://127.0.0.1 on the machine it runs on, or behind https', 'Until then you can type and listen'], alarm: 'The browser opens no microphone on this address. You can type instead.' },
};
const MIC_ACTIONS = [['primary', 'Try again', 'retry-mic'], ['plain', 'Type instead', 'type-instead']];

const CAMERA = {
  refused: 'The browser blocks the camera.',
  system: 'Your system blocks the camera.',
  absent: 'No camera found.',
  busy: 'Another program uses the camera.',
  insecure: 'The browser opens no camera on this address.',
};

/** @param {string} problem  of a DeviceError */
export const microphoneWords = (problem) => label(MIC[problem].alarm);
export const cameraWords = (problem) => inOne(label(CAMERA[problem]), label('That is fine: the conversation needs only sound.'));

const retrying = (m) => (m.attempt ? label('Trying again, attempt {count}.', { count: number(m.attempt) }) : '');
function waiting(m) {
  if (!m.attempt) return label('Please try again later.');
  const { retryAfterS } = m.fault;
  return retryAfterS ? label('The page tries again every {time}, attempt {count}.', { time: seconds(retryAfterS), count: number(m.attempt) }) : retrying(m);
}
const kept = () => label('What was said stays on this page.');
const REDIAL = [['primary', 'Try now', 'redial'], ['plain', 'End', 'leave']];
const paused = () => ({ title: 'Reconnecting', text: label('The line is gone. The conversation waits for you on the server, and goes on where it was.') });
const FAULTS = {
  dropped: (m) => (m.waits ? paused() : { title: 'The connection is gone', text: inOne(retrying(m), label('What was said stays on this page; on the server the conversation starts anew.')) }),
  gone: (m) => (m.waits ? paused() : { title: 'The server does not answer', text: inOne(label(m.fault.offline ? 'This device seems to have no network. If the server runs on it, it may have stopped.' : 'It may be restarting, or stopped.'), retrying(m), kept()) }),
  busy: (m) => ({ title: 'Every line is taken', text: inOne(label('This server talks with as many people as it can at the moment.'), waiting(m)) }),
  budget: (m) => ({ title: 'Today’s budget is spent', text: budgetWords(m.fault.retryAfterS) }),
  often: (m) => ({ title: 'Too many calls from your network', text: inOne(label('This server takes only so many from one address or key.'), waiting(m)) }),
  offline: () => ({ title: 'No network', text: label('The browser finds no way out of this machine, not even to itself: is the Wi-Fi off, or does a privacy extension block WebRTC? Any network will do, it needs no internet.') }),
  timeout: (m) => ({ title: 'No sound gets through', text: inOne(label('The server answered, but its sound does not arrive: a firewall may block UDP.'), retrying(m)) }),
  locked: () => ({ title: 'Your log-in has run out', text: label('End here, and the page asks you to log in again. What was said stays on this page until then.') }),
  over: () => ({ title: 'The conversation has ended on the server', text: label('It waited, and was given up. What was said stays on this page; a new one begins.') }),
  elsewhere: () => ({ title: 'The conversation goes on elsewhere', text: label('It was taken up in another tab or window. What was said until then stays on this page.') }),
  rejected: (m) => ({ title: 'The server refused the call', text: m.fault.message }),
};

/** The drawer over the captions, or null. */
export function drawerFor(m, name) {
  if (isBroken(m)) {
    const fault = FAULTS[m.fault?.kind ?? 'dropped'](m), title = label(fault.title), { text } = fault;
    return { kind: 'large', id: 'lost', title, text, actions: m.fault?.kind === 'elsewhere' ? REDIAL.slice(1) : REDIAL, alarm: inOne(`${title}.`, m.attempt && label('Trying again.')) };
  }
  if (m.link !== 'up' || !m.micDrawer) return null;
  const { title, steps, alarm } = MIC[m.mic];
  return { kind: 'large', id: 'mic', title: label(title), steps: steps.map((step) => label(step)), alarm: label(alarm),
    text: label('You still hear {name}, and can type.', { name }), actions: m.mic === 'insecure' ? MIC_ACTIONS.slice(1) : MIC_ACTIONS };
}

/** A note in the corner, or null. */
export function smallFor(m) {
  if (m.link !== 'up' && m.link !== 'connecting') return null;
  if (m.soundBlocked) return { kind: 'small', id: 'sound', text: label('The browser waits for a click before it plays sound.'), actions: [['primary', 'Click to hear', 'unblock']] };
  const type = m.note?.kind === 'deaf' ? [['plain', 'Type', 'type-instead']] : [];
  return m.note ? { kind: 'small', id: m.note.kind, text: label(m.note.text), actions: [...type, ['quiet', 'Close', 'close-note']] } : null;
}
