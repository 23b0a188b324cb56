"""Slow, half-open and too many clients: cut off within their time, and nobody else notices."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from server.access.door import AuthSettings, LimitSettings, TlsSettings
from server.access.self_signed import make_certificate
from tests.real.served import CALLS, Served, served, until

WITHIN_S = 15.0  # for what is to happen within two seconds, on a busy machine


@asynccontextmanager
async def connected(server: Served) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


async def cut_off(reader: asyncio.StreamReader) -> bytes:
    """All that still came before the server ended the connection. Raises TimeoutError if it does not."""
    said = b""
    async with asyncio.timeout(WITHIN_S):
        try:
            while more := await reader.read(65_536):
                said += more
        except ConnectionError:
            pass
    return said


async def fine(server: Served) -> None:
    async with server.http.get(f"{server.url}/healthz") as response:
        assert response.status == 200


def head(server: Served, method: str, path: str, *more: str) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", f"Host: 127.0.0.1:{server.port}", *more]
    return ("\r\n".join(lines) + "\r\n").encode()


QUICK = LimitSettings(request_within_s=0.5, sent_within_s=0.5, idle_s=60)


@pytest.mark.parametrize("said", [b"", b"G", b"GET / HTTP/1.1\r\nHost: x\r\n", b"\x16\x03\x01\x02\x00"])
async def test_a_client_that_does_not_finish_its_request_is_cut_off(said: bytes) -> None:
    async with served(door={"limits": QUICK}) as server, connected(server) as (reader, writer):
        writer.write(said)
        await cut_off(reader)
        await fine(server)


async def test_a_client_that_does_not_finish_its_handshake_is_cut_off(tmp_path: Path) -> None:
    certificate, key = make_certificate(tmp_path)
    tls = TlsSettings(certificate=str(certificate), key=str(key))
    async with served(door={"limits": QUICK, "tls": tls}) as server, connected(server) as (reader, writer):
        writer.write(b"\x16\x03\x01\x02\x00")
        await cut_off(reader)


async def test_a_client_that_sends_one_header_at_a_time_is_cut_off() -> None:
    async with served(door={"limits": QUICK}) as server, connected(server) as (reader, writer):
        ended = asyncio.create_task(cut_off(reader))
        writer.write(head(server, "GET", "/healthz"))
        began, sent = time.monotonic(), 0
        while not ended.done() and time.monotonic() - began < WITHIN_S:
            writer.write(f"X-{sent}: 1\r\n".encode())
            sent += 1
            await asyncio.wait({ended}, timeout=0.05)
        await ended
        assert sent < 100


async def test_a_second_request_that_is_not_finished_is_cut_off_too() -> None:
    async with served(door={"limits": QUICK}) as server, connected(server) as (reader, writer):
        writer.write(head(server, "GET", "/healthz") + b"\r\n")
        assert b"200" in await reader.readuntil(b"\r\n")
        writer.write(b"GET /healthz HTTP/1.1\r\nX: ")
        await cut_off(reader)


async def test_a_connection_may_be_idle_between_two_requests() -> None:
    async with served(door={"limits": QUICK}) as server, connected(server) as (reader, writer):
        writer.write(head(server, "GET", "/healthz") + b"\r\n")
        assert (await reader.readuntil(b"}")).startswith(b"HTTP/1.1 200")
        ends = asyncio.create_task(reader.read())
        assert not (await asyncio.wait({ends}, timeout=3 * QUICK.request_within_s + 1))[0]
        ends.cancel()
        await asyncio.wait({ends})
        writer.write(head(server, "GET", "/healthz") + b"\r\n")
        assert (await reader.readuntil(b"}")).startswith(b"HTTP/1.1 200")


async def test_a_client_that_does_not_take_its_answers_is_cut_off(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("x" * 4_000_000)
    async with served(door={"limits": QUICK}, page=tmp_path) as server:
        with socket.socket() as deaf:
            deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            deaf.setblocking(False)
            loop = asyncio.get_running_loop()
            await loop.sock_connect(deaf, ("127.0.0.1", server.port))
            await loop.sock_sendall(deaf, head(server, "GET", "/") + b"\r\n")
            await until(lambda: deaf.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) != 0, WITHIN_S)
        await fine(server)


async def test_a_body_that_does_not_arrive_is_cut_off() -> None:
    async with served(door={"limits": QUICK}) as server, connected(server) as (reader, writer):
        lines = ("Content-Type: text/plain", "Content-Length: 100000")
        writer.write(head(server, "POST", CALLS, *lines) + b"\r\n" + b"x" * 100)
        assert b" 415 " in await cut_off(reader)


async def test_more_connections_than_one_address_may_have_are_turned_away() -> None:
    limits = LimitSettings(connections_per_address=3)
    async with served(door={"limits": limits}) as server:
        async with connected(server) as (first, _), connected(server), connected(server):
            async with connected(server) as (one_more, _):
                assert await cut_off(one_more) == b""
            assert not first.at_eof()
        await until(lambda: len(server.connections) == 0)
        await fine(server)


async def test_a_proxy_may_have_more_since_its_clients_are_many() -> None:
    door = {"limits": LimitSettings(connections_per_address=1), "auth": AuthSettings(open=True)}
    async with (
        served(door=door, trusted_proxies=("127.0.0.1",)) as server,
        connected(server) as (first, _),
        connected(server),
    ):
        await fine(server)
        assert not first.at_eof()


async def test_where_all_connections_are_taken_an_idle_one_makes_room() -> None:
    async with (
        served(door={"limits": LimitSettings(connections=3)}) as server,
        connected(server) as (oldest, _),
        connected(server),
        connected(server),
    ):
        await fine(server)
        await cut_off(oldest)
