"""OpenAI's protocol on 127.0.0.1, for the real SDK to talk to: chat, models, transcriptions, speech.

    async with OpenAIServer() as vendor:
        vendor.chat.reply = "Hello there."
        vendor.chat.first_ms = 250
        client = AsyncOpenAI(base_url=vendor.base_url, api_key="any")
        ...
        request = await vendor.request("chat")     # what it saw, in order of arrival
        await request.ended.wait()
        assert request.outcome == "closed_by_client"

Each route has a `Behaviour` of its own: how slow it is, how it fails. What the answer says stands
beside it: `vendor.reply` (a text or a function of the request's JSON), `vendor.heard`, `vendor.sound`.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from aiohttp import web

from pipeline.contract.vendor import Behaviour, Outcome, paced

Route = Literal["chat", "models", "transcriptions", "speech"]

ERRORS = {  # status -> (type, code, message), as OpenAI words them
    400: (
        "invalid_request_error",
        "invalid_value",
        "Invalid value: 'nobody'. Supported values are: 'alloy'.",
    ),
    401: ("invalid_request_error", "invalid_api_key", "Incorrect API key provided: {key}."),
    403: ("invalid_request_error", "model_not_found", "Project does not have access to model `{model}`."),
    404: ("invalid_request_error", "model_not_found", "The model `{model}` does not exist."),
    429: ("requests", "rate_limit_exceeded", "Rate limit reached for requests."),
    500: ("server_error", None, "The server had an error while processing your request."),
}


@dataclass
class Seen:
    """One request as it arrived, and what became of it."""

    route: Route
    headers: dict[str, str]  # names in lower case
    body: dict[str, Any]  # JSON, or the form's fields
    file: bytes = b""  # transcriptions: the sound sent
    port: int = 0  # of the client: the same for requests over one connection
    pieces: int = 0  # of the answer sent so far
    outcome: Outcome = "open"
    ended: asyncio.Event = field(default_factory=asyncio.Event)


class OpenAIServer:
    """A server on a free port of 127.0.0.1; everything about it can be changed while it runs."""

    def __init__(self) -> None:
        self.chat = Behaviour()
        self.models = Behaviour()
        self.transcriptions = Behaviour()
        self.speech = Behaviour()
        self.model_names = ["gpt-4o-mini", "gpt-4o-mini-tts", "whisper-1"]
        self.owner = "system"  # of all models: by that other servers with this protocol can be told
        self.tags: list[dict[str, Any]] = []  # Ollama's own listing; []: this is no Ollama
        self.reply: str | Callable[[dict[str, Any]], str] = "That is a good answer. Tell me more."
        # what the model calls after its text: (name, arguments as JSON), or what makes that from the request
        self.calls: list[tuple[str, str]] | Callable[[dict[str, Any]], list[tuple[str, str]]] = []
        self.refuses: dict[str, str] = {}  # parameters of a chat that are a 400, with its words
        self.cached_tokens = 0  # of the prompt
        self.finish = ""  # why the reply ends; "": as a model would
        # What every recording says; or what makes it from the file sent: words with their times in s.
        self.heard: str | Callable[[bytes], list[tuple[str, float, float]]] = "i worked on a database"
        self.word_ms = 300  # length of each word of a text
        # pcm: 16 bit, 24 kHz, 0.5 s; or what makes it from the request's JSON
        self.sound: bytes | Callable[[dict[str, Any]], bytes] = b"\x00\x10\x00\xf0" * 6000
        self.sound_type = "audio/pcm"  # Content-Type
        self.block_bytes = 4801  # of it sent at once; odd, as blocks of a network are
        self.errors = dict(ERRORS)
        self.seen: list[Seen] = []
        self._opened_s: dict[int, float] = {}  # a connection's port -> when its first request came
        self.base_url = ""
        self._arrived = asyncio.Condition()
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> OpenAIServer:
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_get("/v1/models", self._models)
        app.router.add_get("/api/tags", self._tags)
        app.router.add_post("/v1/chat/completions", self._chat)
        app.router.add_post("/v1/audio/transcriptions", self._transcriptions)
        app.router.add_post("/v1/audio/speech", self._speech)
        # A handler is cancelled when its client goes: that is how the closing is seen.
        self._runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.base_url = f"http://127.0.0.1:{self._runner.addresses[0][1]}/v1"
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._runner is not None
        await self._runner.cleanup()

    async def request(self, route: Route, number: int = 0) -> Seen:
        """The `number`-th request to a route, as soon as it has arrived."""
        async with self._arrived:
            await self._arrived.wait_for(lambda: len(self.requests(route)) > number)
        return self.requests(route)[number]

    def requests(self, route: Route) -> list[Seen]:
        return [seen for seen in self.seen if seen.route == route]

    # ------------------------------------------------------------------ routes

    async def _models(self, request: web.Request) -> web.StreamResponse:
        seen = await self._note("models", request, {})
        listing = {"object": "list", "data": [_model(name, self.owner) for name in self.model_names]}
        return await self._answer(seen, request, self.models, "application/json", [json.dumps(listing)])

    async def _tags(self, request: web.Request) -> web.StreamResponse:
        if not self.tags:
            return web.Response(status=404, text="404 page not found")
        return web.json_response({"models": self.tags})

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        seen = await self._note("chat", request, body)
        refused = next((words for name, words in self.refuses.items() if name in body), None)
        if refused is not None:
            seen.outcome = "failed"
            seen.ended.set()
            error = {"message": refused, "type": "invalid_request_error", "param": None, "code": None}
            return web.json_response({"error": error}, status=400)
        text = self.reply(body) if callable(self.reply) else self.reply
        tokens = re.findall(r"\s*\S+", text)
        usage = {
            "prompt_tokens": sum(len(str(message.get("content")).split()) for message in body["messages"]),
            "completion_tokens": len(tokens),
        }
        calls = self.calls(body) if callable(self.calls) else self.calls
        finish = self.finish or ("tool_calls" if calls else "stop")
        usage["total_tokens"] = sum(usage.values())
        usage["prompt_tokens_details"] = {"cached_tokens": self.cached_tokens, "audio_tokens": 0}
        head = {"id": "chatcmpl-1", "created": 1, "model": body["model"]}
        if not body.get("stream"):
            message = {"role": "assistant", "content": text, "refusal": None}
            choice = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}
            whole = {**head, "object": "chat.completion", "choices": [choice], "usage": usage}
            return await self._answer(seen, request, self.chat, "application/json", [json.dumps(whole)])
        head["object"] = "chat.completion.chunk"
        pieces = [
            _event({**head, "choices": [{"index": 0, "delta": {"content": token}, "finish_reason": None}]})
            for token in tokens
        ]
        pieces += [
            _event(
                {**head, "choices": [{"index": 0, "delta": {"tool_calls": [part]}, "finish_reason": None}]}
            )
            for index, (name, arguments) in enumerate(calls)
            for part in _call_parts(index, name, arguments)
        ]
        tail = _event({**head, "choices": [{"index": 0, "delta": {}, "finish_reason": finish}]})
        if (body.get("stream_options") or {}).get("include_usage"):
            tail += _event({**head, "choices": [], "usage": usage})
        return await self._answer(
            seen, request, self.chat, "text/event-stream", pieces, tail + "data: [DONE]\n\n"
        )

    async def _transcriptions(self, request: web.Request) -> web.StreamResponse:
        body: dict[str, Any] = {}
        sound = b""
        for name, value in (await request.post()).items():
            if isinstance(value, web.FileField):
                sound = value.file.read()
            else:
                body[name] = value
        seen = await self._note("transcriptions", request, body, sound)
        words = self._said_in(sound)
        text = "".join(word for word, _, _ in words).strip()
        if body.get("stream") == "true":
            pieces = [_event({"type": "transcript.text.delta", "delta": word}) for word, _, _ in words]
            tail = _event({"type": "transcript.text.done", "text": text})
            return await self._answer(
                seen, request, self.transcriptions, "text/event-stream", pieces, tail + "data: [DONE]\n\n"
            )
        answer: dict[str, Any] = {"text": text}
        if body.get("response_format") == "verbose_json":
            answer |= {
                "task": "transcribe",
                "language": "english",
                "duration": words[-1][2] if words else 0.0,
                "words": [
                    {"word": word.strip(" .?"), "start": first, "end": last} for word, first, last in words
                ],
            }
        return await self._answer(
            seen, request, self.transcriptions, "application/json", [json.dumps(answer)]
        )

    def _said_in(self, sound: bytes) -> list[tuple[str, float, float]]:
        if callable(self.heard):
            return self.heard(sound)
        step = self.word_ms / 1000
        words = re.findall(r"\s*\S+", self.heard)
        return [(word, number * step, (number + 1) * step) for number, word in enumerate(words)]

    async def _speech(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        seen = await self._note("speech", request, body)
        sound = self.sound(body) if callable(self.sound) else self.sound
        blocks = [sound[at : at + self.block_bytes] for at in range(0, len(sound), self.block_bytes)]
        return await self._answer(seen, request, self.speech, self.sound_type, blocks)

    # ------------------------------------------------------------------ what all have in common

    async def _note(
        self, route: Route, request: web.Request, body: dict[str, Any], sound: bytes = b""
    ) -> Seen:
        headers = {name.lower(): value for name, value in request.headers.items()}
        assert request.transport is not None
        seen = Seen(route, headers, body, sound, request.transport.get_extra_info("peername")[1])
        self._opened_s.setdefault(seen.port, time.monotonic())
        async with self._arrived:
            self.seen.append(seen)
            self._arrived.notify_all()
        return seen

    async def _answer(
        self,
        seen: Seen,
        request: web.Request,
        how: Behaviour,
        content_type: str,
        pieces: Sequence[str | bytes],
        tail: str = "",
    ) -> web.StreamResponse:
        """Sends the pieces and the tail as `how` says, and notes what became of it."""
        try:
            if self._opened_s[seen.port] < how.drops_opened_before_s:
                seen.outcome = "cut"
                assert request.transport is not None
                request.transport.abort()
                return web.Response()
            if how.status != 200:
                await asyncio.sleep(how.first_ms / 1000)
                seen.outcome = "failed"
                return _error(how, seen, self.errors)
            if how.garbage:
                content_type, pieces, tail = _garbage(how.garbage, content_type)
            response = web.StreamResponse(headers={"Content-Type": content_type})
            async for piece in paced(how, pieces):
                if not response.prepared:
                    await response.prepare(request)
                await response.write(piece)
                seen.pieces += 1
            if how.cut_after is not None:
                if not response.prepared:
                    await response.prepare(request)
                seen.outcome = "cut"
                assert request.transport is not None
                request.transport.abort()
                return response
            if not response.prepared:
                await response.prepare(request)
            await response.write(tail.encode())
            await response.write_eof()
            seen.outcome = "served"
            return response
        except (asyncio.CancelledError, ConnectionError):
            seen.outcome = "closed_by_client"
            raise
        finally:
            seen.ended.set()


def _event(data: dict[str, Any]) -> str:
    return f"data: {json.dumps(data)}\n\n"


def _call_parts(index: int, name: str, arguments: str) -> Iterator[dict[str, Any]]:
    """As OpenAI streams a function's call: its id and name, then its arguments in pieces."""
    function = {"name": name, "arguments": ""}
    yield {"index": index, "id": f"call_{name}_{index}", "type": "function", "function": function}
    for at in range(0, len(arguments), 5):
        yield {"index": index, "function": {"arguments": arguments[at : at + 5]}}


def _model(name: str, owner: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 1, "owned_by": owner}


def _error(how: Behaviour, seen: Seen, errors: Mapping[int, tuple[str, str | None, str]]) -> web.Response:
    kind, code, message = errors[how.status]
    key = seen.headers.get("authorization", "").removeprefix("Bearer ")
    message = message.format(key=key, model=seen.body.get("model", ""))
    param = "voice" if how.status == 400 else None
    error = {"message": message, "type": kind, "param": param, "code": code}
    headers = {"Retry-After": str(how.retry_after_s)} if how.status == 429 else {}
    return web.json_response({"error": error}, status=how.status, headers=headers)


def _garbage(kind: str, content_type: str) -> tuple[str, Sequence[str | bytes], str]:
    if kind == "html":
        return "text/html", ["<!doctype html><title>Welcome to the router</title>"], ""
    return content_type, ['data: {"choices": [\n\n'], ""
