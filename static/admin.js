// The operator's page: who is talking, what answers them, and a way to end a call. The key stays in this module.

import { money, waitWords } from './amounts.js';

const EVERY_MS = 3000;
const WORDS = { stt: 'Ears', llm: 'Mind', tts: 'Voice' };
const LINES = { webrtc: 'WebRTC', websocket: 'WebSocket', '': 'waiting for its client' };

const $ = (id) => document.getElementById(id);
let key = '';

/** @returns {Promise<Response>} of the server, as an admin */
const ask = (path, method = 'GET') => fetch(path, { method, headers: { Authorization: `Bearer ${key}` } });

function say(id, text) { $(id).hidden = !text; $(id).textContent = text; }

function cell(text) {
  const td = document.createElement('td');
  td.textContent = text;
  return td;
}

function duration(seconds) {
  const minutes = Math.floor(seconds / 60);
  return minutes ? `${minutes} min ${seconds % 60} s` : `${seconds} s`;
}

/** @returns {string}  what a call has cost; never 0 where that is not known */
const cost = ({ money: sum, not_priced: unknown }, currency) => (unknown.length ? (sum ? `${money(sum, currency)} and more, not priced` : 'not priced') : money(sum, currency));

function row(call, currency) {
  const tr = document.createElement('tr');
  const who = [call.key, call.user].filter(Boolean).join(', ') || 'nobody';
  tr.append(...[call.call_id.slice(0, 18), duration(call.seconds), LINES[call.line], `${call.mode}, ${call.language}`, call.items, cost(call, currency), who].map(cell));
  const button = document.createElement('button');
  button.type = 'button';
  button.className = 'plain';
  button.textContent = 'Hang up';
  button.setAttribute('aria-label', `Hang up ${call.call_id.slice(0, 18)}`);
  button.addEventListener('click', async () => {
    button.disabled = true;
    await ask(`/v1/realtime/calls/${call.call_id}`, 'DELETE').catch(() => {});
    look();
  });
  const end = document.createElement('td');
  end.append(button);
  tr.append(end);
  tr.dataset.id = call.call_id;
  return tr;
}

function spentToday({ today: { spent, budget, currency }, no_budget_s: noBudgetS }) {
  const limit = budget ? ` of ${money(budget, currency)}` : '';
  const closed = noBudgetS ? ` New calls are refused until midnight, ${waitWords(noBudgetS)}.` : '';
  return `Spent since midnight UTC, by the server’s prices: ${money(spent, currency)}${limit}.${closed}`;
}

function stage(one) {
  const li = document.createElement('li');
  const name = document.createElement('b');
  name.textContent = `${WORDS[one.stage]}: ${one.name}`;
  li.append(name, ` ${one.error || (one.ready ? one.detail : 'is loading')}`);
  li.classList.toggle('failed', Boolean(one.error));
  return li;
}

function show(seen) {
  const room = `${seen.calls} of ${seen.max_calls} lines in use`;
  $('state').textContent = `Viva ${seen.version}: ${seen.draining ? 'stopping, ' : seen.ready ? '' : 'loading, '}${room}`;
  $('today').textContent = spentToday(seen);
  $('stages').replaceChildren(...seen.providers.map(stage));
  const focused = document.activeElement?.closest?.('tr')?.dataset.id;
  $('calls').replaceChildren(...seen.list.map((call) => row(call, seen.today.currency)));
  if (focused) $('calls').querySelector(`[data-id="${CSS.escape(focused)}"] button`)?.focus();
  $('calls-box').hidden = !seen.list.length;
  $('none').hidden = seen.list.length > 0;
}

/** @returns {Promise<number>} the status; 0: no answer */
async function look() {
  let response;
  try {
    response = await ask('/v1/viva/admin/calls');
  } catch {
    say('stale', 'The server does not answer. What you see is old.');
    return 0;
  }
  say('stale', response.ok ? '' : `The server answered ${response.status}. What you see is old.`);
  if (response.ok) show(await response.json());
  return response.status;
}

$('door').addEventListener('submit', async (event) => {
  event.preventDefault();
  key = $('key').value.trim();
  const status = await look();
  const wrong = { 0: 'The server does not answer.', 200: '', 401: 'That key is not known here.', 403: 'That key may place calls, and not look in here.' };
  say('wrong', wrong[status] ?? `The server answered ${status}. Try again in a moment.`);
  if (status !== 200) { $('key').select(); return; }
  $('key').value = '';
  $('door').hidden = true;
  $('inside').hidden = false;
  setInterval(look, EVERY_MS);
});
