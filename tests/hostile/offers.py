"""SDP offers that no browser writes: from a grammar, and real ones spoilt in one to six places."""

from __future__ import annotations

import re

from hypothesis import strategies as st

from tests.hostile.shapes import SHAPES, text

NUMBERS = [
    "",
    "-1",
    "0",
    "1",
    "65535",
    "65536",
    "4294967296",
    "18446744073709551616",
    "1e400",
    "0x7f",
    "٣",
    "NaN",
]
JUNK = [
    "",
    " ",
    "\t",
    ":",
    "/",
    ";=",
    "%s%n",
    "../..",
    "\x1b[2J",
    "a" * 300,
    "\u202e",
    "😀",
    "\ufeff",
    "'",
    '"',
    "\\",
]
ATTRIBUTES = (
    "rtpmap fmtp mid ssrc ssrc-group extmap candidate sctp-port max-message-size group simulcast rid rtcp-fb "
    "setup msid rtcp ice-options sctpmap fingerprint ptime identity ice-ufrag ice-pwd"
).split()
WORDS = st.one_of(st.sampled_from(NUMBERS + JUNK), st.text(max_size=12))
LINES = st.one_of(
    st.builds("{}={}".format, st.sampled_from("vostcbamkruz"), WORDS),
    st.builds("a={}:{}".format, st.sampled_from(ATTRIBUTES), st.lists(WORDS, max_size=5).map(" ".join)),
    st.sampled_from([
        "a=candidate:1 1 udp 1 127.0.0.1 22 typ host",
        "a=candidate:1 1 udp 1 255.255.255.255 9 typ host",
        "a=candidate:1 1 udp 1 ff02::1 9 typ host",
        "a=candidate:1 1 udp 1 ::ffff:127.0.0.1 22 typ host",
        "a=candidate:1 1 udp 99999999999 nowhere.local 99999 typ relay raddr x rport y",
        "a=candidate:1 256 tcp 1 192.0.2.1 0 typ host tcptype so",
        "a=group:BUNDLE 0 0 0 1 1 9", "a=group:LS",
        "a=setup:holdconn", "a=inactive", "a=recvonly", "a=sendonly",
        "a=ice-lite", "a=extmap:15 x", "a=extmap:0 x", "a=extmap:255/nowhere x", "a=fmtp:97 apt=97",
        "a=simulcast:send a;b;c", "a=rid:a send", "a=ssrc-group:FID 1", "a=ssrc:x cname:y",
        "m=audio 9 UDP/TLS/RTP/SAVPF 111", "m=audio 0 UDP/TLS/RTP/SAVPF 111",
        "m=video 9 UDP/TLS/RTP/SAVPF 96",
        "m=application 9 UDP/DTLS/SCTP webrtc-datachannel", "m=application 9 DTLS/SCTP 5000",
        "m=text 9 RTP/AVP 0",
        "m=audio 9 RTP/AVP 0", "m=audio 9 UDP/TLS/RTP/SAVPF 111 111 111", "m=audio 9 UDP/TLS/RTP/SAVPF 999",
    ]),
)  # fmt: skip
NUMBER = re.compile(r"\d+")


@st.composite
def _spoilt(draw: st.DrawFn) -> str:
    lines = list(SHAPES[draw(st.sampled_from(sorted(SHAPES)))])
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, max(0, len(lines) - 1)))
        match draw(
            st.sampled_from(
                ["drop", "double", "swap", "number", "word", "insert", "cut", "repeat", "section"]
            )
        ):
            case "drop" if len(lines) > 1:
                del lines[at]
            case "double":
                lines.insert(at, lines[at])
            case "swap":
                other = draw(st.integers(0, len(lines) - 1))
                lines[at], lines[other] = lines[other], lines[at]
            case "number":
                lines[at] = NUMBER.sub(lambda _: draw(st.sampled_from(NUMBERS)), lines[at], count=1)
            case "word":
                words = re.split(r"([ :=;/])", lines[at])
                words[draw(st.integers(0, len(words) - 1))] = draw(WORDS)
                lines[at] = "".join(words)
            case "insert":
                lines.insert(at, draw(LINES))
            case "cut":
                lines[at] = lines[at][: draw(st.integers(0, len(lines[at])))]
            case "repeat":
                lines[at:at] = [lines[at]] * draw(st.integers(2, 60))
            case "section":
                start = max((n for n in range(at + 1) if lines[n].startswith("m=")), default=0)
                lines += lines[start:]
    return text(lines)


@st.composite
def _from_a_grammar(draw: st.DrawFn) -> str:
    """Lines in an order that passes the first look: a head, an audio section, whatever."""
    audio = SHAPES["safari"][:1] + [line for line in SHAPES["safari"] if line[:2] in ("m=", "a=")]
    return text(audio + draw(st.lists(LINES, max_size=20)))


OFFERS = st.one_of(_spoilt(), _from_a_grammar(), st.text(max_size=200), st.binary(max_size=200).map(repr))
