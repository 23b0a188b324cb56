"""The same networks with a real browser in them: the page behind a NAT, and a webcam over a slow line."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from playwright.async_api import Page, Route, async_playwright

from tests.real.browser import chromium_arguments, chromium_path
from tests.real.internet import HOME, NO_UDP, SERVER, TURN_TCP, Internet, serving
from tests.real.media_peers import at
from tests.real.networks import Machine, World, needed, world
from tests.real.test_media_chromium import ANSWER, OFFER

pytestmark = pytest.mark.real

HAPPENS_WITHIN_S = 30.0  # on a busy machine
SLOW_KBIT_S, QUEUE_MS = 180, 500  # a phone at the edge of its cell
SMOOTH_FPS = 10
SMOOTH_S = 3  # in a row
SMOOTH_WITHIN_S = 75.0  # ten as a rule; an encoder that gets no time misleads the estimate meanwhile

KEEP_PEER = """
window.RTCPeerConnection = class extends RTCPeerConnection {
  constructor(...given) { super(...given); window.pc = this; }
};
"""
# The kind of path that sound takes, once it takes one.
PATH = """async () => {
  const stats = [...(await window.pc.getStats()).values()];
  const pair = stats.find(each => each.type === 'candidate-pair' && each.nominated);
  const local = stats.find(each => each.id === pair?.localCandidateId);
  const sound = stats.find(each => each.type === 'inbound-rtp' && each.kind === 'audio');
  return sound?.packetsReceived > 10 && local ? [local.candidateType, local.relayProtocol ?? ''] : null;
}"""
LISTEN = """async () => {
  const pc = new RTCPeerConnection();
  pc.addTransceiver('audio', {direction: 'recvonly'});
  await pc.setLocalDescription();
  while (pc.iceGatheringState !== 'complete')
    await new Promise(resolve => pc.addEventListener('icegatheringstatechange', resolve, {once: true}));
  return pc.localDescription.sdp;
}"""
VIDEO = """async () => {
  const stats = [...(await window.pc.getStats()).values()].filter(each => each.kind === 'video');
  return [stats.find(each => each.type === 'outbound-rtp')?.bytesSent ?? 0,
          stats.find(each => each.type === 'inbound-rtp')?.framesDecoded ?? 0];
}"""


@pytest.fixture
def net() -> Iterator[World]:
    needed()
    with world() as made:
        yield made


@asynccontextmanager
async def page_at(machine: Machine, folder: Path, arguments: list[str]) -> AsyncIterator[Page]:
    """A page of a browser at that machine. What it asks over HTTP is asked from here."""
    wrapper = folder / "chromium-there"

    async def ask_from_here(route: Route) -> None:
        await route.fulfill(response=await route.fetch())

    async with async_playwright() as playwright:
        there = f"exec ip netns exec {machine.name} {chromium_path() or playwright.chromium.executable_path}"
        wrapper.write_text(f'#!/bin/sh\n{there} "$@"\n')
        wrapper.chmod(0o755)
        browser = await playwright.chromium.launch(executable_path=wrapper, args=arguments)
        try:
            page = await browser.new_page()
            page.set_default_timeout(1000 * HAPPENS_WITHIN_S)
            await page.add_init_script(KEEP_PEER)
            await page.route("http://127.0.0.1:*/**", ask_from_here)
            try:
                yield page
            except BaseException:
                print(await page.inner_text("body"))
                raise
        finally:
            await browser.close()


async def test_the_page_talks_through_a_relay_over_tcp_where_no_udp_passes(
    net: World, tmp_path: Path
) -> None:
    internet = Internet(net)
    router, client = internet.at_home("client")
    router.rules(NO_UDP)
    await internet.relay(tmp_path)
    async with (
        serving(internet.public("server", SERVER), udp_port=50_000, servers=(TURN_TCP,)) as server,
        page_at(client, tmp_path, chromium_arguments()) as page,
    ):
        await page.goto(server.url)
        await page.wait_for_selector("#go:not([disabled])")
        await page.check("input[name=mode][value=chat]", force=True)
        await page.click("#go")
        await page.wait_for_selector("body[data-state=listening]")
        path = await page.wait_for_function(PATH)
        assert await path.json_value() == ["relay", "tcp"]


async def test_a_page_that_may_not_use_the_microphone_hides_where_it_is_and_hears_the_voice(
    net: World, tmp_path: Path
) -> None:
    internet = Internet(net)
    machine, client = internet.public("server", SERVER), internet.public("client", HOME)
    hiding = [each for each in chromium_arguments(ask=True) if "WebRtcHideLocalIps" not in each]
    async with serving(machine) as server, page_at(client, tmp_path, hiding) as page:
        await page.goto(f"{server.url}/healthz")
        offer = await page.evaluate(LISTEN)
        assert ".local " in offer
        assert HOME not in offer
        placed = await server.worker.place(offer)
        await page.evaluate(ANSWER, placed.answer)
        await page.wait_for_function(PATH)


async def test_a_camera_sends_what_the_way_back_carries_and_its_picture_stays_smooth(
    net: World, tmp_path: Path
) -> None:
    internet = Internet(net)
    machine, client = internet.public("server", SERVER), internet.public("client", HOME)
    machine.slow_down("eth0", SLOW_KBIT_S, QUEUE_MS)
    async with (
        serving(machine) as server,
        page_at(client, tmp_path, chromium_arguments()) as page,
    ):
        await page.goto(f"{server.url}/healthz")  # any page of its own: the test makes the call
        placed = await server.worker.place(await page.evaluate(OFFER, ["video/VP8", "motion"]))
        await page.evaluate(ANSWER, placed.answer)
        loop = asyncio.get_running_loop()
        deadline = loop.time() + SMOOTH_WITHIN_S
        seen: list[tuple[int, int]] = []  # kbit/s up, frames/s back
        before, then = (0, 0), loop.time()
        while not smooth(seen[-SMOOTH_S:]):
            assert loop.time() < deadline, f"(kbit/s up, frames/s back), second by second: {seen}"
            await at(then + 1)
            took, (sent, shown) = loop.time() - then, await page.evaluate(VIDEO)
            seen.append((round((sent - before[0]) / 125 / took), round((shown - before[1]) / took)))
            before, then = (sent, shown), then + took


def smooth(seconds: list[tuple[int, int]]) -> bool:
    return len(seconds) == SMOOTH_S and all(up <= SLOW_KBIT_S and fps >= SMOOTH_FPS for up, fps in seconds)
