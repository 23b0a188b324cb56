"""The page loses its line and takes the same conversation up again: by reload, behind a cut, without UDP."""

from __future__ import annotations

import json
import socket
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from tests.real.browser import chromium, strict_wire, watch_for_trouble
from tests.real.networks import Machine, needed, world
from tests.real.test_page_calls import HAPPENS_WITHIN_MS, begin, reach, server

pytestmark = pytest.mark.real

ROOT = Path(__file__).resolve().parents[2]
SERVER, CLIENT, PORT = "10.99.0.1", "10.99.0.2", 8080
PAGE = f"http://{SERVER}:{PORT}"
RESUMED_WITHIN_S = 1.5 * 2  # on a machine that is busy with other tests
CUT = """
table inet cut {
  chain in { type filter hook input priority filter; iifname "eth0" drop; }
  chain out { type filter hook output priority filter; oifname "eth0" drop; }
}
"""
NO_UDP = """
table inet cut {
  chain in { type filter hook input priority filter; iifname "eth0" meta l4proto udp drop; }
}
"""
# As a browser that may use no UDP: it finds no way for WebRTC at all.
NO_WAY = """
const Real = RTCPeerConnection;
window.RTCPeerConnection = class extends Real {
  constructor(given) { super({ ...given, iceTransportPolicy: 'relay' }); }
};
"""
KEEPS_SOCKETS = """
window.sockets = [];
const Plain = WebSocket;
window.WebSocket = class extends Plain { constructor(...given) { super(...given); sockets.push(this); } };
"""
LINE_ONLY = 4000  # a close code that hangs up nothing
NO_CALL = "fetch('/healthz').then((one) => one.json()).then(({calls}) => calls === 0)"
LOUD = "(who) => Number(document.body.style.getPropertyValue(`--${who}-level`)) > 0.3"


@pytest.fixture
def browser() -> Iterator[Browser]:
    with chromium() as one:
        yield one


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    one = context.new_page()
    one.set_default_timeout(HAPPENS_WITHIN_MS)
    with strict_wire(one):
        yield one
    context.close()


@pytest.fixture
def port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@pytest.mark.timeout(120)
def test_a_page_loaded_again_goes_on_with_its_conversation_and_hanging_up_ends_it(
    page: Page, port: int
) -> None:
    with server(port):
        begin(page, port)
        reach(page, "speaking")
        page.wait_for_selector("#turns .said:has-text(' ')")
        first_word = page.inner_text("#turns .said").split()[0]
        trouble = watch_for_trouble(page)
        page.reload()
        expect(page.locator("#turns .unheard")).not_to_be_empty(timeout=HAPPENS_WITHIN_MS)
        reach(page, "speaking")
        expect(page.locator("#turns li").nth(1)).to_contain_text("We were cut off", timeout=HAPPENS_WITHIN_MS)
        assert page.inner_text("#turns .said").split()[0] == first_word
        assert not trouble
        page.click("#leave")
        page.wait_for_function(NO_CALL)
        page.reload()
        reach(page, "start")


@pytest.mark.timeout(120)
def test_without_any_way_for_webrtc_the_page_talks_over_a_websocket_and_says_so(
    page: Page, port: int
) -> None:
    page.add_init_script(NO_WAY)
    trouble = watch_for_trouble(page)
    with server(port):
        begin(page, port)
        reach(page, "speaking")
        expect(page.locator("#notice")).to_contain_text("No UDP passes")
        page.wait_for_function(LOUD, arg="they")
        page.wait_for_function(LOUD, arg="you")
        assert page.evaluate("document.querySelector('#echo').srcObject?.getVideoTracks().length") == 1
        reach(page, "listening")
        page.reload()
        expect(page.locator("#turns li").nth(1)).to_contain_text("We were cut off", timeout=HAPPENS_WITHIN_MS)
        page.click("#leave")
        page.wait_for_function(NO_CALL)
    assert not trouble


@pytest.mark.timeout(120)
def test_who_leaves_while_the_line_is_lost_ends_the_conversation(page: Page, port: int) -> None:
    """Over a WebSocket, which is gone: as soon as the server is heard of again."""
    page.add_init_script(NO_WAY + KEEPS_SOCKETS)
    unreachable = True

    def way_back(route: Route) -> None:
        if unreachable:
            route.abort()
        else:
            route.continue_()

    with server(port):
        begin(page, port)
        reach(page, "speaking")
        page.route("**/healthz", way_back)
        page.route("**/v1/realtime/calls/*", way_back)
        page.evaluate(f"sockets.at(-1).close({LINE_ONLY})")
        reach(page, "lost")
        page.click("#leave")
        assert calls_at(port) == 1
        unreachable = False
        page.wait_for_function(NO_CALL)


def calls_at(port: int) -> int:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz") as answer:
        return int(json.load(answer)["calls"])


# ------------------------------------------------------------------ a network that is cut


@pytest.fixture
def machines() -> Iterator[tuple[Machine, Machine]]:
    """(the server's machine, the browser's)"""
    needed()
    with world() as net:
        switch = net.switch()
        made = net.machine("server"), net.machine("client")
        for machine, address in zip(made, (SERVER, CLIENT), strict=True):
            net.plug(machine, switch, "eth0", f"{address}/24")
        yield made


def serve(machine: Machine) -> None:
    settings = [
        "VIVA_AUTH__OPEN=true",
        f'VIVA_SERVER__ALLOWED_HOSTS=["{SERVER}:{PORT}"]',
        f"PYTHONPATH={ROOT}",
    ]
    machine.start("env", *settings, sys.executable, "-m", "server", "--host", SERVER, "--port", str(PORT))


def until_served() -> None:
    """At the browser's machine."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        try:
            with urllib.request.urlopen(f"{PAGE}/healthz", timeout=1) as answer:
                if b'"ready": true' in answer.read():
                    return
        except OSError:
            pass
    raise AssertionError("the server did not start")


@pytest.mark.timeout(180)
def test_a_network_that_was_cut_is_come_back_over_as_soon_as_it_passes_again(
    machines: tuple[Machine, Machine],
) -> None:
    server, client = machines
    serve(server)
    with client.inside():
        until_served()
        with chromium(more=(f"--unsafely-treat-insecure-origin-as-secure={PAGE}",)) as browser:
            page = browser.new_page()
            page.set_default_timeout(HAPPENS_WITHIN_MS)
            page.goto(PAGE)
            page.click("#go:not([disabled])")
            reach(page, "speaking")
            page.wait_for_selector("#turns .said:has-text(' ')")
            server.rules(CUT)
            reach(page, "lost")
            expect(page.locator("#notice h2")).to_have_text("Reconnecting")
            server.rules("delete table inet cut")
            passes = time.monotonic()
            page.wait_for_selector("body:not([data-state=lost])")
            took_s = time.monotonic() - passes
            expect(page.locator("#turns .unheard")).not_to_be_empty()
            expect(page.locator("#turns li").last).to_contain_text("We were cut off")
            server.rules(CUT)
            reach(page, "lost")
            page.click("#notice [data-action=leave]")
            server.rules("delete table inet cut")
            page.wait_for_function(NO_CALL)
            assert took_s < RESUMED_WITHIN_S, f"{took_s:.2f} s"
            print(f"resumed {took_s:.2f} s after packets could pass")


@pytest.mark.timeout(180)
def test_a_firewall_that_drops_udp_costs_some_seconds_and_not_the_call(
    machines: tuple[Machine, Machine],
) -> None:
    server, client = machines
    serve(server)
    server.rules(NO_UDP)
    with client.inside():
        until_served()
        with chromium(more=(f"--unsafely-treat-insecure-origin-as-secure={PAGE}",)) as browser:
            page = browser.new_page()
            page.set_default_timeout(HAPPENS_WITHIN_MS)
            page.goto(PAGE)
            page.click("#go:not([disabled])")
            reach(page, "speaking")
            expect(page.locator("#notice")).to_contain_text("No UDP passes")
            page.wait_for_function(LOUD, arg="they")
