"""One UDP port for the media of all calls, so that a firewall or Docker has one port to let through.

aioice gives each ICE agent sockets of its own. Here an agent gets a `Share`, which looks like its socket.
Whose a packet is: a check says it by the user name in it, which only the answer of that call has told (RFC
8445 §7.2.2), and its sender is remembered when it is signed with that call's password; a response to a check
of ours by its transaction (RFC 8489 §5); all else (DTLS, SRTP) by the remembered address it comes from.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from typing import Any, cast

from aioice import stun
from aioice.ice import Connection, StunProtocol

from pipeline.errors import ConfigError

log = logging.getLogger(__name__)

Address = tuple[str, int]

BUFFER_BYTES = 4 * 1024 * 1024  # asked of the kernel each way, for all calls; it gives what it may
AT_ONCE = 64  # packets read before the loop gets its turn
LARGEST = 65_536  # bytes of a datagram
MOST_ADDRESSES = 32  # of one agent: whoever signs checks from ever new addresses fills nobody's memory
COOKIE = b"\x21\x12\xa4\x42"  # of every STUN message (RFC 8489 §5)
CLASS_BITS = 0x0110  # of its type: 0 is a request, 0x0010 an indication


class UdpPort:
    """One bound socket. Raises ConfigError where it cannot be bound.

    Args:
        address: IPv4 or IPv6, of this machine.
    """

    def __init__(self, address: str, port: int) -> None:
        self.address = address
        self.port = port
        self._socket = _bound(address, port)
        self._shares: dict[str, Share] = {}  # by the agent's user name
        self._from: dict[Address, Share] = {}
        self._loop: asyncio.AbstractEventLoop | None = None  # that reads, while there are shares

    def share(self, agent: Connection) -> StunProtocol:
        """For `agent`, in place of a socket of its own; its user name must be like no other's."""
        protocol = StunProtocol(agent)
        share = Share(self, agent, protocol)
        if not self._shares:
            self._loop = asyncio.get_running_loop()
            self._loop.add_reader(self._socket, self._read)
        self._shares[agent.local_username] = share
        protocol.connection_made(share)
        return protocol

    def send(self, data: bytes, address: Address) -> None:
        """A packet that cannot be sent now is lost, as any may be on its way."""
        with contextlib.suppress(OSError, OverflowError):  # a candidate may name any port, 70000 too
            self._socket.sendto(data, address)

    def give_up(self, share: Share) -> None:
        """Nothing more goes to `share`."""
        if self._shares.pop(share.name, None) is None:
            return
        for address in share.addresses:
            del self._from[address]
        if not self._shares and self._loop is not None:
            self._loop.remove_reader(self._socket)

    def close(self) -> None:
        """Gives the port back."""
        for share in list(self._shares.values()):
            share.close()
        self._socket.close()

    def _read(self) -> None:
        for _ in range(AT_ONCE):
            try:
                data, source = self._socket.recvfrom(LARGEST)
            except OSError:  # nothing left, or an ICMP message about something sent
                return
            try:
                self._take(data, source[:2])
            except Exception as error:  # aioice's parser raises what comes to hand; the next is another's
                log.debug("a packet from %s: %s", source[0], error)

    def _take(self, data: bytes, address: Address) -> None:
        share = self._owner(data, address)
        if share is not None:
            share.protocol.datagram_received(data, address)

    def _owner(self, data: bytes, address: Address) -> Share | None:
        known = self._from.get(address)
        if data[4:8] != COOKIE or data[0] & 0xC0:
            return known
        if int.from_bytes(data[:2], "big") & CLASS_BITS == 0:
            return self._checker(data, address, known)
        transaction = data[8:20]
        if known is not None and transaction in known.protocol.transactions:
            return known
        for share in self._shares.values():
            if transaction in share.protocol.transactions:
                return share
        return None

    def _checker(self, data: bytes, address: Address, known: Share | None) -> Share | None:
        message = stun.parse_message(data)
        name = str(message.attributes.get("USERNAME", "")).partition(":")[0]
        share = self._shares.get(name)
        if share is not None and share is not known and share.has_signed(message):
            if known is not None:  # the caller's NAT has given the address to another call
                known.addresses.remove(address)
            self._from[address] = share
            share.addresses.append(address)
            if len(share.addresses) > MOST_ADDRESSES:
                del self._from[share.addresses.pop(0)]
        return share


class Share(asyncio.DatagramTransport):
    """What one agent has of the port: the transport that its protocol closes and sends through."""

    def __init__(self, port: UdpPort, agent: Connection, protocol: StunProtocol) -> None:
        super().__init__()
        self.name = agent.local_username
        self.protocol = protocol
        self.addresses: list[Address] = []  # that have shown they are its caller's, the newest last
        self._port = port
        self._password = agent.local_password.encode()
        self._closed = False

    def has_signed(self, message: stun.Message) -> bool:
        return "MESSAGE-INTEGRITY" in message.attributes and message.check_message_integrity(self._password)

    def sendto(self, data: Any, address: Any = None) -> None:
        if not self._closed:
            self._port.send(data, address)

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._port.give_up(self)
            asyncio.get_running_loop().call_soon(self.protocol.connection_lost, None)

    def abort(self) -> None:
        self.close()

    def is_closing(self) -> bool:
        return self._closed

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return cast(Address, (self._port.address, self._port.port)) if name == "sockname" else default


def _bound(address: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_DGRAM)
    try:
        bound.setblocking(False)
        for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
            bound.setsockopt(socket.SOL_SOCKET, option, BUFFER_BYTES)
        bound.bind((address, port))
    except OSError as error:
        bound.close()
        why = (error.strerror or str(error)).lower()
        raise ConfigError(f"ice.udp_port = {port}: cannot be bound at {address}: {why}") from None
    return bound
