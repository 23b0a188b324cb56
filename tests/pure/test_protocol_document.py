"""docs/protocol.md says what is: its tables against the server."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from pipeline.session import Parts, Session
from pipeline.settings import CallSettings, Settings
from server.app import Routes
from server.wire.realtime import COMMANDS, Realtime
from server.wire.realtime_session import OURS
from tests.protocol_document import own_events, own_settings, rows, section, server_events
from tests.realtime_events import Json, check_server_event, models
from tests.session.call import Ears, Mind, Voice, silero

SERVER = Path(__file__).resolve().parents[2] / "server"
SERVED, TAKEN, REFUSED = (
    [(row[0], row[1].strip("`")) for row in rows(section(title))]
    for title in ("Served", "Taken, without effect", "Refused")
)


def answers(session: Json) -> list[Json]:
    """What a client is told after this update."""
    told: list[Json] = []
    conversation = Session(
        Parts(Ears([]), Mind(["Hello."]), Voice(), silero()), Settings(), CallSettings(greet=False)
    )
    wire = Realtime(conversation, told.append)
    wire.handle(json.dumps({"type": "session.update", "session": session}))
    for event in told:
        check_server_event(event)
    return told


def nested(path: str, value: Any) -> Json:
    first, _, rest = path.partition(".")
    return {first: nested(rest, value) if rest else value}


@pytest.mark.parametrize(("field", "example"), SERVED, ids=[field for field, _ in SERVED])
def test_a_served_field_is_taken_and_comes_back(field: str, example: str) -> None:
    value = json.loads(example)
    (updated,) = answers(nested(field, value))
    found = updated["session"]
    for step in field.split("."):
        found = found[step]
    if isinstance(value, dict):
        assert value.items() <= found.items()
    else:
        assert found == value


@pytest.mark.parametrize(("field", "example"), TAKEN, ids=[field for field, _ in TAKEN])
def test_a_field_without_effect_is_taken(field: str, example: str) -> None:
    before, after = (
        {**answers(given)[0]["session"], "id": ""} for given in ({}, nested(field, json.loads(example)))
    )
    assert after == before


@pytest.mark.parametrize(("field", "example"), REFUSED, ids=[field for field, _ in REFUSED])
def test_a_refused_field_is_named(field: str, example: str) -> None:
    (refused,) = answers(nested(field, json.loads(example)))
    assert refused["type"] == "error"
    assert refused["error"]["param"].startswith(f"session.{field}")


def test_every_setting_of_ours_is_listed() -> None:
    assert own_settings().fields.keys() == OURS | {"resume"}  # which only comes


def test_every_client_event_is_listed() -> None:
    assert {row[0] for row in rows(section("Client events"))} == set(COMMANDS)


def test_the_server_events_that_are_listed_exist() -> None:
    assert server_events() <= models().keys()


def test_every_event_of_ours_is_listed() -> None:
    code = "".join(file.read_text() for file in SERVER.rglob("*.py"))
    assert {f"viva.{name}" for name in re.findall(r'\bown\(\s*"(\w+)"', code)} == own_events().keys()


def test_every_route_of_the_wire_is_listed() -> None:
    app = web.Application()
    nothing: Any = None
    Routes(nothing, nothing, nothing, nothing, Path()).add_to(app)
    served = {
        f"{route.method} {route.resource.canonical}"
        for route in app.router.routes()
        if route.resource is not None and route.method not in ("OPTIONS", "HEAD")
    }
    listed = {row[0] for row in rows(section("Routes"))}
    assert listed <= served
    assert not [route for route in served - listed if " /v1/" in route or "/offer" in route]
