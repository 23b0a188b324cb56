"""How much video one client may send: frames a second, bits a second, and pixels.

What comes back goes through the browser's own decoder and our uplink; neither is to be at a stranger's mercy.
"""

from __future__ import annotations

from server.access.door import LimitSettings
from server.access.limits import Bucket
from server.media.frames import EncodedFrame
from server.media.picture_size import pixels

BURST_S = 2.0  # a key frame has the bits of many others
SHUT_S = 1.0  # after too much; what leans on a frame that was dropped cannot be shown anyway


class VideoLimits:
    """Of one inbound stream."""

    def __init__(self, limits: LimitSettings, now_s: float) -> None:
        self._most_pixels = limits.video_pixels
        bytes_per_s = 125.0 * limits.video_kbps
        self._frames = Bucket(limits.video_fps, BURST_S * limits.video_fps, now_s)
        self._bytes = Bucket(bytes_per_s, BURST_S * bytes_per_s, now_s)
        self._shut_until_s = now_s
        self._fits = True  # the picture, by its last key frame

    def takes(self, frame: EncodedFrame, codec: str, now_s: float) -> bool:
        """Whether a frame may go on. After one that may not, the next that may is a key frame's."""
        if frame.key:
            try:
                size = pixels(codec, frame.data)
            except ValueError:
                self._fits = False
            else:
                self._fits = self._fits if size is None else 0 < size <= self._most_pixels
        if not self._fits or self.shut(now_s):
            return False
        if self._frames.take(now_s) or self._bytes.take(now_s, len(frame.data)):
            self._shut_until_s = now_s + SHUT_S
            return False
        return True

    def shut(self, now_s: float) -> bool:
        """Whether it makes no sense to ask for a key frame now."""
        return now_s < self._shut_until_s
