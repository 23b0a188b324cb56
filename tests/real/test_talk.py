"""The whole loop in a real browser: flite speaks into the microphone, the embedded parts listen and answer.

Nothing is replaced: `python -m server` as a person starts it, pocketsphinx, the scripted mind, espeak-ng.
"""

from __future__ import annotations

import base64
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from playwright.sync_api import Browser, Page

from tests.environment import bare
from tests.real.browser import chromium, strict_wire, watch_for_trouble
from tests.sounds import speech

ROOT = Path(__file__).resolve().parents[2]
SAID = "I like to cook pasta with my friends on the weekend"
INTERRUPTION = "Wait please stop for a moment I want to ask you something else"
SILENT_WITHIN_MS = 600  # 330 of ours, and the browser's own: microphone, encoder, jitter buffer, loudspeaker
PAUSE_MS = 300  # longer than a reply has between its sentences
HEARD_MS = 1_200  # of the reply, before it is broken into: past the moment up to which it would be withdrawn

# Somebody at the microphone who speaks when the test says so: a machine may be slow, and Chromium's own
# microphone plays a file from its beginning on, whatever the call does.
MOUTH = """
const real = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
let room, outlet;
navigator.mediaDevices.getUserMedia = async (wanted) => {
  const stream = await real(wanted);
  for (const beeps of stream.getAudioTracks()) {
    room ??= new AudioContext({ sampleRate: 16000 });
    outlet ??= room.createMediaStreamDestination();
    stream.removeTrack(beeps);
    beeps.stop();
    stream.addTrack(outlet.stream.getAudioTracks()[0].clone());
  }
  return stream;
};
window.say = (base64) => {
  const pcm = new Int16Array(Uint8Array.from(atob(base64), (c) => c.charCodeAt(0)).buffer);
  const sound = room.createBuffer(1, pcm.length, 16000);
  sound.copyToChannel(Float32Array.from(pcm, (x) => x / 32768), 0);
  const source = new AudioBufferSourceNode(room, { buffer: sound });
  source.connect(outlet);
  source.start();
};
"""
# Kept by the page for the test: every peer connection, and both levels every 10 ms.
PROBE = """
window.probe = { peers: [], levels: [] };
window.RTCPeerConnection = class extends RTCPeerConnection {
  constructor(...args) { super(...args); window.probe.peers.push(this); }
};
const level = (analyser, bins) => {
  analyser.getFloatTimeDomainData(bins);
  return Math.sqrt(bins.reduce((sum, x) => sum + x * x, 0) / bins.length);
};
window.measure = () => {
  const context = new AudioContext(), bins = new Float32Array(512);
  const tap = (track) => {
    const analyser = new AnalyserNode(context, { fftSize: 512 });
    context.createMediaStreamSource(new MediaStream([track])).connect(analyser);
    return analyser;
  };
  const peer = window.probe.peers.at(-1);
  const mine = tap(peer.getSenders().find((s) => s.track?.kind === 'audio').track);
  const theirs = tap(peer.getReceivers().find((r) => r.track.kind === 'audio').track);
  const note = () => window.probe.levels.push([performance.now(), level(mine, bins), level(theirs, bins)]);
  setInterval(note, 10);
};
// Until there has been an answer for so long: ms since their voice was first heard behind mine.
window.answered = (ms) => new Promise((resolve) => {
  const look = setInterval(() => {
    const { levels } = window.probe, mine = levels.findLastIndex(([, me]) => me > 0.01);
    const theirs = levels.slice(mine + 1).find(([, , them]) => them > 0.01);
    if (mine < 0 || !theirs || performance.now() - theirs[0] < ms) return;
    clearInterval(look);
    resolve();
  }, 20);
});
// Until they have been silent for so long, after my voice was heard behind `since` (ms of the page).
window.silenced = (since, ms) => new Promise((resolve) => {
  const look = setInterval(() => {
    const { levels } = window.probe, theirs = levels.findLast(([, , them]) => them > 0.01);
    if (!levels.some(([at, me]) => at > since && me > 0.01) || performance.now() - theirs[0] < ms) return;
    clearInterval(look);
    resolve();
  }, 20);
});
window.frames_seen = async () => {
  const stats = [...(await window.probe.peers.at(-1).getStats()).values()];
  return stats.find((s) => s.type === 'inbound-rtp' && s.kind === 'video')?.framesDecoded ?? 0;
};
"""


def say(page: Page, sound: np.ndarray) -> None:
    """int16 at MIC_RATE, into the microphone now."""
    page.evaluate("(sound) => window.say(sound)", base64.b64encode(sound.tobytes()).decode())


@contextmanager
def server() -> Iterator[str]:
    """The product on a free port: its address. No key, whatever this machine has in its environment."""
    process = subprocess.Popen(
        [sys.executable, "-m", "server", "--port", "0"],
        cwd=ROOT,
        env=bare(VIVA_CALL__SPEED="1.25"),  # done sooner
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout
        yield process.stdout.readline().split()[-1]
    finally:
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGINT)  # a second one does not wait for calls
        process.wait(timeout=20)
        if process.stdout:
            process.stdout.close()


def start(page: Page, address: str, mode: str, *, camera: bool) -> None:
    page.goto(address)
    page.wait_for_selector("#go:not([disabled])")
    page.check(f"input[name=mode][value={mode}]", force=True)
    if camera and page.get_attribute("#preview-camera", "aria-pressed") != "true":
        page.click("#preview-camera")
    page.click("#go")


def transcript(page: Page) -> list[tuple[str, str]]:
    turns: list[Any] = page.eval_on_selector_all(
        "#turns li", "all => all.map((li) => [li.dataset.who, li.textContent])"
    )
    return [(who, " ".join(text.split())) for who, text in turns]


@contextmanager
def checked(browser: Browser) -> Iterator[Page]:
    """A page that is sent only what clients expect."""
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    with strict_wire(page):
        yield page


def levels(page: Page) -> np.ndarray:
    """Rows of ms, own level, their level."""
    return np.array(page.evaluate("window.probe.levels"))


def recalled(text: str, said: str) -> float:
    """Share of the words of `said` that are in `text`."""
    words = said.lower().split()
    return sum(word in text.lower().split() for word in words) / len(words)


def kept_waiting_ms() -> dict[Path, float]:
    """For how long each thread of the server and the browser could have run and got no processor.

    Source: Documentation/scheduler/sched-stats.rst of Linux, /proc/<pid>/schedstat."""
    waited_ms = {}
    for process in psutil.Process().children(recursive=True):
        for thread in Path(f"/proc/{process.pid}/task").glob("*/schedstat"):
            with suppress(OSError):  # it has ended
                waited_ms[thread] = int(thread.read_text().split()[1]) / 1e6
    return waited_ms


@pytest.mark.real
@pytest.mark.timeout(180)
def test_a_person_talks_is_answered_and_can_break_in() -> None:
    said, interruption = speech(SAID), speech(INTERRUPTION)
    with server() as address, chromium() as browser, checked(browser) as page:
        trouble = watch_for_trouble(page)
        page.add_init_script(MOUTH + PROBE)
        start(page, address, "interview", camera=True)
        page.wait_for_selector("body[data-state=speaking]", timeout=20_000)
        page.evaluate("window.measure()")
        page.wait_for_selector("body[data-state=listening]", timeout=30_000)

        say(page, said)
        page.wait_for_selector("body[data-state=hearing]", timeout=30_000)
        page.wait_for_selector("body[data-state=speaking]", timeout=30_000)
        page.evaluate("(ms) => window.answered(ms)", HEARD_MS)
        mine = [text for who, text in transcript(page) if who == "you"]
        assert recalled(mine[-1], SAID) >= 0.7, mine
        before_ms, since_ms = kept_waiting_ms(), page.evaluate("performance.now()")
        say(page, interruption)
        page.evaluate("([since, ms]) => window.silenced(since, ms)", [since_ms, PAUSE_MS])
        waited_ms = [ms - before_ms.get(thread, 0.0) for thread, ms in kept_waiting_ms().items()]
        starved_ms = max(waited_ms, default=0.0)
        page.wait_for_selector("#turns li[data-who=they] .cut", timeout=15_000)
        seen = levels(page)
        page.wait_for_selector("body[data-state=speaking]", timeout=30_000)
        assert len([who for who, _ in transcript(page) if who == "you"]) == 2

        assert page.evaluate("window.frames_seen()") > 100  # of a size that a slow machine makes smaller
        page.click("#leave")
        page.wait_for_selector("body[data-state=ended]")
        assert trouble == []

    mine, theirs = seen[:, 1] > 0.01, seen[:, 2] > 0.01
    assert theirs.any(), "nothing was heard of the answer"
    # The interruption is the last stretch of my voice: find its beginning behind 2 s of my silence.
    spoken = np.flatnonzero(mine)
    gaps = np.flatnonzero(np.diff(seen[spoken, 0]) > 2_000)
    began = seen[spoken[gaps[-1] + 1], 0] if len(gaps) else seen[spoken[0], 0]
    just_before = (seen[:, 0] > began - 1_000) & (seen[:, 0] < began)  # more than a pause between sentences
    assert theirs[just_before].any(), "no reply was being spoken"
    fell_silent = seen[np.flatnonzero(theirs)[-1], 0]
    print(f"silent after {fell_silent - began:.0f} ms; a thread was kept waiting for {starved_ms:.0f} ms")
    assert fell_silent - began <= SILENT_WITHIN_MS + starved_ms
