// Microphone and camera, and why they do not open, in one word each (worded in notices.js).

const AUDIO = { echoCancellation: true, noiseSuppression: true, autoGainControl: true };
const VIDEO = { width: { ideal: 640, max: 640 }, height: { ideal: 480, max: 480 }, frameRate: { ideal: 30, max: 30 } };

export class DeviceError extends Error {
  /** @param {'microphone'|'camera'} device  @param {'refused'|'system'|'absent'|'busy'|'insecure'} problem */
  constructor(device, problem) { super(`${device}: ${problem}`); Object.assign(this, { device, problem }); }
}

function problemOf(error) {
  if (error.name === 'NotAllowedError' || error.name === 'SecurityError') return /system/i.test(error.message) ? 'system' : 'refused';
  if (error.name === 'NotFoundError' || error.name === 'OverconstrainedError') return 'absent';
  return 'busy';                                  // NotReadableError, AbortError: there, but it cannot be had
}

async function open(device, constraints) {
  if (!navigator.mediaDevices?.getUserMedia) throw new DeviceError(device, 'insecure');
  try {
    return (await navigator.mediaDevices.getUserMedia(constraints)).getTracks()[0];
  } catch (error) {
    throw new DeviceError(device, problemOf(error));
  }
}

/** @param {string} [id]  a deviceId; another one is taken where it is gone
 *  @returns {Promise<MediaStreamTrack>}  Throws DeviceError. */
export const openMicrophone = (id) => open('microphone', { audio: { ...AUDIO, ...(id ? { deviceId: { ideal: id } } : {}) } });
export const openCamera = () => open('camera', { video: VIDEO });

/** @returns {Promise<{id: string, label: string}[]>}  nameless until one was opened */
export async function microphones() {
  const all = await navigator.mediaDevices?.enumerateDevices?.() ?? [];
  return all.filter(({ kind }) => kind === 'audioinput').map(({ deviceId, label }) => ({ id: deviceId, label }));
}

/** May it be opened without the browser asking? */
export async function isGranted(name) {
  try { return (await navigator.permissions.query({ name })).state === 'granted'; } catch { return false; }
}
