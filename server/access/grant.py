"""What a request may do, once it is known who sends it: a plain value that travels with a call.

A grant crosses `server.workers.Workers` as JSON, so that a worker on another machine enforces the same.

A client secret may have a session baked in (`POST /v1/realtime/client_secrets`). What it says is locked: the
client may leave it out, repeat it or leave it empty, and may not replace it. A session with anything locked
never echoes its instructions, rubric and tools, and takes only text and speech of its user from its client.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Literal

from pipeline.errors import CallError

Json = dict[str, Any]
Role = Literal["user", "admin"]
Source = Literal["open", "key", "secret", "proxy", "oidc"]

# Said by every client and without effect here, or not about what is said: never locked.
FREE = frozenset("type object id model expires_at include tracing truncation".split())
# Objects that are one decision: a part of them cannot stand beside another's part.
WHOLE = frozenset("audio.input.turn_detection audio.output.voice tool_choice prompt viva.rubric".split())
# Two places for one setting of ours: whoever fixes one has fixed the other.
ALSO = {
    "audio.input.turn_detection": "viva.patience",
    "viva.patience": "audio.input.turn_detection",
    "audio.input.transcription.language": "viva.language",
    "viva.language": "audio.input.transcription.language",
}
# What is said to the model and not by the user: of a locked session it is its maker's alone, said or not.
MAKERS = frozenset("instructions tools tool_choice prompt viva.rubric".split())


@dataclass(frozen=True, slots=True)
class Grant:
    by: Source = "open"  # how the request proved itself; "open": it did not have to
    key: str = ""  # label of the server key behind it, for limits and metrics
    user: str = ""  # as the proxy, the issuer or the minting server names them
    role: Role = "user"
    session: str = ""  # JSON of a Realtime session object that was baked in; "": none
    expires_at: int | None = None  # Unix seconds; the call may outlast it
    single_use: str = ""  # id of a secret that opens one call only; "": any number
    address: str = ""  # of the client, behind trusted proxies

    @property
    def owner(self) -> tuple[str, str]:
        """Whose calls it may end, beside being an admin."""
        return self.key, self.user

    @property
    def locked(self) -> bool:
        """Whether anything of the session is fixed."""
        return self.session != "" and any(True for _ in leaves(self.baked))

    @property
    def baked(self) -> Json:
        return json.loads(self.session) if self.session else {}

    def unlocked(self, session: Json) -> Json:
        """What is left of a client's session object without what is fixed anyway.

        As soon as anything is, all that is said to the model belongs to the secret's maker. Raises
        CallError("locked_field") naming the first field that it would replace.
        """
        fixed = dict(leaves(self.baked))
        if not fixed:
            return session
        closed = MAKERS | fixed.keys()
        kept: Json = {}
        for place, value in leaves(session, free=True):
            if value == {} and place not in closed | WHOLE:
                _put(kept, place, value)  # an object that says nothing yet, e.g. viva: {}
            elif any(_overlap(place, path) for path in closed) or ALSO.get(place) in fixed:
                if not _says_nothing(value) and fixed.get(place, _NOT_FIXED) != value:
                    raise CallError(
                        "locked_field",
                        f"session.{place} is fixed by the client secret; leave it out",
                        f"session.{place}",
                    )
            else:
                _put(kept, place, value)
        return kept

    def check_event(self, event: Json) -> None:
        """Raises CallError("locked_session") for what the client of a locked session may not send.

        `session.update` is looked at by `unlocked`."""
        if not self.locked:
            return
        kind = event.get("type")
        if kind == "conversation.item.create":
            item = event.get("item")
            item = item if isinstance(item, dict) else {}
            parts = item.get("content")
            for part in parts if isinstance(parts, list) else []:
                if not isinstance(part, dict) or part.get("type") not in ("input_text", "input_audio"):
                    raise _locked("only text and speech of the user are taken", "item.content")
            if item.get("type", "message") != "message" or item.get("role") != "user":
                raise _locked("only messages of the user are taken", "item.role")
        elif kind == "conversation.item.delete":
            raise _locked("what was said stays", "item_id")
        elif kind == "response.create":
            response = event.get("response")
            for key, value in response.items() if isinstance(response, dict) else []:
                if key != "metadata" and (key, value) != ("conversation", "auto"):
                    raise _locked("an answer follows the session", f"response.{key[:80]}")

    def to_json(self) -> str:
        return json.dumps(asdict(self), separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Grant:
        """Of `to_json`; "" is a grant that nobody had to prove."""
        return cls(**json.loads(text)) if text else cls()


def _locked(why: str, param: str) -> CallError:
    return CallError("locked_session", f"the client secret fixes this session: {why}", param)


OPEN = Grant()
_NOT_FIXED: Any = object()


def leaves(session: Json, before: str = "", *, free: bool = False) -> Iterator[tuple[str, Any]]:
    """(dotted place, value) of everything that a session object says. `free`: also what is never locked."""
    for key, value in session.items():
        place = f"{before}{key}"
        if not before and key in FREE and not free:
            continue
        if isinstance(value, dict) and value and place not in WHOLE:
            yield from leaves(value, f"{place}.", free=free)
        else:
            yield place, value


def hidden(session: Json) -> Json:
    """A session object as the client of a locked session may see it."""
    out = {**session, "instructions": "", "tools": [], "tool_choice": "none", "prompt": None}
    if "rubric" in (session.get("viva") or {}):
        out["viva"] = {key: value for key, value in session["viva"].items() if key != "rubric"}
    return out


def _overlap(one: str, other: str) -> bool:
    return one == other or one.startswith(f"{other}.") or other.startswith(f"{one}.")


def _says_nothing(value: Any) -> bool:
    return value is None or value in ("", "auto", [], {})


def _put(session: Json, place: str, value: Any) -> None:
    *above, last = place.split(".")
    for key in above:
        session = session.setdefault(key, {})
    session[last] = value
