"""llama.cpp's server as far as it differs from OpenAI's: a model's context and the template that writes a
conversation for it, both of which refuse; how much of a prompt was known from the request before.

Errors are worded as by the real one (its `llama-server` of 2026).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from aiohttp import web

from tests.vendors.openai_server import OpenAIServer

TOKENS_A_WORD = 1.3


class LlamaServer(OpenAIServer):
    """`n_ctx`: tokens of a conversation and the answer to it, None: any number. `alternates`: its template
    wants user and assistant to take turns. `system`: it knows a system prompt."""

    def __init__(self, n_ctx: int | None = None, *, alternates: bool = False, system: bool = True) -> None:
        super().__init__()
        self.n_ctx = n_ctx
        self.alternates = alternates
        self.system = system
        self.owner = "llamacpp"
        self.model_names = ["SmolLM2-135M-Instruct.Q4_1.gguf"]
        self.read: list[int] = []  # characters of each prompt that the one before did not begin with
        self._before = ""

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        messages = (await request.json())["messages"]
        error = self._too_long(messages) or self._no_text(messages)
        if error:
            await self._note("chat", request, await request.json())
            return web.json_response({"error": {"code": 400, **error}}, status=400)
        prompt = json.dumps(messages)
        known = next(
            (at for at, (old, new) in enumerate(zip(self._before, prompt)) if old != new),  # noqa: B905
            min(len(self._before), len(prompt)),
        )
        self.read.append(len(prompt) - known)
        self._before = prompt
        return await super()._chat(request)

    def _too_long(self, messages: Sequence[dict[str, Any]]) -> dict[str, Any]:
        words = sum(len(str(message["content"]).split()) for message in messages)
        tokens = round(TOKENS_A_WORD * words)
        if self.n_ctx is None or tokens < self.n_ctx:
            return {}
        return {
            "message": f"request ({tokens} tokens) exceeds the available context size ({self.n_ctx} tokens),"
            " try increasing it",
            "type": "exceed_context_size_error",
            "n_prompt_tokens": tokens,
            "n_ctx": self.n_ctx,
        }

    def _no_text(self, messages: Sequence[dict[str, Any]]) -> dict[str, Any]:
        roles = [message["role"] for message in messages]
        told = ""
        if not self.system and "system" in roles:
            told = "System role not supported"
        roles = [role for role in roles if role != "system"]
        if self.alternates and any(role != ("user", "assistant")[at % 2] for at, role in enumerate(roles)):
            told = "Conversation roles must alternate user/assistant/user/assistant/..."
        if not told:
            return {}
        return {"message": f"\n------------\nError: Jinja Exception: {told}", "type": "invalid_request_error"}
