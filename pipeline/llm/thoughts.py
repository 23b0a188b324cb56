"""What a model thinks before it answers (Qwen, DeepSeek R1), where its server leaves that in the reply:
nobody is to hear it.
"""

from __future__ import annotations

BEGIN, END = "<think>", "</think>"


class Thoughts:
    """Takes them out of a stream of text. They come first, if at all."""

    def __init__(self) -> None:
        self._held = ""  # what may be the beginning of a tag
        self._mark = BEGIN  # that is waited for; "": all that follows is the reply

    def said(self, text: str) -> str:
        """What of it, and of what was held back, is to be heard."""
        if not self._mark:
            return text
        self._held += text
        if self._mark == BEGIN:
            begun = self._held.lstrip()
            if len(begun) < len(BEGIN) and BEGIN.startswith(begun):
                return ""
            if not begun.startswith(BEGIN):
                return self._open(self._held)
            self._mark = END
        _, end, reply = self._held.partition(END)
        if not end:
            return ""
        reply = reply.lstrip()
        if not reply:
            self._held = END
            return ""
        return self._open(reply)

    def rest(self) -> str:
        """At the end of the stream: what looked like the beginning of a thought, and was none."""
        return self._held if self._mark == BEGIN else ""

    def _open(self, reply: str) -> str:
        self._held = self._mark = ""
        return reply
