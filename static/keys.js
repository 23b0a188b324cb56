// Single keys during a call: M, T, D, and Space held to talk while muted. They can be switched off
// (WCAG 2.1.4) and never fire where a person types or where Space presses a button.

const TYPING = 'input, select, textarea, [contenteditable]';
const PRESSES = `${TYPING}, button, summary, a, [role="slider"]`;

/** @param {{on: () => boolean, mute: () => void, think: () => void, done: () => void, hold: (down: boolean) => void}} actions */
export function bindKeys(actions) {
  let held = false;
  const plain = (event) => !event.ctrlKey && !event.metaKey && !event.altKey;
  addEventListener('keydown', (event) => {
    if (!actions.on() || !plain(event) || event.target.closest?.(TYPING) || document.querySelector('dialog[open]')) return;
    if (event.code === 'Space') {
      if (event.target.closest?.(PRESSES)) return;
      event.preventDefault();
      if (!event.repeat) { held = true; actions.hold(true); }
      return;
    }
    const action = { m: actions.mute, t: actions.think, d: actions.done }[event.key.toLowerCase()];
    if (!action || event.repeat) return;
    event.preventDefault();
    action();
  });
  const release = () => { if (held) { held = false; actions.hold(false); } };
  addEventListener('keyup', (event) => { if (event.code === 'Space') release(); });
  addEventListener('blur', release);
}
