"""The media path with a real browser at the other end: its codecs, its packets, its jitter buffer."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import pytest
from playwright.async_api import Page, async_playwright

from tests.babble import babble
from tests.real.browser import chromium_arguments
from tests.real.media_peers import Answerer, at

pytestmark = pytest.mark.real

OFFER = """async ([codec, hint]) => {
  const stream = await navigator.mediaDevices.getUserMedia(
    {audio: {echoCancellation: false, autoGainControl: false, noiseSuppression: false},
     video: {width: 640, height: 480, frameRate: 30}});
  const pc = window.pc = new RTCPeerConnection();
  stream.getVideoTracks()[0].contentHint = hint;
  stream.getTracks().forEach(track => pc.addTrack(track, stream));
  pc.ontrack = event => {
    const element = document.createElement(event.track.kind);
    element.autoplay = true;
    element.srcObject = new MediaStream([event.track]);
    document.body.append(element);
  };
  const wanted = RTCRtpReceiver.getCapabilities('video').codecs.filter(
    each => each.mimeType === codec || each.mimeType === 'video/rtx');
  pc.getTransceivers()[1].setCodecPreferences(wanted);
  await pc.setLocalDescription(await pc.createOffer());
  while (pc.iceGatheringState !== 'complete')
    await new Promise(resolve => pc.addEventListener('icegatheringstatechange', resolve, {once: true}));
  return pc.localDescription.sdp;
}"""
KEEP_SIZE = "detail"  # as a hint: a machine or a network that is slow leaves out frames, and shrinks none
WIDE_BAND = {8, 9, 10, 11, 20, 21, 22, 23}  # RFC 6716, table 2: SILK and CELT
ANSWER = "sdp => window.pc.setRemoteDescription({type: 'answer', sdp})"
STATS = """async () => {
  const out = {};
  for (const each of (await window.pc.getStats()).values())
    if (each.type === 'inbound-rtp') out[each.kind] = each;
  return out;
}"""


@pytest.fixture
async def page() -> AsyncIterator[Page]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=chromium_arguments()
        )
        page = await browser.new_page()
        await page.route(
            "http://localhost/", lambda route: route.fulfill(content_type="text/html", body="<body></body>")
        )
        await page.goto("http://localhost/")  # a secure context: it may ask for the camera
        yield page
        await browser.close()


async def stats(page: Page) -> dict[str, Any]:
    return await page.evaluate(STATS)


@pytest.mark.parametrize("codec", ["video/VP8", "video/H264"])
async def test_chromium_sees_its_camera_and_both_voices_pass(page: Page, codec: str) -> None:
    said = babble(60.0)
    asked = 0

    def read(count: int) -> np.ndarray | None:
        nonlocal asked
        asked += count
        return said[asked - count : asked]

    server = Answerer(read=read)
    try:
        await page.evaluate(ANSWER, await server.answer(await page.evaluate(OFFER, [codec, KEEP_SIZE])))
        loop = asyncio.get_running_loop()
        deadline = loop.time() + 20
        seen: dict[str, Any] = {}
        while loop.time() < deadline and seen.get("video", {}).get("framesDecoded", 0) < 60:
            await at(loop.time() + 0.5)
            seen = await stats(page)
        assert seen["video"]["framesDecoded"] >= 60
        assert (seen["video"]["frameWidth"], seen["video"]["frameHeight"]) == (640, 480)
        assert server.echo is not None
        assert server.echo.passed >= 60, "nothing was decoded on the way"
        assert seen["audio"]["totalAudioEnergy"] > 0.001, "the browser hears the voice"
        assert seen["audio"]["packetsLost"] == 0
        assert np.abs(server.heard()).max() > 1000, "the beeps of its microphone are heard"
        assert server.ears.figures["restarts"] == 0
        assert server.configurations <= WIDE_BAND, "as was asked for"

        keys = server.echo.key_frames
        server.echo.ask_key_frame()
        while loop.time() < deadline and server.echo.key_frames == keys:
            await at(loop.time() + 0.05)
        assert server.echo.key_frames > keys, "the browser's encoder answers a request"
    finally:
        await page.evaluate("() => window.pc && window.pc.close()")
        await server.close()
