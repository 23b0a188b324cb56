"""`POST /v1/realtime/client_secrets`: a secret for a browser, made by whoever has a key.

OpenAI's request, `{"expires_after": {"anchor": "created_at", "seconds"}, "session"}`, and one object of ours,
`viva`: `{"single_use": true}` for a secret that opens one call only, `{"user": "…"}` for whom it is.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from pydantic import ValidationError

from pipeline.errors import CallError
from pipeline.items import new_id
from server.access.client_secrets import LONGEST_S, SHORTEST_S, ClientSecrets
from server.access.grant import Grant
from server.config import Config
from server.wire.realtime_session import session_out, settings_patch
from server.wire.sound_formats import SoundFormats
from server.workers import BadOffer

Json = dict[str, Any]
MOST_NAME = 200  # characters of a user's name


def issue(given: Json, grant: Grant, secrets: ClientSecrets, config: Config) -> Json:
    """The answer. Raises BadOffer naming the field that is wrong, or SessionTooLarge."""
    if grant.by == "secret":
        raise BadOffer("not_with_a_client_secret", "a client secret cannot make another; use a server key")
    for key in given:
        if key not in ("expires_after", "session", "viva"):
            raise BadOffer("unknown_parameter", f"there is no {key[:80]}", key[:80])
    session = _table(given, "session")
    ours = _table(given, "viva")
    for key in ours:
        if key not in ("single_use", "user"):
            raise BadOffer("unknown_parameter", f"there is no viva.{key[:80]}", f"viva.{key[:80]}")
    single_use = ours.get("single_use", config.auth.single_use)
    if not isinstance(single_use, bool):
        raise BadOffer("invalid_type", "viva.single_use is true or false", "viva.single_use")
    user = ours.get("user", grant.user)
    if not isinstance(user, str) or len(user) > MOST_NAME or not user.isprintable():
        raise BadOffer("invalid_value", f"viva.user is a line of at most {MOST_NAME} characters", "viva.user")
    effective = _effective(session, config)
    value, expires_at = secrets.make(
        replace(grant, user=user), session, _seconds(given, config), single_use=single_use
    )
    return {"value": value, "expires_at": expires_at, "session": effective}


def _seconds(given: Json, config: Config) -> int:
    after = _table(given, "expires_after")
    if after.get("anchor", "created_at") != "created_at":
        raise BadOffer("invalid_value", 'the anchor is "created_at"', "expires_after.anchor")
    seconds = after.get("seconds", config.auth.secret_s)
    whole = isinstance(seconds, int) and not isinstance(seconds, bool)
    if not whole or not SHORTEST_S <= seconds <= LONGEST_S:
        raise BadOffer(
            "invalid_value",
            f"seconds is a whole number, {SHORTEST_S} to {LONGEST_S}",
            "expires_after.seconds",
        )
    return seconds


def _effective(session: Json, config: Config) -> Json:
    """The session as it will begin, for its maker, who may see all of it."""
    try:
        call = config.call.merged(settings_patch(session))
    except CallError as error:
        raise BadOffer(error.code, str(error), error.param) from None
    except ValidationError as error:
        wrong = error.errors()[0]
        place = ".".join(["session", *(str(part) for part in wrong["loc"])])
        raise BadOffer("invalid_value", f"{place}: {wrong['msg']}", place) from None
    return session_out(new_id("sess"), call, SoundFormats().merged(session), viva="viva" in session)


def _table(given: Json, key: str) -> Json:
    value = given.get(key)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise BadOffer("invalid_type", f"{key} is to be an object", key)
    return value
