"""Is this text an offer that a call can be made of? Asked before anything is built for it.

aiortc takes empty text, "hello there", an SDP without a fingerprint or one with a hundred m-lines as an
offer, and then holds a half-made connection. RFC 8866 (SDP), RFC 8829 (JSEP), RFC 8122 (fingerprint).
"""

from __future__ import annotations

import re

from server.workers import BadOffer

MAX_BYTES = 64 * 1024
MAX_SECTIONS = 8  # a browser offers audio, video and data; some add one more of each
MAX_LINE = 2048  # characters; a browser's longest is below 300

MEDIA = re.compile(r"^m=(\w+) (\d+) (\S+) \S")
UFRAG = re.compile(r"^a=ice-ufrag:\S{4,256}$")
PASSWORD = re.compile(r"^a=ice-pwd:\S{22,256}$")
FINGERPRINT = re.compile(
    r"^a=fingerprint:(sha-256|sha-384|sha-512) ([0-9A-F]{2}:)+[0-9A-F]{2}$", re.IGNORECASE
)
SETUP = re.compile(r"^a=setup:(actpass|active|passive)$")


def check_offer(sdp: str) -> None:
    """Raises BadOffer, with a message for whoever wrote the client."""
    if len(sdp.encode()) > MAX_BYTES:
        raise BadOffer("offer_too_large", f"an offer may have {MAX_BYTES // 1024} KiB")
    lines = [line.rstrip("\r") for line in sdp.strip("\r\n").split("\n")]
    if lines[0] != "v=0" or "\0" in sdp or max(map(len, lines)) > MAX_LINE:
        raise BadOffer("invalid_offer", 'the body is no SDP (its first line is "v=0")')
    if not all(re.match(r"^[a-z]=", line) for line in lines):
        raise BadOffer("invalid_offer", "the body is no SDP: a line does not begin with a letter and =")
    kinds = [match[1] for match in map(MEDIA.match, lines) if match]
    if len(kinds) != sum(line.startswith("m=") for line in lines):
        raise BadOffer("invalid_offer", "an m= line of the offer is malformed")
    if len(kinds) > MAX_SECTIONS:
        raise BadOffer("invalid_offer", f"the offer has {len(kinds)} m= lines; {MAX_SECTIONS} may be")
    if "audio" not in kinds:
        raise BadOffer("no_audio", "the offer has no audio section (m=audio), and a call is made of that")
    for pattern, name in (
        (UFRAG, "ice-ufrag"),
        (PASSWORD, "ice-pwd"),
        (FINGERPRINT, "fingerprint"),
        (SETUP, "setup"),
    ):
        if not any(map(pattern.match, lines)):
            raise BadOffer("invalid_offer", f"the offer has no valid a={name}; a WebRTC client sends one")


def offers_data_channel(sdp: str) -> bool:
    """Whether the client means to open a data channel."""
    return any(line.startswith("m=application ") for line in sdp.splitlines())
