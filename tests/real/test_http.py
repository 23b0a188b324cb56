"""The HTTP side as a client, a browser and an attacker meet it."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from tests.real.served import CALLS, Caller, Served, served, udp_sockets, until

SDP = {"Content-Type": "application/sdp"}
ROUTES = [
    ("GET", "/"),
    ("GET", "/healthz"),
    ("GET", "/v1/viva/about"),
    ("GET", "/v1/viva/ice"),
    ("GET", "/nowhere"),
    ("POST", CALLS),
    ("POST", "/offer"),
    ("DELETE", f"{CALLS}/call_local_1"),
    ("POST", f"{CALLS}/call_local_1/hangup"),
    ("OPTIONS", CALLS),
    ("PUT", "/healthz"),
]


@pytest_asyncio.fixture
async def server() -> AsyncIterator[Served]:
    async with served() as running:
        yield running


@pytest_asyncio.fixture
async def offer(server: Served) -> AsyncIterator[str]:
    """A good one."""
    client = Caller(server)
    yield await client.offer()
    await client.close()


async def refused(response: aiohttp.ClientResponse, status: int, code: str | None = None) -> dict[str, Any]:
    """The error of an answer that has to be one, in JSON."""
    assert response.status == status, await response.text()
    assert response.content_type == "application/json"
    error = (await response.json())["error"]
    assert set(error) >= {"message", "type", "code"}
    assert error["message"]
    assert code is None or error["code"] == code
    return error


# ------------------------------------------------------------------ the page


async def test_the_page_and_its_modules_are_served_with_their_types(server: Served) -> None:
    for path, kind in (
        ("/", "text/html"),
        ("/main.js", "text/javascript"),
        ("/tokens.css", "text/css"),
        ("/face/face.css", "text/css"),
        ("/mark.svg", "image/svg+xml"),
    ):
        async with server.http.get(server.url + path) as response:
            assert response.status == 200, path
            assert response.content_type == kind
            assert await response.read()


async def test_a_browser_asks_again_every_time_and_is_told_when_nothing_changed(server: Served) -> None:
    async with server.http.get(f"{server.url}/main.js") as first:
        assert first.headers["Cache-Control"] == "no-cache"
        etag = first.headers["ETag"]
    async with server.http.get(f"{server.url}/main.js", headers={"If-None-Match": etag}) as second:
        assert second.status == 304


async def test_only_the_pages_own_files_are_served(tmp_path: Path) -> None:
    page = tmp_path / "page"
    page.mkdir()
    (page / "index.html").write_text("<p>hello")
    (page / "notes.md").write_text("private")
    (tmp_path / "secret.js").write_text("private")
    (page / "link.js").symlink_to(tmp_path / "secret.js")
    async with served(page=page) as server:
        paths = [
            "/notes.md",
            "/../secret.js",
            "/%2e%2e/secret.js",
            "/..%2fsecret.js",
            "/link.js",
            "/%00.js",
            "/a%5cb.js",
        ]
        for path in paths:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(
                f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nConnection: close\r\n\r\n".encode()
            )
            answer = (await reader.read()).decode()
            writer.close()
            assert " 404 " in answer.splitlines()[0] or " 400 " in answer.splitlines()[0], (
                path,
                answer[:200],
            )
            assert "private" not in answer


async def test_every_answer_forbids_the_browser_what_the_page_does_not_need(server: Served) -> None:
    for path in ("/", "/main.js", "/nowhere", "/healthz"):
        async with server.http.get(server.url + path) as response:
            policy = response.headers["Content-Security-Policy"]
            assert "default-src 'none'" in policy
            assert "script-src 'self';" in policy
            assert "connect-src 'self'" in policy
            assert "frame-ancestors 'none'" in policy
            assert "unsafe" not in policy
            assert "aiohttp" not in response.headers["Server"]
            assert response.headers["X-Content-Type-Options"] == "nosniff"
            assert response.headers["Referrer-Policy"] == "no-referrer"


async def test_about_says_who_answers_and_what_there_is_to_choose_from(server: Served) -> None:
    async with server.http.get(f"{server.url}/v1/viva/about") as response:
        assert response.status == 200
        about = await response.json()
    assert about["ready"] is True
    assert [provider["stage"] for provider in about["providers"]] == ["stt", "llm", "tts"]
    keys = {"stage", "name", "detail", "why", "better", "chain", "charged", "ready", "error"}
    assert set(about["providers"][0]) == keys
    assert {mode["id"] for mode in about["modes"]} == {"interview", "language", "chat"}
    assert {mode["persona"] for mode in about["modes"]} <= {persona["id"] for persona in about["personas"]}
    assert len(about["languages"]) == 13
    assert {language["direction"] for language in about["languages"]} == {"ltr", "rtl"}
    assert all(language["ears"] or language["add"] for language in about["languages"])
    assert len(about["topics"]) == 6
    assert about["limits"]["max_calls"] == 8


async def test_health_names_the_calls(server: Served) -> None:
    async with server.http.get(f"{server.url}/healthz") as response:
        state = {"ready": True, "calls": 0, "max_calls": 8, "draining": False, "no_budget_s": 0}
        assert await response.json() == {"status": "ok", **state}


# ------------------------------------------------------------------ errors are JSON


async def test_what_is_not_there_is_said_in_json(server: Served) -> None:
    async with server.http.get(f"{server.url}/nowhere") as response:
        await refused(response, 404, "not_found")
    async with server.http.delete(f"{server.url}{CALLS}/call_local_1") as response:
        await refused(response, 404, "call_not_found")
    async with server.http.post(f"{server.url}{CALLS}/call_local_1/hangup") as response:
        await refused(response, 404, "call_not_found")


async def test_a_wrong_method_is_said_in_json_with_the_right_ones(server: Served) -> None:
    async with server.http.put(f"{server.url}/offer") as response:
        await refused(response, 405, "method_not_allowed")
        assert "POST" in response.headers["Allow"]


# ------------------------------------------------------------------ offers that are none


def without(offer: str, start: str) -> str:
    return "".join(line for line in offer.splitlines(keepends=True) if not line.startswith(start))


def without_audio(offer: str) -> str:
    head, *sections = offer.split("m=")
    return head + "".join(f"m={section}" for section in sections if not section.startswith("audio"))


def with_many_sections(offer: str) -> str:
    return offer + "".join(f"m=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:x{n}\r\n" for n in range(100))


def without_opus(offer: str) -> str:
    return offer.replace("opus", "speex").replace("PCMU", "L16").replace("PCMA", "L16")


BROKEN = {
    "nothing": (lambda offer: "", "invalid_offer"),
    "words": (lambda offer: "hello there", "invalid_offer"),
    "JSON": (lambda offer: json.dumps({"sdp": offer}), "invalid_offer"),
    "only a first line": (lambda offer: "v=0\r\n", "no_audio"),
    "no audio": (without_audio, "no_audio"),
    "a hundred sections": (with_many_sections, "invalid_offer"),
    "no fingerprint": (lambda offer: without(offer, "a=fingerprint"), "invalid_offer"),
    "no ICE user": (lambda offer: without(offer, "a=ice-ufrag"), "invalid_offer"),
    "no ICE password": (lambda offer: without(offer, "a=ice-pwd"), "invalid_offer"),
    "no DTLS role": (lambda offer: without(offer, "a=setup"), "invalid_offer"),
    "no RTCP mux": (lambda offer: without(offer, "a=rtcp-mux"), "invalid_offer"),
    "no codec of ours": (without_opus, "invalid_offer"),
    "a malformed section": (lambda offer: offer + "m=audio\r\n", "invalid_offer"),
    "a zero byte": (lambda offer: offer + "a=x\0y\r\n", "invalid_offer"),
    "a broken candidate": (lambda offer: offer + "a=candidate:1 x\r\n", "invalid_offer"),
    "a broken payload": (lambda offer: offer.replace("a=rtpmap:", "a=rtpmap:x", 1), "invalid_offer"),
}


@pytest.mark.parametrize("name", BROKEN)
async def test_a_broken_offer_is_refused_within_a_second_and_leaves_nothing(
    server: Served, offer: str, name: str
) -> None:
    spoil, code = BROKEN[name]
    async with server.http.get(f"{server.url}/healthz") as response:  # the connection has its task
        assert response.status == 200
    tasks, sockets = len(asyncio.all_tasks()), udp_sockets()
    began = time.monotonic()
    async with server.http.post(server.url + CALLS, data=spoil(offer).encode(), headers=SDP) as response:
        error = await refused(response, 400, code)
    assert time.monotonic() - began < 1
    assert len(error["message"]) < 400
    assert server.worker.load().calls == 0
    await until(lambda: len(asyncio.all_tasks()) <= tasks and udp_sockets() <= sockets, 2)


async def test_what_is_too_large_gets_413(server: Served, offer: str) -> None:
    long = offer + "a=x-filling:0123456789\r\n" * 3000
    for body, headers in (
        (long.encode(), SDP),
        (b"v=0\r\n" * 100_000, SDP),
        (json.dumps({"sdp": long, "type": "offer"}).encode(), {"Content-Type": "application/json"}),
    ):
        path = "/offer" if headers is not SDP else CALLS
        async with server.http.post(server.url + path, data=body, headers=headers) as response:
            await refused(response, 413, "offer_too_large")


async def test_a_wrong_content_type_gets_415(server: Served, offer: str) -> None:
    for kind in ("text/plain", "application/json", "application/x-www-form-urlencoded"):
        headers = {"Content-Type": kind}
        async with server.http.post(server.url + CALLS, data=offer.encode(), headers=headers) as response:
            await refused(response, 415, "unsupported_media_type")
    async with server.http.post(f"{server.url}/offer", data=offer.encode(), headers=SDP) as response:
        await refused(response, 415, "unsupported_media_type")


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"x"', b"[" * 20_000, b"\xff\xfe\x00"])
async def test_wrong_json_gets_400(server: Served, body: bytes) -> None:
    headers = {"Content-Type": "application/json"}
    async with server.http.post(f"{server.url}/offer", data=body, headers=headers) as response:
        await refused(response, 400, "invalid_json")


@pytest.mark.parametrize(
    "body", [{}, {"sdp": "x"}, {"type": "offer"}, {"sdp": 3, "type": "offer"}, {"sdp": "", "type": "answer"}]
)
async def test_json_without_an_offer_gets_400(server: Served, body: dict[str, Any]) -> None:
    async with server.http.post(f"{server.url}/offer", json=body) as response:
        await refused(response, 400, "invalid_offer")


MULTIPART = {"Content-Type": "multipart/form-data; boundary=xyz"}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"nothing of the kind",
        b"--xyz\r\n",
        b"--xyz\r\nbroken\r\n\r\n--xyz--\r\n",
        b'--xyz\r\nContent-Disposition: form-data; name="sdp"\r\n\r\nv=0',
        b'--xyz\r\nContent-Disposition: form-data; name="other"\r\n\r\nx\r\n--xyz--\r\n',
    ],
)
async def test_a_broken_multipart_gets_400(server: Served, body: bytes) -> None:
    async with server.http.post(server.url + CALLS, data=body, headers=MULTIPART) as response:
        await refused(response, 400)


async def test_multipart_without_a_boundary_gets_400(server: Served) -> None:
    headers = {"Content-Type": "multipart/form-data"}
    async with server.http.post(server.url + CALLS, data=b"x", headers=headers) as response:
        await refused(response, 400, "invalid_multipart")


async def test_a_part_that_is_too_large_gets_413(server: Served) -> None:
    head = b'--xyz\r\nContent-Disposition: form-data; name="sdp"\r\n\r\n'
    body = head + b"v=0\r\n" * 60_000 + b"\r\n--xyz--\r\n"
    async with server.http.post(server.url + CALLS, data=body, headers=MULTIPART) as response:
        await refused(response, 413, "offer_too_large")


@pytest.mark.parametrize(
    ("session", "code"),
    [("{", "invalid_json"), ("[]", "invalid_type"), ('{"colour": 1}', "unknown_parameter")],
)
async def test_a_wrong_session_object_is_named(server: Served, offer: str, session: str, code: str) -> None:
    form = aiohttp.FormData(default_to_multipart=True)
    form.add_field("sdp", offer)
    form.add_field("session", session)
    async with server.http.post(server.url + CALLS, data=form) as response:
        await refused(response, 400, code)
    assert server.worker.load().calls == 0


# ------------------------------------------------------------------ who may ask


async def raw(server: Served, method: str, path: str, host: str | None, *headers: str) -> str:
    """The status line and headers of an answer, without a client that adds headers of its own."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    lines = [f"{method} {path} HTTP/1.1", *([f"Host: {host}"] if host is not None else []), *headers]
    writer.write(("\r\n".join([*lines, "Content-Length: 0", "Connection: close"]) + "\r\n\r\n").encode())
    try:
        async with asyncio.timeout(5):
            return (await reader.read()).decode()
    finally:
        writer.close()


def status(answer: str) -> int:
    return int(answer.split(" ", 2)[1])


@pytest.mark.parametrize(("method", "path"), ROUTES)
@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:{port}",
        "127.0.0.1.evil.example:{port}",
        "127.0.0.1:1",
        "127.0.0.1",
        "",
        "[::1",
    ],
)
async def test_a_foreign_host_gets_403_on_every_route(
    server: Served, method: str, path: str, host: str
) -> None:
    answer = await raw(server, method, path, host.format(port=server.port))
    assert status(answer) == 403, answer
    assert '"error"' in answer


@pytest.mark.parametrize(("method", "path"), ROUTES)
@pytest.mark.parametrize(
    "origin", ["http://evil.example", "https://127.0.0.1", "null", "file://", "http://localhost"]
)
async def test_a_foreign_origin_gets_403_on_every_route(
    server: Served, method: str, path: str, origin: str
) -> None:
    answer = await raw(server, method, path, f"127.0.0.1:{server.port}", f"Origin: {origin}")
    assert status(answer) == 403, answer


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "LOCALHOST", "[::1]"])
async def test_this_machine_by_any_of_its_names_is_let_in(server: Served, name: str) -> None:
    host = f"{name}:{server.port}"
    assert status(await raw(server, "GET", "/healthz", host)) == 200
    assert status(await raw(server, "GET", "/healthz", host, f"Origin: http://{host}")) == 200


async def test_an_allowed_site_may_call_and_its_browser_is_told_so() -> None:
    async with served(allowed_origins=("https://app.example",), allowed_hosts=("viva.example",)) as server:
        answer = await raw(server, "OPTIONS", CALLS, "viva.example", "Origin: https://app.example")
        assert status(answer) == 204
        head = answer.lower()
        assert "access-control-allow-origin: https://app.example" in head
        assert "access-control-allow-headers: authorization, content-type, x-openai-agents-sdk" in head
        assert "access-control-expose-headers: location" in head
        other = await raw(server, "OPTIONS", CALLS, "viva.example", "Origin: https://evil.example")
        assert status(other) == 403
        assert "access-control-allow-origin" not in other.lower()
        own = await raw(server, "GET", "/healthz", "viva.example", "Origin: https://viva.example")
        assert status(own) == 200
        assert "access-control-allow-origin" not in own.lower()
