"""How media finds its way: which addresses a call is offered at, and through which servers.

aioice takes every address of the machine and any free port, waits a second for names that only the client's
own network can resolve, and takes as many candidates as it is given. The settings are [ice] of config.toml;
docs/network.md says when to set them. RFC 8445 (ICE), RFC 8839 (candidates in SDP).
"""

from __future__ import annotations

import asyncio
import fnmatch
import functools
import ipaddress
import logging
import re
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import Any

import ifaddr
from aioice import Candidate, Connection
from aioice.candidate import candidate_foundation, candidate_priority
from aioice.ice import server_reflexive_candidate
from aioice.utils import random_string
from aiortc import RTCConfiguration, RTCIceServer, RTCPeerConnection
from aiortc.rtcicetransport import parse_stun_turn_uri
from pydantic import SecretStr

from pipeline.errors import ConfigError
from server.transport.network import IceSettings
from server.transport.turn import ice_servers, refuse_unsigned
from server.transport.udp_port import UdpPort

log = logging.getLogger(__name__)

MOST_CANDIDATES = 32  # of a client for one transport; each costs checks, to whatever address it names
USER_NAME_LENGTH = 12  # characters; aioice's own 4 would be the same for two calls now and then
AGENT = "_connection"  # of aiortc's ICE transport
PRIVATE = ("get_component_candidates", "_protocols", "_local_username")  # of aioice 0.13's Connection

Gather = Callable[..., Awaitable[list[Candidate]]]


class Ice:
    """The settings of one process at work. Raises ConfigError where they cannot be.

    Args:
        secret: signs the credentials for TURN servers.
    """

    def __init__(self, settings: IceSettings, secret: SecretStr | None = None) -> None:
        refuse_unsigned((*settings.servers, *settings.own_servers), secret)
        _refuse_unusable(settings.own_servers)
        self._settings = settings
        self._secret = secret
        self._ports: dict[str, UdpPort] = {}  # by address; empty where each call has its own
        usable = addresses(settings)
        if settings.udp_port:
            self._ports = {address: UdpPort(address, settings.udp_port) for address in usable}
        if usable:
            log.debug("media at %s, UDP port %s", ", ".join(usable), settings.udp_port or "any")
        else:
            log.warning("ice: no address is left to be called at; see ice.interfaces and ice.exclude")

    def configuration(self) -> RTCConfiguration:
        """For a connection of this server's own."""
        own = ice_servers(self._settings.own_servers, self._secret, self._settings.credential_s)
        return RTCConfiguration(iceServers=[RTCIceServer(**server) for server in own])

    def prepare(self, pc: RTCPeerConnection) -> None:
        """To be called when all transports of `pc` are there, before createAnswer."""
        transports = {transceiver.receiver.transport.transport for transceiver in pc.getTransceivers()}
        if pc.sctp is not None:
            transports.add(pc.sctp.transport.transport)
        for transport in transports:
            agent: Any = getattr(transport, AGENT, None)
            missing = [name for name in PRIVATE if not hasattr(agent, name)]
            if missing:
                log.warning("aioice has no %s; [ice] of the configuration has no effect", ", ".join(missing))
                return
            agent._local_username = random_string(USER_NAME_LENGTH)
            agent.get_component_candidates = functools.partial(
                self._gather, agent, agent.get_component_candidates
            )

    def close(self) -> None:
        """Gives the port back. Calls that still use it hear nothing any more."""
        for port in self._ports.values():
            port.close()
        self._ports.clear()

    # ------------------------------------------------------------ candidates

    async def _gather(
        self, agent: Connection, gather: Gather, component: int, addresses: list[str], timeout: int = 5
    ) -> list[Candidate]:
        """In place of aioice's `get_component_candidates`, `gather`, whose addresses are the machine's."""
        usable = list(self._usable())
        if self._settings.udp_port:
            ours = self._share_port(agent, component, usable)
            found, others = await asyncio.gather(
                self._reflexive(agent), gather(component, [], timeout=self._settings.gather_s)
            )
            candidates = [*ours, *found, *others]
        else:
            candidates = await gather(component, usable, timeout=self._settings.gather_s)
        self._complain(agent, candidates)
        return [*self._announced(candidates), *candidates]

    def _usable(self) -> Iterator[str]:
        for address in addresses(self._settings):
            if self._settings.udp_port and address not in self._ports:  # it came after the start
                try:
                    self._ports[address] = UdpPort(address, self._settings.udp_port)
                except ConfigError as error:
                    log.warning("%s", error)
                    continue
            yield address

    def _share_port(self, agent: Connection, component: int, usable: list[str]) -> list[Candidate]:
        candidates = []
        for address in usable:
            protocol = self._ports[address].share(agent)
            protocol.local_candidate = _host(component, address, self._settings.udp_port)
            agent._protocols.append(protocol)
            candidates.append(protocol.local_candidate)
        return candidates

    async def _reflexive(self, agent: Connection) -> list[Candidate]:
        """What a STUN server sees of the port; aioice asks only for sockets that it made itself."""
        if agent.stun_server is None:
            return []
        asked = [
            asyncio.wait_for(server_reflexive_candidate(protocol, agent.stun_server), self._settings.gather_s)
            for protocol in list(agent._protocols)
            if ":" not in protocol.local_candidate.host
        ]
        answers = await asyncio.gather(*asked, return_exceptions=True)
        return [answer[0] for answer in answers if not isinstance(answer, BaseException)]

    def _announced(self, candidates: list[Candidate]) -> list[Candidate]:
        """The addresses by which the world knows this server: whoever forwards them keeps the port."""
        hosts = [each for each in candidates if each.type == "host"]
        known = {(each.host, each.port) for each in hosts}
        named = {
            (announced, host.port): host
            for announced in self._settings.announce
            for host in hosts
            if (":" in announced) == (":" in host.host) and (announced, host.port) not in known
        }
        return [_host(host.component, address, port) for (address, port), host in named.items()]

    def _complain(self, agent: Connection, candidates: list[Candidate]) -> None:
        kinds = {each.type for each in candidates}
        for server, kind in ((agent.stun_server, "srflx"), (agent.turn_server, "relay")):
            if server and kind not in kinds:
                log.warning("ice.own_servers: %s:%d gave no %s candidate", *server, kind)


def _refuse_unusable(own_servers: Iterable[str]) -> None:
    """Raises ConfigError for what aiortc would pass over, or stumble over in every call."""
    kinds = []
    for url in own_servers:
        try:
            kinds.append(parse_stun_turn_uri(url)["scheme"].removesuffix("s"))
        except ValueError:
            raise ConfigError(f'ice.own_servers: "{url}" needs a name or an IPv4 address') from None
        if url.startswith("stuns:"):
            raise ConfigError(f'ice.own_servers: "{url}": only the page can use STUN over TLS; write stun:')
    if len(set(kinds)) < len(kinds):
        raise ConfigError("ice.own_servers: one STUN and one TURN server are used; leave out the others")


def _host(component: int, address: str, port: int) -> Candidate:
    return Candidate(
        foundation=candidate_foundation("host", "udp", address),
        component=component,
        transport="udp",
        priority=candidate_priority(component, "host"),
        host=address,
        port=port,
        type="host",
    )


# ---------------------------------------------------------------- addresses of this machine


def addresses(settings: IceSettings) -> list[str]:
    """Those that calls may use: not loopback, not link-local, and as `interfaces` and `exclude` say."""
    usable = []
    for adapter in ifaddr.get_adapters():
        for ip in adapter.ips:
            text = ip.ip if isinstance(ip.ip, str) else ip.ip[0]
            address = ipaddress.ip_address(text)
            if address.is_loopback or (address.version == 6 and address.is_link_local):
                continue
            if settings.interfaces and not _matches(adapter.name, address, settings.interfaces):
                continue
            if not _matches(adapter.name, address, settings.exclude):
                usable.append(text)
    return usable


def _matches(
    interface: str, address: ipaddress.IPv4Address | ipaddress.IPv6Address, patterns: tuple[str, ...]
) -> bool:
    for pattern in patterns:
        try:
            if address in ipaddress.ip_network(pattern, strict=False):
                return True
        except ValueError:  # a name
            if fnmatch.fnmatchcase(interface, pattern):
                return True
    return False


# ---------------------------------------------------------------- candidates of the client


CANDIDATE = re.compile(r"^a=candidate:\S+ \d+ (?P<transport>\S+) \d+ (?P<host>\S+) (?P<port>\d+) typ ", re.I)


def reachable(offer: str) -> str:
    """The offer with what can be checked at all, up to MOST_CANDIDATES for a section, and open to more.

    Names under .local (draft-ietf-mmusic-mdns-ice-candidates), behind which browsers hide their addresses,
    go: their network alone knows them, aioice would hold the answer back for a second, and the browser's own
    check shows where it is (RFC 8445 §7.3.1.3). For the same reason the end of candidates goes: a client
    that named none that we can reach has not failed.
    """
    kept, seen = [], 0
    for line in offer.splitlines(keepends=True):
        if line.startswith("m="):
            seen = 0
        if line.startswith("a=candidate:"):
            match = CANDIDATE.match(line)
            if match and not _worth_checking(match):
                continue
            seen += 1
            if seen > MOST_CANDIDATES:
                continue
        elif line.startswith("a=end-of-candidates"):
            continue
        kept.append(line)
    return "".join(kept)


def _worth_checking(candidate: re.Match[str]) -> bool:
    """Malformed ones do not come here: the parser names what is wrong with them."""
    return (
        candidate["transport"].lower() == "udp"
        and not candidate["host"].lower().endswith(".local")
        and 0 < int(candidate["port"]) < 65_536
    )
