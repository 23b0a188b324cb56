// What this tab takes its conversation up again with, after a reload too: the server's token, and since when it waits.

const KEPT = 'viva.resume';

/** @param {{token: string, within_s: number}} given  session.viva.resume */
export function keep({ token, within_s: withinS }) {
  sessionStorage.setItem(KEPT, JSON.stringify({ token, withinMs: 1000 * withinS, at: Date.now() }));
}

/** The call is alive: what is kept is as young as this moment. */
export function touch() {
  const kept = read();
  if (kept) sessionStorage.setItem(KEPT, JSON.stringify({ ...kept, at: Date.now() }));
}

export function forget() { sessionStorage.removeItem(KEPT); }

/** The token, while the server may still know it; else ''. */
export function token() {
  const kept = read();
  return kept && Date.now() - kept.at < kept.withinMs ? kept.token : '';
}

/** The page was loaded again, or come back to: not a copy of a tab that goes on talking. */
export const cameBack = () => ['reload', 'back_forward'].includes(performance.getEntriesByType('navigation')[0]?.type);

function read() {
  try { return JSON.parse(sessionStorage.getItem(KEPT)); } catch { return null; }
}
