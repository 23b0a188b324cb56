"""The HTTP side as an OpenAPI 3.1 document (`GET /openapi.json`). What passes over a call is not in it:
that is docs/protocol.md.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from server import __version__

Json = dict[str, Any]

TEXT: Json = {"type": "string"}
WHOLE: Json = {"type": "integer", "minimum": 0}
MONEY: Json = {"type": "number", "minimum": 0}
YES_NO: Json = {"type": "boolean"}
ANY: Json = {"type": "object"}

ERROR = {
    "description": "What is wrong, and what to do",
    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
}
REFUSALS = {
    400: "not understood",
    401: "a key is asked for",
    403: "known, and may not do that",
    404: "not there",
    408: "the request did not arrive in time",
    409: "the conversation is not to be had",
    410: "the conversation is over",
    413: "too large",
    415: "another content type",
    426: "this is a WebSocket",
    429: "too many; Retry-After says when again",
    503: "no room now; Retry-After says when again",
}


def _object(required: Iterable[str] = (), **properties: Json) -> Json:
    return {"type": "object", "properties": properties, "required": list(required)}


def _json(schema: Json) -> Json:
    return {"application/json": {"schema": schema}}


def _route(summary: str, answers: dict[int, Json], *refusals: int, key: bool = True, **more: Any) -> Json:
    responses = {str(status): answer for status, answer in answers.items()}
    responses |= {
        str(status): {**ERROR, "description": REFUSALS[status]} for status in (*refusals, 400, 403, 408, 429)
    }
    if key:
        responses["401"] = {**ERROR, "description": REFUSALS[401]}
    return {"summary": summary, "responses": responses, "security": [{"key": []}] if key else [], **more}


SDP = {"application/sdp": {"schema": TEXT}}
STATE = {
    "status": TEXT,
    "ready": YES_NO,
    "draining": YES_NO,
    "calls": WHOLE,
    "max_calls": WHOLE,
    "no_budget_s": WHOLE,
}
HEALTH = {"description": "How full it is", "content": _json(_object(STATE, **STATE))}
EMPTY = {"description": "Done"}
PLACED = {
    "description": "An SDP answer, with all of the server's candidates",
    "content": SDP,
    "headers": {"Location": {"description": "of the call: DELETE it to hang up", "schema": TEXT}},
}
CALL_ID = {"name": "call_id", "in": "path", "required": True, "schema": {"type": "string", "maxLength": 200}}
OFFER = _object(["sdp", "type"], sdp=TEXT, type={"type": "string", "enum": ["offer"]})
SECRET_ASKED = _object(
    expires_after=_object(
        anchor={"type": "string", "enum": ["created_at"]},
        seconds={"type": "integer", "minimum": 10, "maximum": 7200},
    ),
    session=ANY,
    viva=_object(single_use=YES_NO, user={"type": "string", "maxLength": 200}),
)
CARRIED = _object(
    ["call_id", "seconds", "line", "mode", "language", "items", "key", "user", "money", "not_priced"],
    call_id=TEXT,
    seconds=WHOLE,
    line={"type": "string", "enum": ["webrtc", "websocket", ""]},
    mode=TEXT,
    language=TEXT,
    items=WHOLE,
    key=TEXT,
    user=TEXT,
    money=MONEY,
    not_priced={"type": "array", "items": TEXT},
)
TODAY = _object(["spent", "budget", "currency"], spent=MONEY, budget=MONEY, currency=TEXT)
PROVIDER = _object(["stage", "name", "ready"], stage=TEXT, name=TEXT, detail=TEXT, ready=YES_NO)

PATHS: dict[str, dict[str, Json]] = {
    "/v1/realtime/calls": {
        "post": _route(
            "Place a call: offer in, answer out",
            {201: PLACED},
            409,
            410,
            413,
            415,
            503,
            requestBody={
                "required": True,
                "content": {
                    **SDP,
                    "multipart/form-data": {"schema": _object(["sdp"], sdp=TEXT, session=TEXT, resume=TEXT)},
                },
            },
        )
    },
    "/v1/realtime/calls/{call_id}": {
        "delete": _route("Hang up", {204: EMPTY}, 404, parameters=[CALL_ID]),
    },
    "/v1/realtime/calls/{call_id}/hangup": {
        "post": _route("Hang up", {200: EMPTY}, 404, parameters=[CALL_ID]),
    },
    "/v1/realtime": {
        "get": _route(
            "The same session over a WebSocket",
            {101: {"description": "A WebSocket; its sub-protocol is realtime"}},
            409,
            410,
            426,
            503,
            parameters=[{"name": "model", "in": "query", "schema": TEXT}],
        )
    },
    "/v1/realtime/client_secrets": {
        "post": _route(
            "A secret for a browser, with a session baked in",
            {
                200: {
                    "description": "The secret",
                    "content": _json(
                        _object(["value", "expires_at", "session"], value=TEXT, expires_at=WHOLE, session=ANY)
                    ),
                }
            },
            413,
            requestBody={"content": _json(SECRET_ASKED)},
        )
    },
    "/offer": {
        "post": _route(
            "Place a call, as aiortc's examples do",
            {
                200: {
                    "description": "The answer",
                    "content": _json(_object(["sdp", "type", "id"], sdp=TEXT, type=TEXT, id=TEXT)),
                }
            },
            413,
            415,
            503,
            requestBody={"required": True, "content": _json(OFFER)},
        )
    },
    "/v1/viva/about": {
        "get": _route("What the page needs to know", {200: {"description": "Choices", "content": _json(ANY)}})
    },
    "/v1/viva/ice": {
        "get": _route(
            "STUN and TURN servers, with credentials that expire",
            {200: {"description": "For an RTCPeerConnection", "content": _json(ANY)}},
        )
    },
    "/v1/viva/admin/calls": {
        "get": _route(
            "Who is talking; for admins",
            {
                200: {
                    "description": "Calls, and what answers them",
                    "content": _json(
                        _object(
                            ["version", "today", "list", "providers"],
                            version=TEXT,
                            today=TODAY,
                            list={"type": "array", "items": CARRIED},
                            providers={"type": "array", "items": PROVIDER},
                        )
                    ),
                }
            },
        )
    },
    "/metrics": {
        "get": _route(
            "What is counted; for admins",
            {200: {"description": "Prometheus' text format", "content": {"text/plain": {"schema": TEXT}}}},
        )
    },
    "/healthz": {"get": _route("Does it serve?", {200: HEALTH}, key=False)},
    "/readyz": {"get": _route("May a call come?", {200: HEALTH, 503: HEALTH}, key=False)},
    "/openapi.json": {
        "get": _route(
            "This document", {200: {"description": "OpenAPI 3.1", "content": _json(ANY)}}, key=False
        )
    },
}


def document() -> Json:
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Viva",
            "version": __version__,
            "description": "Practise speaking out loud. Over a call goes OpenAI's Realtime protocol.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "paths": PATHS,
        "components": {
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
            "schemas": {
                "Error": _object(
                    ["error"],
                    error=_object(
                        ["message", "type", "code"],
                        message=TEXT,
                        type=TEXT,
                        code=TEXT,
                        param={"type": ["string", "null"]},
                    ),
                )
            },
        },
    }
