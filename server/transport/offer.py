"""Is this text an offer that a call can be made of? Asked before anything is built for it.

aiortc takes empty text, "hello there", an SDP without a fingerprint or one with a hundred m-lines as an
offer, and then holds a half-made connection, or fails in a task that nobody waits for.
RFC 8866 (SDP), RFC 8829 (JSEP), RFC 8122 (fingerprint), RFC 8839 (ICE), RFC 8841 (SCTP), RFC 9143 (BUNDLE).
"""

from __future__ import annotations

import re

from aiortc.sdp import MediaDescription, SessionDescription

from server.workers import BadOffer

MAX_BYTES = 64 * 1024
MAX_SECTIONS = 8  # a browser offers audio, video and data; some add one more of each
MAX_LINE = 2048  # characters; a browser's longest is below 300
MAX_PORT = 65_535

LINE = re.compile(r"[a-z]=[^\0-\x1f\x7f]*")
SECTION = re.compile(r"m=(\w+) \d+ \S+ \S")
KINDS = ("audio", "video", "application")
SCTP = ("UDP/DTLS/SCTP", "DTLS/SCTP")
MID = re.compile(r"[!#-'*+.0-9A-Z^-~-]{1,64}")
UFRAG = re.compile(r"[A-Za-z0-9+/=_-]{4,256}")
PASSWORD = re.compile(r"[A-Za-z0-9+/=_-]{22,256}")
FINGERPRINT = re.compile(r"([0-9A-F]{2}:){31,63}[0-9A-F]{2}", re.IGNORECASE)
HASHES = ("sha-256", "sha-384", "sha-512")


def check_offer(sdp: str) -> None:
    """Raises BadOffer, with a message for whoever wrote the client."""
    try:
        size = len(sdp.encode())
    except UnicodeEncodeError:
        raise BadOffer("invalid_offer", "the offer is not text") from None
    if size > MAX_BYTES:
        raise BadOffer("offer_too_large", f"an offer may have {MAX_BYTES // 1024} KiB")
    lines = [line.removesuffix("\r") for line in sdp.strip("\r\n").split("\n")]
    if lines[0] != "v=0" or max(map(len, lines)) > MAX_LINE:
        raise BadOffer("invalid_offer", 'the body is no SDP (its first line is "v=0")')
    if not all(map(LINE.fullmatch, lines)):
        raise BadOffer("invalid_offer", "the body is no SDP: a line does not begin with a letter and =")
    kinds = [match[1] if (match := SECTION.match(line)) else "" for line in lines if line.startswith("m=")]
    if len(kinds) > MAX_SECTIONS:
        raise BadOffer("invalid_offer", f"the offer has {len(kinds)} m= lines; {MAX_SECTIONS} may be")
    if not set(kinds) <= set(KINDS) or kinds.count("application") > 1:
        raise BadOffer(
            "invalid_offer", "an m= line of the offer is malformed; audio, video and one application may be"
        )
    if "audio" not in kinds:
        raise BadOffer("no_audio", "the offer has no audio section (m=audio), and a call is made of that")
    try:
        description = SessionDescription.parse("\r\n".join(lines) + "\r\n")
    except Exception:  # whatever its own code meets first
        raise BadOffer("invalid_offer", "an attribute of the offer is malformed") from None
    for section in description.media:
        _check_section(section)
    _check_bundle(description)


def offers_data_channel(sdp: str) -> bool:
    """Whether the client means to open a data channel."""
    return any(line.startswith("m=application ") for line in sdp.splitlines())


def _check_section(section: MediaDescription) -> None:
    """What aiortc takes on trust."""
    wrong = ""
    if not MID.fullmatch(section.rtp.muxId or ""):
        wrong = "mid"
    elif section.ice is None or not UFRAG.fullmatch(section.ice.usernameFragment or ""):
        wrong = "ice-ufrag"
    elif not PASSWORD.fullmatch(section.ice.password or ""):
        wrong = "ice-pwd"
    elif section.dtls is None:
        wrong = "setup"
    elif not section.dtls.fingerprints or not all(
        FINGERPRINT.fullmatch(one.value) and one.algorithm.lower() in HASHES
        for one in section.dtls.fingerprints
    ):
        wrong = "fingerprint"
    elif section.kind == "application":
        if section.profile not in SCTP or not 0 < _sctp_port(section) <= MAX_PORT:
            wrong = "sctp-port"
    elif not section.rtcp_mux:
        wrong = "rtcp-mux"
    if wrong:
        raise BadOffer(
            "invalid_offer",
            f"m={section.kind} of the offer has no valid a={wrong}; a WebRTC client sends one",
        )


def _sctp_port(section: MediaDescription) -> int:
    if section.profile == "DTLS/SCTP":  # the older form has it in the m= line
        return int(section.fmt[0]) if str(section.fmt[0]).isdecimal() else 0
    return section.sctp_port or 0


def _check_bundle(description: SessionDescription) -> None:
    mids = [section.rtp.muxId for section in description.media]
    bundled = [mid for group in description.group if group.semantic == "BUNDLE" for mid in group.items]
    for named in (mids, bundled):
        if len(set(named)) < len(named):
            raise BadOffer("invalid_offer", "two sections of the offer have the same a=mid")
    if not set(bundled) <= set(mids):
        raise BadOffer("invalid_offer", "a=group:BUNDLE of the offer names a section that is not there")
