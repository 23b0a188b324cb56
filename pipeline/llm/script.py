"""A model that writes a scene instead of speaking: who speaks, what they do meanwhile, the other one's lines.

    Alex: (smiles) [INTERRUPTED] That was clear.     → That was clear.
    Candidate: Thank you!                            the reply was over before this

Small models do so although they are told not to. Nobody is to hear it.
"""

from __future__ import annotations

import re
from typing import Literal

CLOSING = {"(": ")", "[": "]", "*": "*", "（": "）"}
LONGEST = 300  # characters of a stage direction; what is not closed until then is none
OURS = ("assistant", "interviewer", "ai", "bot", "chatbot", "reply", "response", "answer")
THEIRS = ("user", "person", "you", "candidate", "interviewee", "human", "student", "learner", "me")
ENDS = ".!?…。！？।؟"  # of sentences
AFTER_ENDS = "\"'”’»)]"
NUMBERING = re.compile(r"\W*[0-9A-Za-z]{1,2}\W*")  # (1), (b)


class Script:
    """Takes all that out of a stream of text. Args: name: of whom the model is to be.

    `over`: the model has begun to speak for the other one; nothing that follows is to be heard."""

    def __init__(self, name: str = "") -> None:
        self.over = False
        self._ours = (*OURS, name.casefold()) if name else OURS
        self._begins: Literal["", "line", "sentence"] = "line"  # "": we are in the middle of a sentence
        self._held = ""  # of what begins: whether it is to be heard is not clear yet
        self._last = ""  # character that was heard, of those that matter
        self._spoke = False
        self._left_out = False  # something, where we are

    def said(self, text: str) -> str:
        """What of it, and of what was held back, is to be heard."""
        return "".join(map(self._push, text))

    def rest(self) -> str:
        """At the end of the stream: what looked like the beginning of one of these, and was none."""
        return "" if self.over else self._held

    def _push(self, letter: str) -> str:
        if self.over:
            return ""
        if self._begins:
            self._held += letter
            return self._decided()
        self._note(letter)
        return letter

    def _note(self, letter: str) -> None:
        if letter == "\n":
            self._begins = "line"
        elif letter.isspace():
            self._begins = "sentence" if self._last in ENDS and self._last else ""
        elif letter not in AFTER_ENDS:
            self._last = letter

    def _decided(self) -> str:
        """What was held, as soon as it is clear that it is speech."""
        text = self._held.lstrip()
        before = self._held[: len(self._held) - len(text)]
        if "\n" in before:
            self._begins = "line"
        if not text:
            return ""
        if self._begins == "line" and (named := self._speaker(text)) is not None:
            if named in THEIRS and self._spoke:
                self.over = True
            elif named:
                self._leave_out(before)
            return ""
        if text[0] in CLOSING and not text.startswith("**"):
            end = text.find(CLOSING[text[0]], 1)
            if end < 0 and len(text) < LONGEST and "\n" not in text:
                return ""
            if text[0] == "[" and end == len(text) - 1:
                return ""  # a link, if a parenthesis follows
            if end > 0 and _directs(text, end):
                self._leave_out(before + text[end + 1 :])
                return ""
        if self._left_out:
            before = ""
        self._begins, self._held, self._spoke, self._left_out = "", "", True, False
        for letter in text:
            self._note(letter)
        return before + text

    def _leave_out(self, left: str) -> None:
        """What is held, but for `left`. The white space in front of it has been heard."""
        self._held, self._left_out = left.lstrip(), True

    def _speaker(self, text: str) -> str | None:
        """Who is said to speak in this line; "": that is seen when there is more; None: nobody is."""
        name, colon, behind = text.partition(":")
        name = name.strip("*_ ").casefold()
        known = (*self._ours, *THEIRS)
        if colon:
            wait = "" if name in known and not behind.strip("*_") else None
            return name if name in known and behind[-1:].isspace() and not behind.strip("*_ \n") else wait
        return "" if any(one.startswith(name) for one in known) and "\n" not in text else None


def _directs(text: str, end: int) -> bool:
    """Whether what is closed there is a stage direction: no numbering, no link, no word that is stressed."""
    inside, behind = text[1:end].strip(), text[end + 1 : end + 2]
    if not any(letter.isalpha() for letter in inside) or NUMBERING.fullmatch(inside):
        return False
    if text[0] == "*":
        return inside[0].islower()
    return text[0] != "[" or behind != "("
