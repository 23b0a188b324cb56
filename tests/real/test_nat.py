"""Calls through what stands between people and servers: NATs, firewalls, relays, Docker, IPv6."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from server.transport.turn import credentials
from tests.real.internet import (
    HOME,
    NO_UDP,
    OTHER_HOME,
    RELAY,
    SECRET,
    SERVER,
    STUN,
    TURN_TCP,
    TURN_UDP,
    Internet,
    answer_from,
    servers_for_pages,
    serving,
    talk,
)
from tests.real.networks import World, needed, world

pytestmark = pytest.mark.real

NO_WAY_AFTER_S = 2.0  # where there is one it takes a tenth of that
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
