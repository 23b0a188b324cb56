"""How long it takes until one can speak: offer → answer at the server, click → call up in Chromium.

Over loopback, host candidates only, one call at a time, models loaded. The first is what an HTTP client waits
for, its own work included. The second begins with the click on "Start talking", the microphone allowed and
open as on a second visit, and ends when the page shows that the server is there and hears it.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from typing import Any

import aiohttp
import numpy as np
from playwright.async_api import Browser, async_playwright

from bench.answerer import ZERO, Answerer
from tests.real.browser import chromium_arguments, chromium_path

WARM_UP = 2  # of each; what is made once and kept is not counted

# Stamps of one call: ms from the click to each state of the page, and to its requests and channels.
WATCH = """
window.stamps = {};
const stamp = (name) => { window.stamps[name] ??= performance.now(); };
addEventListener('click', () => { window.stamps = {}; stamp('click'); }, true);
new MutationObserver(() => stamp(document.body?.dataset.state)).observe(
  document, { subtree: true, attributes: true, attributeFilter: ['data-state'] });
for (const [name, of] of [['setLocalDescription', 'local'], ['setRemoteDescription', 'remote']]) {
  const real = RTCPeerConnection.prototype[name];
  RTCPeerConnection.prototype[name] = async function (...given) {
    window.peer = this;
    stamp(of);
    await real.apply(this, given);
    stamp(`${of} done`);
  };
}
const fetched = window.fetch;
window.fetch = async (...given) => {
  const ours = String(given[0]).endsWith('/calls');
  if (ours) stamp('offer');
  const response = await fetched(...given);
  if (ours) stamp('answer');
  return response;
};
const channel = RTCPeerConnection.prototype.createDataChannel;
RTCPeerConnection.prototype.createDataChannel = function (...given) {
  this.addEventListener('connectionstatechange', () => stamp(this.connectionState));
  const made = channel.apply(this, given);
  made.addEventListener('open', () => stamp('channel'));
  return made;
};
"""
UP = "() => ['thinking', 'listening', 'speaking', 'nocamera'].find((state) => stamps[state])"
STAGES = ("connecting", "local", "local done", "offer", "answer", "remote done", "connected", "channel")


async def run(count: int = 20) -> dict[str, Any]:
    async with Answerer(ZERO, VIVA_LIMITS__OFFERS_PER_MINUTE="0") as server, async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium_path(), args=chromium_arguments())
        try:
            offer = await _offer(browser, server.url)
            return {
                "offer to answer": await _answers(server, offer, count),
                "click to call": await _clicks(browser, server.url, count),
            }
        finally:
            await browser.close()


async def _offer(browser: Browser, url: str) -> str:
    """What the page sends."""
    page = await browser.new_page()
    await page.add_init_script(WATCH)
    await _begin(page, url)
    await page.wait_for_function(UP)
    offer = await page.evaluate("peer.localDescription.sdp")
    await page.close()
    return str(offer)


async def _answers(server: Answerer, offer: str, count: int) -> dict[str, Any]:
    """The same offer again and again; each call is hung up before the next. And the CPU time of a whole call
    that is, which says what there is to wait for on a machine that does nothing else."""
    took, url, cpu_s = [], server.url, server.cpu_s()
    async with aiohttp.ClientSession() as http:
        for _ in range(WARM_UP + count):
            began = time.monotonic()
            async with http.post(
                f"{url}/v1/realtime/calls", data=offer, headers={"Content-Type": "application/sdp"}
            ) as response:
                answer = await response.text()
                assert response.status == 201, answer
                took.append(1000 * (time.monotonic() - began))
            async with http.delete(url + response.headers["Location"]):
                pass
    cpu_ms = 1000 * (server.cpu_s() - cpu_s) / len(took)
    return {**_figures(took[WARM_UP:]), "cpu_ms": round(cpu_ms, 1)}


async def _clicks(browser: Browser, url: str, count: int) -> dict[str, Any]:
    context = await browser.new_context(permissions=["microphone", "camera"])
    took, stages = [], {stage: [] for stage in STAGES}
    for _ in range(WARM_UP + count):
        page = await context.new_page()
        await page.add_init_script(WATCH)
        await _begin(page, url)
        up = await (await page.wait_for_function(UP)).json_value()
        stamps = await page.evaluate("stamps")
        took.append(stamps[up] - stamps["click"])
        for stage, known in stages.items():
            known.append(stamps[stage] - stamps["click"])
        await page.close()
    await context.close()
    medians = {stage: round(statistics.median(known[WARM_UP:])) for stage, known in stages.items()}
    return {**_figures(took[WARM_UP:]), "stages_ms": medians}


async def _begin(page: Any, url: str) -> None:
    await page.goto(url)
    await page.wait_for_selector("#go:not([disabled])")
    await page.wait_for_selector("#try-microphone", state="hidden")  # it is open
    await page.click("#go")


def _figures(took: list[float]) -> dict[str, Any]:
    return {
        "n": len(took),
        "came": len(took),
        "median_ms": round(statistics.median(took), 1),
        "p95_ms": round(float(np.percentile(took, 95)), 1),
    }


if __name__ == "__main__":
    for name, row in asyncio.run(run()).items():
        print(f"{name:16} {row}")
