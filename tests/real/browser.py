"""Chromium for tests: headless, its microphone plays a WAV file, its camera draws a test picture."""

from __future__ import annotations

import atexit
import functools
import http.server
import itertools
import json
import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

from server.access.guard import HEADERS
from tests.realtime_events import check_server_event

STATIC = Path(__file__).resolve().parents[2] / "static"

# What the product's server sends with every page.
CONTENT_SECURITY_POLICY = HEADERS["Content-Security-Policy"]


# What a test that fails is told with, see conftest.
CONSOLES = Path(tempfile.mkdtemp(prefix="viva-consoles-"))  # a file for each browser
atexit.register(shutil.rmtree, CONSOLES, ignore_errors=True)
SHOTS = Path("artifacts")
_numbers = itertools.count(1)
_open: list[Browser] = []
seen: list[str] = []  # by `look`
LOOK_MS = 3_000


def chromium_arguments(microphone: Path | None = None, *, ask: bool = False) -> list[str]:
    """Flags for a browser that talks to a server on this machine.

    `microphone`: a WAV file, played once from the first getUserMedia on; None: Chromium's own beeps.
    `ask`: permissions are asked for, and so refused, as nobody is there to allow them.
    """
    arguments = [
        "--no-sandbox",
        "--use-fake-device-for-media-stream",
        "--autoplay-policy=no-user-gesture-required",
        "--disable-background-networking",
        "--disable-component-update",
        "--allow-loopback-in-peer-connection",
        "--disable-features=WebRtcHideLocalIpsWithMdns",
        "--enable-logging",
        f"--log-file={CONSOLES / str(next(_numbers))}",
    ]
    if microphone:
        arguments.append(f"--use-file-for-fake-audio-capture={microphone}%noloop")
    return arguments + ([] if ask else ["--use-fake-ui-for-media-stream"])


def chromium_path() -> str | None:
    """The system's Chromium; None: Playwright's own is to be used."""
    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@contextmanager
def chromium(
    microphone: Path | None = None, *, ask: bool = False, more: Sequence[str] = ()
) -> Iterator[Browser]:
    """A browser for a module or a test: the system's Chromium, or Playwright's own where there is none.

    `more`: further flags."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium_path(), args=[*chromium_arguments(microphone, ask=ask), *more]
        )
        _open.append(browser)
        try:
            yield browser
        except BaseException:
            look()
            raise
        finally:
            _open.remove(browser)
            browser.close()


def look() -> None:
    """Notes what every open page shows, for the report on a test that fails."""
    for page in [page for browser in _open for context in browser.contexts for page in context.pages]:
        shot = SHOTS / f"{os.getpid()}-{next(_numbers)}.png"
        try:
            text = page.inner_text("body", timeout=LOOK_MS)
            state = page.get_attribute("body", "data-state", timeout=LOOK_MS)
            page.screenshot(path=shot, timeout=LOOK_MS)
            seen.append(f"{page.url} in the state {state}, see {shot}\n{text}")
        except Exception as error:  # whatever it is: the test has failed of something else
            seen.append(f"{page.url} does not answer: {error}")


class Pages(http.server.SimpleHTTPRequestHandler):
    """Serves `static/` as the product does, and whatever a test puts in the place of some paths."""

    answers: dict[str, Callable[[], tuple[str, bytes]]]

    def do_GET(self) -> None:
        answer = self.answers.get(self.path.split("?")[0])
        if answer is None:
            super().do_GET()
            return
        kind, body = answer()
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def end_headers(self) -> None:
        self.send_header("Content-Security-Policy", CONTENT_SECURITY_POLICY)
        self.send_header("Cache-Control", "no-store")
        super().end_headers()

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def page_server(about: Callable[[], dict[str, Any]], scripts: dict[str, Path]) -> Iterator[str]:
    """The page without a conversation behind it: its address. `scripts` replace files of `static/`."""

    def script(path: Path) -> Callable[[], tuple[str, bytes]]:
        return lambda: ("text/javascript", path.read_bytes())

    answers: dict[str, Callable[[], tuple[str, bytes]]] = {
        "/v1/viva/about": lambda: ("application/json", json.dumps(about()).encode()),
        "/v1/viva/ice": lambda: ("application/json", b'{"iceServers": []}'),
        "/favicon.ico": lambda: ("image/svg+xml", b""),
        **{name: script(path) for name, path in scripts.items()},
    }
    handler = type("TestPages", (Pages,), {"answers": answers})
    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(handler, directory=str(STATIC))
    )
    thread = threading.Thread(target=server.serve_forever, name="page server", daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def watch_for_trouble(page: Page) -> list[str]:
    """Everything the browser complains about from now on: errors, blocked requests, other hosts."""
    trouble: list[str] = []
    page.on("pageerror", lambda error: trouble.append(f"error: {error}"))
    page.on(
        "console",
        lambda message: trouble.append(f"console: {message.text}") if message.type == "error" else None,
    )
    page.on(
        "request",
        lambda request: (
            trouble.append(f"other host: {request.url}")
            if not request.url.startswith(("http://127.0.0.1", "blob:", "data:"))
            else None
        ),
    )
    return trouble


# Hands on what comes over the events channel of a page's call.
OVERHEAR = """
const create = RTCPeerConnection.prototype.createDataChannel;
RTCPeerConnection.prototype.createDataChannel = function (label, ...more) {
  const channel = create.call(this, label, ...more);
  if (label === 'oai-events') channel.addEventListener('message', ({ data }) => window.overheard(data));
  return channel;
};
"""


@contextmanager
def strict_wire(page: Page) -> Iterator[None]:
    """Every event that the page is sent, over WebRTC or a WebSocket, has to be one that clients expect."""
    events: list[str | bytes] = []
    page.expose_function("overheard", lambda event: events.append(event))
    page.add_init_script(OVERHEAR)
    page.on("websocket", lambda socket: socket.on("framereceived", lambda event: events.append(event)))
    yield
    page.evaluate("0")  # what is on its way comes before the answer to this
    assert events, "the page heard nothing"
    for event in events:
        check_server_event(json.loads(event))
