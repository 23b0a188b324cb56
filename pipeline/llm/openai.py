"""A language model behind OpenAI's chat completions: OpenAI itself, or any server that speaks the same
(Ollama, vLLM, llama.cpp, LM Studio), named by `llm.openai.base_url`.

Source: https://platform.openai.com/docs/api-reference/chat; what differs elsewhere is said where it matters.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from pipeline import openai_account
from pipeline.items import new_id
from pipeline.llm.chat_messages import chat_messages, taking_turns, without_system
from pipeline.llm.context import Context
from pipeline.llm.script import Script
from pipeline.llm.thoughts import Thoughts
from pipeline.notices import Unit
from pipeline.providers import CutShort, Message, Piece, ReplyOptions, Token, ToolCall, Usage
from pipeline.settings import NamedTool, Settings
from pipeline.tokens import estimate, estimate_all

if TYPE_CHECKING:
    import openai
    from openai import AsyncStream
    from openai.types import CompletionUsage
    from openai.types.chat import ChatCompletionChunk
    from openai.types.chat.chat_completion_chunk import ChoiceDeltaToolCall

NAME = openai_account.NAME
REASONING = re.compile(r"^(o\d|gpt-5(?!.*chat))")  # models that think first and take no temperature
REASONING_TOKENS = 1000  # of room for the thinking, which counts as output
CUTS: dict[str, Literal["max_output_tokens", "content_filter"]] = {  # finish reasons
    "length": "max_output_tokens",
    "content_filter": "content_filter",
}
NO_PARAMETERS = {"type": "object", "properties": {}}
RETRIES = 6  # of a request without what the server does not know or has no room for
Template = Callable[[Sequence[dict[str, Any]]], Sequence[dict[str, Any]]]
TEMPLATES: Mapping[str, Template] = {  # what a model's own refuses, in its words -> messages as it takes them
    "alternate": taking_turns,
    "system role": without_system,
}
TOO_LONG = "the context of its model is too short even for the last message; start it with a longer one"
SPEECHLESS = (
    "whisper",
    "transcribe",
    "tts",
    "embed",
    "dall-e",
    "image",
    "moderation",
    "sora",
    "audio",
    "realtime",
)


def missing(settings: Settings) -> str | None:
    """What it lacks to run here, in words; None: nothing."""
    if settings.secrets.openai_api_key or settings.llm.openai.base_url or settings.secrets.openai_base_url:
        return None
    return "set OPENAI_API_KEY, or llm.openai.base_url for a local server"


def create(settings: Settings) -> OpenAIMind:
    return OpenAIMind(settings)


class OpenAIMind:
    """See pipeline.providers.Mind.

    Args:
        settings: of which `llm.openai` names the model and its server.
        name: the plug-in's.
        more: parameters of every request; those that the server does not know are left out.
    """

    wants_full = False  # a model understands a fast transcript well enough, and sooner

    def __init__(self, settings: Settings, name: str = NAME, more: Mapping[str, Any] | None = None) -> None:
        self.name = name
        self._account = openai_account.Account(
            "llm", settings, settings.llm.openai, ("",), SPEECHLESS, name=name
        )
        self._more = more or {}
        self.charges = self._account.charges
        self.detail = f"{self._account.model} at {self._account.where}"
        self._refused: set[str] = set()  # parameters that this server does not know
        self._template: Template = list
        self.context = Context()

    @property
    def context_tokens(self) -> int | None:
        return self.context.tokens

    async def start(self) -> None:
        """Asks the server which models it has. Raises ProviderError if ours is not among them."""
        await self._account.start()

    async def close(self) -> None:
        await self._account.close()

    async def reply(self, messages: Sequence[Message], options: ReplyOptions) -> AsyncIterator[Piece]:
        """The next message, token by token. Raises ProviderError. Closing it closes the HTTP stream."""
        finished: str | None = None
        calls: dict[int, ToolCall] = {}  # the newest of each index
        usage: Usage | None = None
        written: list[str] = []
        thoughts = Thoughts()
        script = Script(options.persona_name)
        spoken = script.said if options.task == "talk" else str

        def costs() -> Mapping[Unit, float]:
            return _costs(usage or Usage(estimate_all(messages), estimate("".join(written))))

        with self._account.request(costs):
            stream = await self._open(messages, options)
            async with stream:
                async for chunk in stream:
                    for choice in chunk.choices or ():
                        if choice.delta and choice.delta.content:
                            written.append(choice.delta.content)
                            if said := spoken(thoughts.said(choice.delta.content)):
                                yield Token(said)
                            if script.over:
                                return
                        for part in (choice.delta and choice.delta.tool_calls) or ():
                            call = _call(part, calls)
                            written.append(call.arguments)
                            yield call
                        finished = choice.finish_reason or finished
                    if chunk.usage:
                        usage = _usage(chunk.usage)
                        yield usage
        if rest := spoken(thoughts.rest()) + script.rest():
            yield Token(rest)
        if finished is None:
            raise self._account.bad_response("a reply that ends in the middle")
        if finished in CUTS:
            yield CutShort(CUTS[finished])

    async def _open(
        self, messages: Sequence[Message], options: ReplyOptions
    ) -> AsyncStream[ChatCompletionChunk]:
        """Begins the stream; leaves out what the server does not know or has no room for, and tries again."""
        import openai

        for _ in range(RETRIES):
            messages = self.context.fitted(messages)
            request = self._request(messages, options)
            try:
                stream: AsyncStream[ChatCompletionChunk] = await self._account.client.chat.completions.create(
                    **request
                )
            except (openai.BadRequestError, openai.InternalServerError) as error:
                if not self._learns(error, messages, options, request):
                    raise
                continue
            kind = stream.response.headers.get("content-type", "")
            if "event-stream" not in kind:
                await stream.close()
                raise self._account.bad_response(f"{kind or 'nothing'}, not with a stream")
            return stream
        raise self._account.bad_response("a refusal of every request")

    def _learns(
        self,
        error: openai.APIStatusError,
        messages: Sequence[Message],
        options: ReplyOptions,
        request: dict[str, Any],
    ) -> bool:
        """Whether the next request can do without what was refused. Raises ProviderError where it is the last
        message that is too long."""
        if self.context.refused(error, messages, options.max_tokens):
            if len(self.context.fitted(messages)) == len(messages):
                raise self._account.bad_response(f"a refusal: {TOO_LONG}") from error
            return True
        for words, template in TEMPLATES.items():
            if words in error.message.lower():
                news = self._template not in (template, without_system)
                self._template = template
                return news
        refused = _refused(error, request) if error.status_code == 400 else None
        if refused is not None:
            self._refused.add(refused)
        return refused is not None

    def _request(self, messages: Sequence[Message], options: ReplyOptions) -> dict[str, Any]:
        request: dict[str, Any] = {
            "model": self._account.model,
            "messages": self._template(chat_messages(messages)),
            "stream": True,
            "stream_options": {"include_usage": True},
            **self._more,
        }
        if options.tools:
            request["tools"] = [
                {
                    "type": "function",
                    "function": {
                        "name": tool.name,
                        "description": tool.description,
                        "parameters": tool.parameters or NO_PARAMETERS,
                    },
                }
                for tool in options.tools
            ]
            choice = options.tool_choice
            if isinstance(choice, NamedTool):
                request["tool_choice"] = {"type": "function", "function": {"name": choice.name}}
            else:
                request["tool_choice"] = choice
        if REASONING.match(self._account.model):
            request["max_completion_tokens"] = options.max_tokens + REASONING_TOKENS
            request["reasoning_effort"] = "low"
        else:
            # OpenAI has given up max_tokens, local servers know nothing else.
            request["max_completion_tokens" if self._account.hosted else "max_tokens"] = options.max_tokens
            request["temperature"] = options.temperature
        for name in self._refused & request.keys():
            value = request.pop(name)
            other = _OTHER_NAME.get(name)
            if other and other not in self._refused:
                request[other] = value
        if "tools" not in request:  # refused: a choice among none is an error of its own
            request.pop("tool_choice", None)
        return request


_OTHER_NAME = {"max_tokens": "max_completion_tokens", "max_completion_tokens": "max_tokens"}


def _refused(error: openai.APIStatusError, request: dict[str, Any]) -> str | None:
    """Which optional parameter a server does not want, if that is what a 400 says."""
    optional = [name for name in request if name not in ("model", "messages", "stream")]
    if "support" not in error.message.lower():  # one client's tools are wrong: no reason to take all others'
        optional = [name for name in optional if name not in ("tools", "tool_choice")]
    if error.param in optional:
        return error.param
    if "extra_body" in request and any(inner in error.message for inner in request["extra_body"]):
        return "extra_body"
    return next((name for name in sorted(optional, key=len, reverse=True) if name in error.message), None)


def _call(part: ChoiceDeltaToolCall, calls: dict[int, ToolCall]) -> ToolCall:
    """A piece of a function's call. The id comes with its first piece; some servers give every call the same
    index, or send no id at all."""
    begun = calls.get(part.index or 0)
    name = (part.function and part.function.name) or ""
    arguments = (part.function and part.function.arguments) or ""
    if begun is None or (name and part.id != begun.id):
        begun = ToolCall(part.id or new_id("call"), name, "")
        calls[part.index or 0] = begun
    return replace(begun, arguments=arguments)


def _usage(usage: CompletionUsage) -> Usage:
    details = usage.prompt_tokens_details
    cached = (details and details.cached_tokens) or 0
    return Usage(usage.prompt_tokens, usage.completion_tokens, cached)


def _costs(usage: Usage) -> Mapping[Unit, float]:
    return {
        "input_tokens": usage.input_tokens - usage.cached_tokens,
        "cached_tokens": usage.cached_tokens,
        "output_tokens": usage.output_tokens,
    }
