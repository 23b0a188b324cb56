// What this tab takes its conversation up again with, after a reload too: the server's token, and since when it waits.

import { send } from './access.js';

const KEPT = 'viva.resume';
const AGAIN_MS = 1000;

/** @param {{token: string, within_s: number}} given  session.viva.resume */
export function keep({ token, within_s: withinS }) {
  sessionStorage.setItem(KEPT, JSON.stringify({ token, withinMs: 1000 * withinS, at: Date.now() }));
}

/** The call is alive: what is kept is as young as this moment. */
export function touch() {
  const kept = read();
  if (kept) sessionStorage.setItem(KEPT, JSON.stringify({ ...kept, at: Date.now() }));
}

/** It is over for good: the server is told, as soon as it can be reached, while it would wait for us. */
export async function end() {
  const kept = read();
  forget();
  while (kept && waits(kept)) {
    if (await send(`/v1/realtime/calls/${kept.token}`, { method: 'DELETE', keepalive: true }).then(() => true, () => false)) return;
    await new Promise((done) => { setTimeout(done, AGAIN_MS); });
  }
}

export function forget() { sessionStorage.removeItem(KEPT); }

/** The token, while the server may still know it; else ''. */
export function token() {
  const kept = read();
  return kept && waits(kept) ? kept.token : '';
}

/** The page was loaded again, or come back to: not a copy of a tab that goes on talking. */
export const cameBack = () => ['reload', 'back_forward'].includes(performance.getEntriesByType('navigation')[0]?.type);

const waits = ({ at, withinMs }) => Date.now() - at < withinMs;

function read() {
  try { return JSON.parse(sessionStorage.getItem(KEPT)); } catch { return null; }
}
