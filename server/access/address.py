"""Whose request it is, when it came through proxies."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

from pipeline.errors import ConfigError

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def networks(texts: Sequence[str]) -> tuple[Network, ...]:
    """Of server.trusted_proxies. Raises ConfigError."""
    try:
        return tuple(ipaddress.ip_network(text) for text in texts)
    except ValueError as error:
        raise ConfigError(f'server.trusted_proxies: {error}; e.g. "127.0.0.1", "10.0.0.0/8"') from None


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a socket that listens there."""
    try:
        return host == "localhost" or ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def is_trusted(address: str, trusted: tuple[Network, ...]) -> bool:
    parsed = _parse(address)
    return parsed is not None and any(parsed in network for network in trusted)


def client_address(peer: str, forwarded_for: str, trusted: tuple[Network, ...]) -> str:
    """The nearest address that is none of our proxies.

    Args:
        peer: who the socket is connected to.
        forwarded_for: X-Forwarded-For, each proxy having added on the right whom it saw. Anybody can write
            the left part of it, so it is read from the right and only as far as our own proxies reach.
    """
    address = peer
    for hop in reversed(forwarded_for.split(",")):
        if not is_trusted(address, trusted) or _parse(hop.strip()) is None:
            break
        address = hop.strip()
    return address


def counted_as(address: str) -> str:
    """By what an address is limited: a subscriber has a whole /64 of IPv6 (RFC 6177)."""
    parsed = _parse(address)
    if isinstance(parsed, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return str(parsed or "")


def _parse(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return None
    return getattr(parsed, "ipv4_mapped", None) or parsed
