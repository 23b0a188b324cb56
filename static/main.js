// The page as it is served: everything real. Tests load `app.js` with other parts.
import { App } from './app.js';
import { Call } from './call.js';
import { SocketCall } from './socket-call.js';
import * as devices from './devices.js';
import { loadLabels } from './labels.js';
import { Settings } from './settings.js';

await loadLabels(new Settings().get('pageLanguage'));
new App({ Call, SocketCall, devices }).start();
