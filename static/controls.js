// Buttons, keys and boxes: each calls one thing of the app.

import { bindKeys } from './keys.js';
import { keepTranscript } from './ended.js';

const $ = (id) => document.getElementById(id);
const narrow = () => matchMedia('(max-width: 900px)').matches;

/** The transcript: a column, or on a narrow page a sheet; focus follows what was opened or closed. */
function showPanel(app, shown) {
  if (narrow()) document.body.dataset.panel = shown ? 'open' : 'shown';
  else app.settings.set('panel', shown);
  (shown ? $('log') : $('show-panel')).focus();
}

function typeInstead(app) {
  if (narrow()) document.body.dataset.panel = 'open';
  else app.settings.set('panel', true);
  $('typed').focus();
}

/** @param {App} app */
export function bindControls(app) {
  let held = false;
  const click = (id, does) => $(id).addEventListener('click', does);
  $('start').addEventListener('submit', (event) => { event.preventDefault(); if (!$('go').disabled) app.begin(); });
  click('mute', () => app.setMuted(!app.model.muted));
  click('think', () => app.think());
  click('done', () => app.send('input_audio_buffer.commit'));
  click('repeat', () => app.send('viva.repeat'));
  click('reset', () => app.begin());
  click('leave', () => app.leave());
  click('again', () => app.home());
  click('keep', () => keepTranscript(app.model, app.person, app.language));
  click('camera', () => app.toggleCamera());
  click('show-captions', () => app.settings.set('captions', !app.settings.get('captions')));
  click('hide-panel', () => showPanel(app, false));
  click('show-panel', () => showPanel(app, document.body.dataset.panel !== 'open'));
  click('open-settings', () => $('settings').showModal());
  const actions = {
    'retry-mic': () => app.retryMicrophone(),
    'type-instead': () => { app.dispatch({ type: 'page.type-instead' }); typeInstead(app); },
    redial: () => app.redial(),
    leave: () => app.leave(),
    'close-note': () => app.dispatch({ type: 'page.note', note: null }),
  };
  $('notice').addEventListener('click', ({ target }) => actions[target.dataset.action]?.());
  addEventListener('click', () => { if (app.model.soundBlocked) app.unblock(); });          // any click will do, not only the notice's
  $('type').addEventListener('submit', (event) => {
    event.preventDefault();
    const text = $('typed').value.trim();
    if (!text || app.model.link !== 'up') return;
    app.type(text);
    $('typed').value = '';
  });
  addEventListener('keydown', (event) => { if (event.key === 'Escape' && document.body.dataset.panel === 'open') showPanel(app, false); });
  bindKeys({
    on: () => app.settings.get('singleKeys') && app.model.link === 'up',
    mute: () => app.setMuted(!app.model.muted),
    think: () => app.think(),
    done: () => app.send('input_audio_buffer.commit'),
    hold: (down) => {                             // Space held: talk, while muted
      if (down ? !app.model.muted : !held) return;
      held = down;
      app.setMuted(!down);
    },
  });
}
