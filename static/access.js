// The way in, on a server that asks for a key: the page changes the key for a client secret, which opens calls for two
// hours, and keeps only that, in this tab. No cookie: nothing that another site could make a browser send.

import { seconds } from './amounts.js';
import { label } from './labels.js';

const KEPT = 'viva.client-secret';
const LIFE_S = 7200;                              // the most that a secret may have

/** The client secret, or ''. */
export const secret = () => sessionStorage.getItem(KEPT) ?? '';

export function forget() { sessionStorage.removeItem(KEPT); }

/** `fetch`, as whoever has logged in here. */
export function send(path, options = {}) {
  const headers = new Headers(options.headers);
  if (secret()) headers.set('Authorization', `Bearer ${secret()}`);
  return fetch(path, { ...options, headers });
}

/** What a WebSocket carries in place of that header. */
export const protocols = () => ['realtime', ...(secret() ? [`openai-insecure-api-key.${secret()}`] : [])];

/** @returns {Promise<string>}  what went wrong, in words for the person; '': it is open */
export async function logIn(key) {
  let response;
  try {
    response = await fetch('/v1/realtime/client_secrets', {
      method: 'POST', headers: { 'Content-Type': 'application/json', Authorization: `Bearer ${key}` },
      body: JSON.stringify({ expires_after: { anchor: 'created_at', seconds: LIFE_S } }),
    });
  } catch {
    return label(navigator.onLine ? 'The server does not answer. Try again in a moment.' : 'This device seems to have no network.');
  }
  if (response.status === 401) return label('That key is not known here. Check that all of it was copied.');
  if (response.status === 429) return label('Too many tries. Wait {time}.', { time: seconds(Number(response.headers.get('Retry-After')) || 60) });
  if (!response.ok) return label('The server answered {status}. Try again in a moment.', { status: response.status });
  sessionStorage.setItem(KEPT, (await response.json()).value);
  return '';
}
