"""[ice] of config.toml: how media finds its way between a client and this server."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated

from pydantic import AfterValidator, Field

from pipeline.settings import Section

ICE_URL = re.compile(r"stuns?:[^?\s]+|turns?:[^?\s]+(\?transport=(udp|tcp))?")  # RFC 7064, RFC 7065


def _ice_url(text: str) -> str:
    if not ICE_URL.fullmatch(text):
        raise ValueError("write stun:host:port, turn:host:port or turn:host:port?transport=tcp")
    return text


IceUrl = Annotated[str, AfterValidator(_ice_url)]
IpAddress = Annotated[str, AfterValidator(lambda text: str(ipaddress.ip_address(text)))]


class IceSettings(Section):
    udp_port: int = Field(0, ge=0, le=65_535)  # for the media of all calls; 0: a free one for each
    announce: tuple[IpAddress, ...] = ()
    interfaces: tuple[str, ...] = ()  # by name or network; none: all
    exclude: tuple[str, ...] = ("docker*", "br-*", "veth*", "virbr*")
    servers: tuple[IceUrl, ...] = ()  # for the page
    own_servers: tuple[IceUrl, ...] = ()  # for this server
    credential_s: int = Field(3600, ge=60, le=86_400)
    gather_s: float = Field(2.0, gt=0, le=5)
