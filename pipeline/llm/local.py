"""A language model on this machine, behind a server that was found there: see `local_servers`. It is spoken
to as OpenAI is, without a key.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

from pipeline import modes
from pipeline.errors import ProviderError
from pipeline.llm.local_servers import shown
from pipeline.llm.openai import OpenAIMind
from pipeline.llm.slots import Slots
from pipeline.openai_account import LOOPBACK
from pipeline.providers import Message, ReplyOptions
from pipeline.settings import CallSettings, LocalServer, OpenAILlmSettings, Secrets, Settings

log = logging.getLogger(__name__)

NAME = "local"
# How each is asked not to reason before it answers: a person waits, and a reply's tokens are spent on it.
_TEMPLATE = {"extra_body": {"chat_template_kwargs": {"enable_thinking": False}}}
PLAINLY: Mapping[str, Mapping[str, Any]] = {
    "Ollama": {"reasoning_effort": "none"},
    "vLLM": _TEMPLATE,
    "llama.cpp": _TEMPLATE,
}
SPARE = 0.8  # of a context that is filled: how many tokens a text has is estimated


def missing(settings: Settings) -> str | None:
    """What it lacks to run here, in words; None: nothing."""
    own, found = settings.llm.local, settings.local_servers
    if not own.ports:
        return "no server is looked for (llm.local.ports is empty)"
    if _taken(settings):
        return None
    if not found:
        ports = ", ".join(map(str, own.ports))
        return f"start Ollama, LM Studio, vLLM or llama.cpp; they are found at ports {ports}"
    if not _others(settings):
        return f"{_names(found)} is taken by llm.openai.base_url"
    if own.model:
        there = ", ".join(shown(name) for server in found for name in server.models) or "none that can talk"
        return f"llm.local.model = {own.model!r} is not on {_names(found)}; there is {there}"
    return f"{_names(found)} has no model that can talk; ollama pull llama3.2 fetches one"


def create(settings: Settings) -> LocalMind:
    taken = _taken(settings)
    if taken is None:
        raise ProviderError("llm", NAME, missing(settings) or "", "unreachable")
    return LocalMind(settings, *taken)


class LocalMind(OpenAIMind):
    """See pipeline.providers.Mind."""

    def __init__(self, settings: Settings, server: LocalServer, model: str) -> None:
        own = OpenAILlmSettings(model=model, base_url=server.base_url, timeout_s=settings.llm.local.timeout_s)
        # The key of a vendor is none of a neighbour's business.
        there = {"llm": settings.llm.model_copy(update={"openai": own}), "secrets": Secrets()}
        super().__init__(settings.model_copy(update=there), NAME, PLAINLY.get(server.kind, {}))
        self.server, self.model = server, model
        self._slots = Slots(server.slots) if server.slots else None
        # By its name, not its path: people are told of it.
        self._account.charges = self.charges = replace(self.charges, model=shown(model))
        self.detail = f"{shown(model)} on {server.kind} at {server.address}"
        if model in server.contexts:
            self.context.tokens = int(SPARE * server.contexts[model]) - settings.llm.max_tokens_interview

    def is_among(self, found: tuple[LocalServer, ...]) -> bool:
        """Whether its server is there, with its model."""
        return any(one.port == self.server.port and self.model in one.models for one in found)

    async def start(self) -> None:
        """Has the server load the model, which may take half a minute, and read the prompt of an interview,
        for which a small machine needs seconds: nobody is to wait for that in a call.

        Raises ProviderError; but one that only takes long is left to it."""
        await super().start()
        mode = CallSettings().mode
        options = ReplyOptions("en", mode, max_tokens=1, task="side")
        prompt = Message("system", modes.system_prompt(mode))
        try:
            async with aclosing(self.reply([prompt], options)) as pieces:  # type: ignore[type-var]
                async for _ in pieces:
                    break
        except ProviderError as error:
            if error.code != "timeout":
                raise
            log.warning("mind: %s has not loaded its model yet", self.detail)

    def _request(self, messages: Sequence[Message], options: ReplyOptions) -> dict[str, Any]:
        request = super()._request(messages, options)
        beside = not options.seed and options.task == "talk"  # then the server finds a place for it
        if self._slots and "extra_body" in request and not beside:
            slot = self._slots.of(options.seed)
            request["extra_body"] = {**request["extra_body"], "id_slot": slot}
        return request


def _taken(settings: Settings) -> tuple[LocalServer, str] | None:
    """A server and the name of one of its models: the one that is asked for, or the first there is."""
    there = [(server, name) for server in _others(settings) for name in server.models]
    own = settings.llm.local.model
    wanted = own or settings.llm.openai.model
    named = [(server, name) for server, name in there if wanted in (name, shown(name))]
    return next(iter(named if own else [*named, *there]), None)


def _others(settings: Settings) -> tuple[LocalServer, ...]:
    """All that were found but the one that `openai` uses: it cannot stand in for itself."""
    used = urlsplit(settings.llm.openai.base_url or settings.secrets.openai_base_url or "")
    taken = used.port if used.hostname in LOOPBACK else None
    return tuple(server for server in settings.local_servers if server.port != taken)


def _names(found: tuple[LocalServer, ...]) -> str:
    return ", ".join(f"{server.kind} at {server.address}" for server in found)
