"""Which of a client's candidates are looked at, and which servers of our own are taken."""

from __future__ import annotations

import pytest
from pydantic import SecretStr

from pipeline.errors import ConfigError
from server.transport.ice import MOST_CANDIDATES, Ice, reachable
from server.transport.network import IceSettings

# In the shape of the browsers' own, of a page that may not use the microphone (yet).
CHROMIUM = """\
v=0
o=- 4611731400430051336 2 IN IP4 127.0.0.1
s=-
t=0 0
a=group:BUNDLE 0 1
m=audio 47632 UDP/TLS/RTP/SAVPF 111
c=IN IP4 203.0.113.7
a=candidate:2569998210 1 udp 2113937151 6d3f1a52-0d6c-4c0a-9f4a-0b1f6f0c4b1d.local 47632 typ host generation 0
a=candidate:842163049 1 udp 1677729535 203.0.113.7 47632 typ srflx raddr 0.0.0.0 rport 0 generation 0
a=candidate:3061235599 1 tcp 1518214911 6d3f1a52-0d6c-4c0a-9f4a-0b1f6f0c4b1d.local 9 typ host tcptype active
a=ice-ufrag:4Zcd
m=application 9 UDP/DTLS/SCTP webrtc-datachannel
a=candidate:2569998210 1 udp 2113937151 6d3f1a52-0d6c-4c0a-9f4a-0b1f6f0c4b1d.local 47632 typ host generation 0
a=mid:1
"""
FIREFOX = """\
v=0
m=audio 9 UDP/TLS/RTP/SAVPF 109
a=candidate:0 1 UDP 2122252543 8b1c53f0-1111-4b5e-8a64-0f4dd8a6a1a7.local 54321 typ host
a=candidate:1 1 TCP 2105524479 8b1c53f0-1111-4b5e-8a64-0f4dd8a6a1a7.local 9 typ host tcptype active
a=end-of-candidates
a=mid:0
"""


def candidates(sdp: str) -> list[str]:
    return [line.split()[4] for line in sdp.splitlines() if line.startswith("a=candidate:")]


def test_hidden_names_and_tcp_go_and_the_rest_of_the_offer_stays() -> None:
    assert candidates(reachable(CHROMIUM)) == ["203.0.113.7"]
    others = [line for line in CHROMIUM.splitlines() if not line.startswith("a=candidate:")]
    assert [line for line in reachable(CHROMIUM).splitlines() if "candidate:" not in line] == others


def test_an_offer_of_hidden_names_alone_stays_open_for_whoever_knocks() -> None:
    assert reachable(FIREFOX) == "v=0\nm=audio 9 UDP/TLS/RTP/SAVPF 109\na=mid:0\n"


def test_line_ends_are_left_as_they_are() -> None:
    offer = CHROMIUM.replace("\n", "\r\n")
    assert reachable(offer) == reachable(CHROMIUM).replace("\n", "\r\n")


def test_each_section_may_name_so_many_candidates_and_no_port_that_is_none() -> None:
    line = "a=candidate:1 1 udp 1 203.0.113.{} {} typ host\n"
    many = "".join(line.format(number % 256, 5000 + number) for number in range(300))
    assert (
        len(candidates(reachable(f"v=0\nm=audio 9 X 0\n{many}m=video 9 X 0\n{many}"))) == 2 * MOST_CANDIDATES
    )
    assert candidates(reachable("m=audio 9 X 0\n" + line.format(1, 70_000) + line.format(2, 0))) == []


def test_a_malformed_candidate_is_left_for_the_parser_to_name() -> None:
    assert "a=candidate:1 x\n" in reachable("m=audio 9 X 0\na=candidate:1 x\n")


@pytest.mark.parametrize(
    "servers",
    [
        ("stun:[2001:db8::1]:3478",),
        ("stuns:stun.example",),
        ("stun:one.example", "stun:other.example"),
        ("turn:one.example", "turns:one.example"),
    ],
)
def test_own_servers_that_no_call_could_use_are_refused_at_start(servers: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError, match=r"ice\.own_servers"):
        Ice(IceSettings(own_servers=servers), SecretStr("north"))


def test_one_stun_and_one_turn_server_are_taken() -> None:
    ice = Ice(IceSettings(own_servers=("stun:stun.example", "turns:turn.example:443")), SecretStr("north"))
    stun, turn = ice.configuration().iceServers
    assert stun.urls == ["stun:stun.example"]
    assert turn.urls == ["turns:turn.example:443"]
    assert turn.username
    assert turn.credential
