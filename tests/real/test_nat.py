"""Calls through what stands between people and servers: NATs, firewalls, relays, Docker, IPv6, slow lines."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiortc import (
    AudioStreamTrack,
    RTCConfiguration,
    RTCIceServer,
    RTCPeerConnection,
    RTCSessionDescription,
)
from pydantic import SecretStr

from server.ending import begin_nothing_after_close
from server.network import IceSettings
from server.turn import credentials
from tests.real.networks import Machine, World, listens, needed, world
from tests.real.served import Served, served

pytestmark = pytest.mark.real

SECRET = "of the relay and the server alone"
CORE, SERVER, RELAY = "203.0.113.1", "203.0.113.10", "203.0.113.20"
HOME, OTHER_HOME = "203.0.113.30", "203.0.113.40"
STUN = f"stun:{RELAY}:3478"
TURN_UDP = f"turn:{RELAY}:3478?transport=udp"
TURN_TCP = f"turn:{RELAY}:3478?transport=tcp"
HEARD = 25  # frames, half a second: sound passes
WAY_WITHIN_S = 15.0  # on a busy machine
NO_WAY_AFTER_S = 2.0  # where there is one it takes a tenth of that

# A port of its own for each destination, and nothing comes in that was not asked for (RFC 4787: address
# and port-dependent mapping and filtering).
SYMMETRIC = """
table ip nat {
  chain out {
    type nat hook postrouting priority srcnat
    oifname "wan" masquerade random,fully-random
  }
}
table inet filter {
  chain through {
    type filter hook forward priority filter; policy drop
    ct state established,related accept
    iifname "lan" accept
  }
}
"""
NO_UDP = "insert rule inet filter through meta l4proto udp drop"
ONLY_FROM_THE_RELAY = f"""
table inet filter {{
  chain in {{
    type filter hook input priority filter
    meta l4proto udp ip saddr != {RELAY} drop
  }}
}}
"""
# What Docker does for `-p 50000:50000/udp`.
PUBLISHED = """
table ip docker {
  chain in {
    type nat hook prerouting priority dstnat
    iifname "wan" udp dport 50000 dnat to 172.30.0.2
  }
  chain out {
    type nat hook postrouting priority srcnat
    oifname "wan" masquerade
  }
}
"""


@pytest.fixture
def net() -> Iterator[World]:
    needed()
    with world() as made:
        yield made


class Internet:
    """A public network, and who is on it. What has no address there is lost without a word."""

    def __init__(self, net: World) -> None:
        self.net = net
        self.switch = net.switch()
        net.plug(net.machine("core"), self.switch, "eth0", f"{CORE}/24")

    def public(self, name: str, address: str) -> Machine:
        return self.behind(name, self.switch, address, CORE)

    def router(self, name: str, address: str, inside: str) -> tuple[Machine, Machine]:
        """(router, the switch behind it); `inside`: its address there."""
        router, switch = self.net.machine(name), self.net.switch()
        self.net.plug(router, self.switch, "wan", f"{address}/24")
        router.route(CORE)
        self.net.plug(router, switch, "lan", f"{inside}/24")
        router.forwards()
        return router, switch

    def behind(self, name: str, switch: Machine, address: str, gateway: str) -> Machine:
        machine = self.net.machine(name)
        self.net.plug(machine, switch, "eth0", f"{address}/24")
        machine.route(gateway)
        return machine

    def at_home(self, name: str, address: str = HOME) -> tuple[Machine, Machine]:
        """(router, machine) behind a symmetric NAT."""
        router, switch = self.router(f"{name}-router", address, "10.0.0.1")
        router.rules(SYMMETRIC)
        return router, self.behind(name, switch, "10.0.0.2", "10.0.0.1")

    async def relay(self, folder: Path) -> Machine:
        machine = self.public("relay", RELAY)
        machine.start(
            *("turnserver", "-n", "--no-cli", "--no-tls", "--no-dtls", "--log-file=/dev/null"),
            *(f"--listening-ip={RELAY}", f"--relay-ip={RELAY}", "--realm=viva"),
            *("--use-auth-secret", f"--static-auth-secret={SECRET}"),
            *(f"--pidfile={folder}/pid", f"--userdb={folder}/db"),
        )
        await listens(machine, RELAY, 3478)
        return machine


@asynccontextmanager
async def serving(machine: Machine, **ice: Any) -> AsyncIterator[Served]:
    """The server at that machine; this thread is there meanwhile."""
    door = {"ice": IceSettings(**ice), "turn_secret": SecretStr(SECRET)}
    with machine.inside():
        async with served(door=door) as running:
            yield running


async def servers_for_pages(server: Served) -> list[dict[str, Any]]:
    async with server.http.get(f"{server.url}/v1/viva/ice") as response:
        assert response.headers["Cache-Control"] == "no-store"
        assert SECRET not in await response.text()
        return (await response.json())["iceServers"]


async def talk(
    machine: Machine,
    server: Served,
    servers: list[dict[str, Any]] | None = None,
    within_s: float = WAY_WITHIN_S,
) -> bool:
    """A call from that machine: True once an event and its sound came; False: not in that time."""
    here = asyncio.get_running_loop()

    async def call() -> bool:
        pc = RTCPeerConnection(RTCConfiguration(iceServers=[RTCIceServer(**each) for each in servers or []]))
        try:
            audio = pc.addTransceiver(AudioStreamTrack(), direction="sendrecv")
            channel = pc.createDataChannel("oai-events")
            opened = asyncio.Event()
            channel.on("message", lambda _: opened.set())
            begin_nothing_after_close(pc)
            await pc.setLocalDescription(await pc.createOffer())
            placing = asyncio.run_coroutine_threadsafe(server.worker.place(pc.localDescription.sdp), here)
            placed = await asyncio.wrap_future(placing)
            await pc.setRemoteDescription(RTCSessionDescription(placed.answer, "answer"))
            try:
                async with asyncio.timeout(within_s):
                    await opened.wait()
            except TimeoutError:
                return False
            channel.send(json.dumps({"type": "session.update", "session": {"type": "realtime"}}))
            for _ in range(HEARD):
                await audio.receiver.track.recv()
            return True
        finally:
            await pc.close()

    return await machine.do(call)


# ------------------------------------------------------------------ NATs and relays


async def test_behind_a_symmetric_nat_a_public_server_is_reached_without_any_help(net: World) -> None:
    internet = Internet(net)
    _, client = internet.at_home("client")
    async with serving(internet.public("server", SERVER)) as server:
        assert await talk(client, server)


async def test_behind_a_symmetric_nat_a_closed_server_is_reached_by_relay_over_udp(
    net: World, tmp_path: Path
) -> None:
    internet = Internet(net)
    _, client = internet.at_home("client")
    await internet.relay(tmp_path)
    machine = internet.public("server", SERVER)
    machine.rules(ONLY_FROM_THE_RELAY)
    async with serving(machine, servers=(STUN, TURN_UDP)) as server:
        servers = await servers_for_pages(server)
        assert not await talk(client, server, within_s=NO_WAY_AFTER_S), "the rules let no other way through"
        assert await talk(client, server, servers)


async def test_where_no_udp_passes_the_relay_is_reached_over_tcp(net: World, tmp_path: Path) -> None:
    internet = Internet(net)
    router, client = internet.at_home("client")
    router.rules(NO_UDP)
    await internet.relay(tmp_path)
    async with serving(internet.public("server", SERVER), udp_port=50_000, servers=(TURN_TCP,)) as server:
        assert await talk(client, server, await servers_for_pages(server))


async def test_a_relay_refuses_credentials_that_have_expired(net: World, tmp_path: Path) -> None:
    internet = Internet(net)
    router, client = internet.at_home("client")
    router.rules(NO_UDP)
    await internet.relay(tmp_path)
    name, password = credentials(SECRET, "viva-old", int(time.time()) - 60)
    async with serving(internet.public("server", SERVER)) as server:
        old = [{"urls": [TURN_TCP], "username": name, "credential": password}]
        assert not await talk(client, server, old, within_s=NO_WAY_AFTER_S)


async def test_a_server_behind_a_symmetric_nat_is_called_through_its_own_relay(
    net: World, tmp_path: Path
) -> None:
    internet = Internet(net)
    _, client = internet.at_home("client")
    _, machine = internet.at_home("server", OTHER_HOME)
    await internet.relay(tmp_path)
    async with serving(machine, own_servers=(TURN_UDP,)) as server:
        assert await talk(client, server, [{"urls": [STUN]}])


# ------------------------------------------------------------------ Docker, and a fixed port


async def test_in_docker_the_published_port_is_reached_by_the_announced_address(net: World) -> None:
    internet = Internet(net)
    _, client = internet.at_home("client")
    host, bridge = internet.router("host", SERVER, "172.30.0.1")
    host.rules(PUBLISHED)
    container = internet.behind("container", bridge, "172.30.0.2", "172.30.0.1")
    async with serving(container, udp_port=50_000) as server:
        assert not await talk(client, server, within_s=NO_WAY_AFTER_S), "nobody outside knows its own address"
    async with serving(container, udp_port=50_000, announce=(SERVER,)) as server:
        assert all(await asyncio.gather(*(talk(client, server) for _ in range(3))))


async def test_interfaces_that_are_excluded_are_not_offered(net: World) -> None:
    internet = Internet(net)
    machine = internet.public("server", SERVER)
    net.plug(machine, internet.net.switch(), "docker0", "172.17.0.1/16")
    net.plug(machine, internet.net.switch(), "vpn0", "10.8.0.1/24")
    client = internet.public("client", HOME)
    for settings, offered in (
        ({}, {SERVER, "10.8.0.1"}),
        ({"exclude": ("10.8.0.0/16",)}, {SERVER, "172.17.0.1"}),
        ({"interfaces": ("eth*", "docker0")}, {SERVER}),
    ):
        async with serving(machine, **settings) as server:
            answer = await answer_from(client, server)
        assert {line.split()[4] for line in answer.splitlines() if "a=candidate" in line} == offered


async def answer_from(machine: Machine, server: Served) -> str:
    here = asyncio.get_running_loop()

    async def ask() -> str:
        pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        try:
            pc.addTransceiver("audio", direction="recvonly")
            await pc.setLocalDescription(await pc.createOffer())
            placing = asyncio.run_coroutine_threadsafe(server.worker.place(pc.localDescription.sdp), here)
            return (await asyncio.wrap_future(placing)).answer
        finally:
            await pc.close()

    return await machine.do(ask)


# ------------------------------------------------------------------ IPv6


@pytest.mark.parametrize("udp_port", [0, 50_000])
async def test_where_there_is_only_ipv6_a_call_is_as_any_other(net: World, udp_port: int) -> None:
    switch = net.switch()
    machine, client = net.machine("server"), net.machine("client")
    net.plug(machine, switch, "eth0", "2001:db8::10/64")
    net.plug(client, switch, "eth0", "2001:db8::20/64")
    async with serving(machine, udp_port=udp_port, announce=("2001:db8::99",)) as server:
        assert "2001:db8::99" in await answer_from(client, server)
        assert await talk(client, server)
