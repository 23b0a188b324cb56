"""How large a picture an encoded key frame announces, read from its header: nothing is decoded.

VP8: RFC 6386 §9.1. H.264: the sequence parameter set, ITU-T H.264 §7.3.2.1.1.
"""

from __future__ import annotations

VP8_START = b"\x9d\x01\x2a"
START_CODE = b"\x00\x00\x01"
PARAMETER_SET = 7  # NAL unit type
WITH_CHROMA_FORMAT = frozenset((44, 83, 86, 100, 110, 118, 122, 128, 134, 135, 138, 139, 244))  # profiles
MOST_BITS = 8 * 512  # of a parameter set that are looked at; a browser's has about 120


def pixels(codec: str, data: bytes) -> int | None:
    """Of a key frame, by the codec's name ("VP8", "H264"). None: it does not say.

    Raises ValueError for a header that is broken."""
    return _vp8(data) if codec == "VP8" else _h264(data)


def _vp8(data: bytes) -> int:
    if len(data) < 10 or data[3:6] != VP8_START:
        raise ValueError("no VP8 key frame")
    width, height = (int.from_bytes(data[at : at + 2], "little") & 0x3FFF for at in (6, 8))
    return width * height


def _h264(data: bytes) -> int | None:
    at = data.find(START_CODE)
    while at >= 0 and at + 3 < len(data):
        end = data.find(START_CODE, at + 3)
        if data[at + 3] & 0x1F == PARAMETER_SET:
            return _of_parameter_set(data[at + 4 : end if end >= 0 else len(data)])
        at = end
    return None


def _of_parameter_set(payload: bytes) -> int:
    bits = _Bits(payload.replace(b"\x00\x00\x03", b"\x00\x00")[: MOST_BITS // 8])  # §7.4.1.1
    profile = bits.number(8)
    bits.number(16)
    bits.golomb()
    if profile in WITH_CHROMA_FORMAT:
        chroma = bits.golomb()
        if chroma == 3:
            bits.number(1)
        bits.golomb()
        bits.golomb()
        bits.number(1)
        if bits.number(1):
            _skip_scaling(bits, 12 if chroma == 3 else 8)
    bits.golomb()
    order = bits.golomb()
    if order == 0:
        bits.golomb()
    elif order == 1:
        bits.number(1)
        bits.golomb()
        bits.golomb()
        for _ in range(bits.golomb()):
            bits.golomb()
    bits.golomb()
    bits.number(1)
    width, height = bits.golomb() + 1, bits.golomb() + 1
    fields = 1 if bits.number(1) else 2
    return 16 * width * 16 * height * fields


def _skip_scaling(bits: _Bits, lists: int) -> None:
    """§7.3.2.1.1.1"""
    for one in range(lists):
        if not bits.number(1):
            continue
        last = scale = 8
        for _ in range(16 if one < 6 else 64):
            if scale:
                code = bits.golomb()
                step = (code + 1) // 2 if code % 2 else -(code // 2)
                scale = (last + step) % 256
            last = scale or last


class _Bits:
    def __init__(self, data: bytes) -> None:
        self._value = int.from_bytes(data, "big")
        self._left = 8 * len(data)

    def number(self, count: int) -> int:
        if count > self._left:
            raise ValueError("the parameter set ends too early")
        self._left -= count
        return (self._value >> self._left) & ((1 << count) - 1)

    def golomb(self) -> int:
        """Unsigned Exp-Golomb, §9.1"""
        zeros = 0
        while not self.number(1):
            zeros += 1
            if zeros > 31:
                raise ValueError("a number of the parameter set is too large")
        return (1 << zeros) - 1 + self.number(zeros)
