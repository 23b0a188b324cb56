"""One UDP port for many calls: whose a packet is, and whose it is not."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from aioice import stun

from pipeline.errors import ConfigError
from server.transport.ice import addresses
from server.transport.network import IceSettings
from server.transport.udp_port import MOST_ADDRESSES, UdpPort
from tests.real.served import Caller, caller, served, udp_sockets, until

pytestmark = pytest.mark.real

MEDIA = b"\x80\x60 as good as RTP"


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


# ------------------------------------------------------------------ calls


async def heard(one: Caller) -> None:
    """Sound comes."""
    await one.until("session.created")
    one.send("session.update", session={"type": "realtime"})
    for _ in range(10):
        await asyncio.wait_for(one.pc.getReceivers()[0].track.recv(), 10)


async def test_calls_share_the_port_and_one_that_ends_takes_nothing_from_the_others() -> None:
    ice = IceSettings(udp_port=free_port())
    before = udp_sockets()
    async with served(door={"ice": ice}) as server:
        own = len(addresses(ice))
        assert udp_sockets() - before == own
        async with caller(server) as one, caller(server) as other:
            async with caller(server) as third:
                await asyncio.gather(*(heard(each) for each in (one, other, third)))
            clients = 2 * own  # each has a socket for each address
            await until(lambda: udp_sockets() - before <= own + clients)
            await asyncio.gather(heard(one), heard(other))
            for each in (one, other):
                ports = {
                    line.split()[5] for line in each.pc.remoteDescription.sdp.splitlines() if "a=cand" in line
                }
                assert ports == {str(ice.udp_port)}
        await server.until_idle()
    assert udp_sockets() == before, "the port is given back"


async def test_a_port_in_use_is_named_at_start() -> None:
    address = addresses(IceSettings())[0]
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as taken:
        taken.bind((address, 0))
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=rf"ice\.udp_port = {port}: .*in use"):
            async with served(door={"ice": IceSettings(udp_port=port)}):
                pass


@pytest.mark.parametrize("udp_port", [False, True])
async def test_a_client_that_hides_its_addresses_is_answered_and_connects(udp_port: bool) -> None:
    """As Firefox does: names that nobody here can resolve, and the word that there will be no others."""
    ice = IceSettings(udp_port=free_port() if udp_port else 0)

    class Hiding(Caller):
        async def offer(self) -> str:
            lines = (await super().offer()).splitlines(keepends=True)
            for number, line in enumerate(lines):
                if line.startswith("a=candidate:"):
                    parts = line.split(" ")
                    parts[4] = "8b1c53f0-1111-4b5e-8a64-0f4dd8a6a1a7.local"
                    lines[number] = " ".join(parts)
            assert "a=end-of-candidates\r\n" in lines
            return "".join(lines)

    async with served(door={"ice": ice}) as server:
        one = Hiding(server)
        try:
            await one.connect()
            await heard(one)
        finally:
            await one.close()


# ------------------------------------------------------------------ packets


class Agent:
    """What of an ICE agent a port and its protocol see."""

    def __init__(self, name: str) -> None:
        self.local_username = name
        self.local_password = f"the password of {name}"
        self.got: list[bytes] = []  # media
        self.checked: list[tuple[str, int]] = []  # by whom
        self.lost = asyncio.Event()

    def data_received(self, data: bytes, component: int) -> None:
        self.got.append(data)

    def request_received(self, message: stun.Message, source: tuple[str, int], protocol: object) -> None:
        self.checked.append(source)

    def protocol_lost(self, protocol: object) -> None:
        self.lost.set()


class Candidate:
    component = 1


class Shared:
    def __init__(self) -> None:
        self.port = UdpPort("127.0.0.1", free_port())
        self.agents = {name: Agent(name) for name in ("anna", "bert")}
        self.protocols = {name: self.port.share(agent) for name, agent in self.agents.items()}  # type: ignore[arg-type]
        for protocol in self.protocols.values():
            protocol.local_candidate = Candidate()  # type: ignore[assignment]


@pytest_asyncio.fixture
async def shared() -> AsyncIterator[Shared]:
    made = Shared()
    yield made
    made.port.close()
    await asyncio.gather(*(protocol.close() for protocol in made.protocols.values()))


class Client:
    """A socket that sends to the port."""

    def __init__(self, shared: Shared) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.connect(("127.0.0.1", shared.port.port))

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def check(self, agent: Agent, password: str | None = None) -> None:
        message = stun.Message(message_method=stun.Method.BINDING, message_class=stun.Class.REQUEST)
        message.attributes["USERNAME"] = f"{agent.local_username}:client"
        message.attributes["PRIORITY"] = 1
        if password != "":
            message.add_message_integrity((password or agent.local_password).encode())
        self.socket.send(bytes(message))

    def send(self, data: bytes) -> None:
        self.socket.send(data)


async def test_media_goes_to_the_call_whose_check_came_from_the_same_address(shared: Shared) -> None:
    anna, bert = shared.agents.values()
    with Client(shared) as one, Client(shared) as other:
        one.check(anna)
        other.check(bert)
        one.send(MEDIA + b"1")
        other.send(MEDIA + b"2")
        await until(lambda: bool(anna.got and bert.got))
    assert (anna.got, bert.got) == ([MEDIA + b"1"], [MEDIA + b"2"])


async def test_an_address_that_a_nat_has_given_to_another_call_is_that_calls(shared: Shared) -> None:
    anna, bert = shared.agents.values()
    with Client(shared) as one:
        one.check(anna)
        one.check(bert)
        one.send(MEDIA)
        await until(lambda: bool(bert.got))
    assert not anna.got


@pytest.mark.parametrize("password", ["", "a guess"])
async def test_whoever_cannot_sign_a_check_gets_no_call(shared: Shared, password: str) -> None:
    anna, bert = shared.agents.values()
    with Client(shared) as one, Client(shared) as thief:
        one.check(anna)
        thief.check(anna, password)
        thief.send(MEDIA + b"of the thief")
        one.check(bert, password)  # nor does it lose the one it has
        one.send(MEDIA)
        await until(lambda: bool(anna.got))
    assert (anna.got, bert.got) == ([MEDIA], [])


async def test_noise_harms_nobody(shared: Shared) -> None:
    anna = shared.agents["anna"]
    header = b"\x00\x01\x00\x08\x21\x12\xa4\x42" + bytes(12)
    with Client(shared) as one, Client(shared) as stranger:
        one.check(anna)
        for noise in (
            b"",
            b"\x00",
            header,  # shorter than it says
            header + b"\x00\x24\x00\x01\x00\x00\x00\x00",  # PRIORITY of one byte
            header + b"\x00\x06\x00\x04\xff\xff\xff\xff",  # USERNAME that is no UTF-8
            b"\x01\x01" + header[2:],  # a response that nobody waits for
            b"\x00\x11" + header[2:],  # an indication
            b"\x16\xfe\xff" + bytes(40),  # DTLS
            MEDIA,
            bytes(2000),
        ):
            stranger.send(noise)
            one.send(noise)
        one.send(MEDIA + b"after it")
        await until(lambda: MEDIA + b"after it" in anna.got)


async def test_a_caller_with_ever_new_addresses_fills_no_memory(shared: Shared) -> None:
    anna = shared.agents["anna"]
    clients = [Client(shared) for _ in range(MOST_ADDRESSES + 1)]
    try:
        for number, client in enumerate(clients):
            client.check(anna)
            await until(lambda number=number: len(anna.checked) > number)
        clients[0].send(MEDIA + b"from the oldest")
        clients[-1].send(MEDIA)
        await until(lambda: bool(anna.got))
    finally:
        for client in clients:
            client.socket.close()
    assert anna.got == [MEDIA]


async def test_a_candidate_with_an_impossible_port_costs_nobody_the_socket(shared: Shared) -> None:
    anna = shared.agents["anna"]
    await shared.protocols["bert"].send_data(b"x", ("127.0.0.1", 70_000))
    await shared.protocols["bert"].send_data(b"x", ("2001:db8::1", 5000))
    with Client(shared) as one:
        one.check(anna)
        one.send(MEDIA)
        await until(lambda: bool(anna.got))


async def test_an_agent_that_closes_hears_nothing_more_and_the_other_does(shared: Shared) -> None:
    anna, bert = shared.agents.values()
    with Client(shared) as one, Client(shared) as other:
        one.check(anna)
        other.check(bert)
        await until(lambda: bool(anna.checked and bert.checked))
        await shared.protocols["anna"].close()
        assert anna.lost.is_set()
        one.send(MEDIA)
        one.check(anna)
        other.send(MEDIA)
        await until(lambda: bool(bert.got))
    assert not anna.got
    assert len(anna.checked) == 1
