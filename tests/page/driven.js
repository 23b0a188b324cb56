// The page with a call that a test speaks through: everything but the network is the product's own.
import { App } from './app.js';
import * as devices from './devices.js';
import { loadLabels } from './labels.js';
import { Settings } from './settings.js';

class DrivenCall extends EventTarget {
  constructor(parts) { super(); Object.assign(this, { parts, closed: false }); driver.calls.push(this); driver.waiting.splice(0).forEach((look) => look()); }
  async open() { if (driver.refuse) throw Object.assign(new Error('refused'), { fault: driver.refuse }); }
  send(event) { driver.sent.push(event); }
  async showCamera() { return true; }
  async useMicrophone() { return true; }
  close() { this.closed = true; }
  abandon() { this.closed = this.abandoned = true; }
}

const driver = window.driver = {
  calls: [], sent: [], refuse: null, waiting: [],
  /** Settles when the page has made its `count`-th call. */
  async dialled(count = 1) { while (driver.calls.length < count) await new Promise((look) => { driver.waiting.push(look); }); },
  get call() { return driver.calls.at(-1); },
  tell(name, detail) { driver.call.dispatchEvent(new CustomEvent(name, { detail })); },
  message(...events) { for (const event of events) driver.tell('message', event); },
  /** The own picture comes back, as the server would send it. */
  echo() { const { camera } = driver.call.parts; if (camera) driver.tell('echo', new MediaStream([camera])); },
};
await loadLabels(new Settings().get('pageLanguage'));
driver.app = new App({ Call: DrivenCall, SocketCall: DrivenCall, devices });
driver.app.start();
