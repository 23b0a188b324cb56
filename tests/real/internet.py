"""A public network with a relay, homes behind symmetric NATs, and calls between those who live there."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiortc import (
    AudioStreamTrack,
    RTCConfiguration,
    RTCIceServer,
    RTCPeerConnection,
    RTCSessionDescription,
)
from pydantic import SecretStr

from server.transport.ending import begin_nothing_after_close
from server.transport.network import IceSettings
from tests.real.networks import Machine, World, listens
from tests.real.served import Served, served

SECRET = "of the relay and the server alone"
CORE, SERVER, RELAY = "203.0.113.1", "203.0.113.10", "203.0.113.20"
HOME, OTHER_HOME = "203.0.113.30", "203.0.113.40"
STUN = f"stun:{RELAY}:3478"
TURN_UDP = f"turn:{RELAY}:3478?transport=udp"
TURN_TCP = f"turn:{RELAY}:3478?transport=tcp"
HEARD = 25  # frames, half a second: sound passes
WAY_WITHIN_S = 15.0  # on a busy machine

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
