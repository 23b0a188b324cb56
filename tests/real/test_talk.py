"""The whole loop in a real browser: flite speaks into the microphone, the embedded parts listen and answer.

Nothing is replaced: `python -m server` as a person starts it, pocketsphinx, the scripted mind, espeak-ng.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import wave
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Browser, Page

from pipeline.audio import MIC_RATE
from tests.environment import bare
from tests.real.browser import chromium, strict_wire, watch_for_trouble
from tests.sounds import silence, speech

ROOT = Path(__file__).resolve().parents[2]
SAID = "I like to cook pasta with my friends on the weekend"
INTERRUPTION = "Wait please stop for a moment I want to ask you something else"
GREETING_MS = 18_000  # the greeting is over by then

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
window.video = async () => {
  const stats = [...(await window.probe.peers.at(-1).getStats()).values()];
  const inbound = stats.find((s) => s.type === 'inbound-rtp' && s.kind === 'video');
  return { frames: inbound?.framesDecoded ?? 0, width: inbound?.frameWidth ?? 0 };
};
"""


def microphone(folder: Path, sound: np.ndarray) -> Path:
    path = folder / "microphone.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(MIC_RATE)
        file.writeframes(sound.tobytes())
    return path


@contextmanager
def server() -> Iterator[str]:
    """The product on a free port: its address. No key, whatever this machine has in its environment."""
    process = subprocess.Popen(
        [sys.executable, "-m", "server", "--port", "0"],
        cwd=ROOT,
        env=bare(),
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


@pytest.mark.real
@pytest.mark.timeout(180)
def test_a_person_talks_is_answered_and_can_break_in(tmp_path: Path) -> None:
    said, interruption = speech(SAID), speech(INTERRUPTION)
    # An interviewer waits up to 1.6 s and then talks for five and more: the interruption falls inside that.
    sound = np.concatenate([silence(GREETING_MS), said, silence(4_500), interruption, silence(15_000)])
    with server() as address, chromium(microphone(tmp_path, sound)) as browser, checked(browser) as page:
        trouble = watch_for_trouble(page)
        page.add_init_script(PROBE)
        start(page, address, "interview", camera=True)
        page.wait_for_selector("body[data-state=speaking]", timeout=20_000)
        page.evaluate("window.measure()")
        page.wait_for_selector("body[data-state=listening]", timeout=30_000)

        page.wait_for_selector("body[data-state=hearing]", timeout=30_000)
        page.wait_for_selector("body[data-state=speaking]", timeout=30_000)
        mine = [text for who, text in transcript(page) if who == "you"]
        assert recalled(mine[-1], SAID) >= 0.7, mine

        page.wait_for_selector("body[data-state=interrupted]", timeout=15_000)
        seen = levels(page)
        page.screenshot(path=str(tmp_path / "interrupted.png"))
        page.wait_for_selector("body[data-state=speaking]", timeout=30_000)
        assert len([who for who, _ in transcript(page) if who == "you"]) == 2

        frames = page.evaluate("window.video()")
        assert frames["width"] == 640
        assert frames["frames"] > 100
        page.click("#leave")
        page.wait_for_selector("body[data-state=ended]")
        assert trouble == []

    mine, theirs = seen[:, 1] > 0.01, seen[:, 2] > 0.01
    assert theirs.any(), "nothing was heard of the answer"
    # The interruption is the last stretch of my voice: find its beginning behind 2 s of my silence.
    spoken = np.flatnonzero(mine)
    gaps = np.flatnonzero(np.diff(seen[spoken, 0]) > 2_000)
    began = seen[spoken[gaps[-1] + 1], 0] if len(gaps) else seen[spoken[0], 0]
    assert theirs[(seen[:, 0] > began - 300) & (seen[:, 0] < began)].any(), "no reply was being spoken"
    fell_silent = seen[np.flatnonzero(theirs)[-1], 0]
    # 330 ms of ours, and the browser's own: microphone, encoder, jitter buffer, loudspeaker.
    assert fell_silent - began <= 600
