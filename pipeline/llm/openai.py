"""A language model behind OpenAI's chat completions: OpenAI itself, or any server that speaks the same
(Ollama, vLLM, llama.cpp, LM Studio), named by `llm.openai.base_url`.

Source: https://platform.openai.com/docs/api-reference/chat; what differs elsewhere is said where it matters.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING, Any

from pipeline import openai_account
from pipeline.errors import ProviderError
from pipeline.providers import Message, Note, ReplyOptions, Token, Usage
from pipeline.settings import Settings

if TYPE_CHECKING:
    import openai
    from openai import AsyncStream
    from openai.types.chat import ChatCompletionChunk

NAME = openai_account.NAME
REASONING = re.compile(r"^(o\d|gpt-5(?!.*chat))")  # models that think first and take no temperature
REASONING_TOKENS = 1000  # of room for the thinking, which counts as output
RETRIES = 3  # of a request without a parameter that the server does not know
OPENING = "(The call has just begun, and I have said nothing yet. Please begin.)"
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
    """See pipeline.providers.Mind."""

    name = NAME
    wants_full = False  # a model understands a fast transcript well enough, and sooner

    def __init__(self, settings: Settings) -> None:
        self._account = openai_account.Account("llm", settings, settings.llm.openai, ("",), SPEECHLESS)
        self._window = settings.llm.history_messages
        self.detail = f"{self._account.model} at {self._account.where}"
        self._refused: set[str] = set()  # parameters that this server does not know

    async def start(self) -> None:
        """Asks the server which models it has. Raises ProviderError if ours is not among them."""
        await self._account.start()

    async def close(self) -> None:
        await self._account.close()

    async def reply(
        self, messages: Sequence[Message], options: ReplyOptions
    ) -> AsyncIterator[Token | Note | Usage]:
        """The next message, token by token. Raises ProviderError. Closing it closes the HTTP stream."""
        finished = False
        try:
            stream = await self._open(messages, options)
            async with stream:
                async for chunk in stream:
                    for choice in chunk.choices or ():
                        if choice.delta and choice.delta.content:
                            yield Token(choice.delta.content)
                        finished = finished or choice.finish_reason is not None
                    if chunk.usage:
                        yield Usage(chunk.usage.prompt_tokens, chunk.usage.completion_tokens)
        except ProviderError:
            raise
        except Exception as error:  # the SDK's own, and what its HTTP library raises in mid-stream
            raise self._account.translated(error) from error
        if not finished:
            raise self._account.bad_response("a reply that ends in the middle")

    async def _open(
        self, messages: Sequence[Message], options: ReplyOptions
    ) -> AsyncStream[ChatCompletionChunk]:
        """Begins the stream; leaves out what the server says it does not know, and tries again."""
        import openai

        for _ in range(RETRIES):
            request = self._request(messages, options)
            try:
                stream: AsyncStream[ChatCompletionChunk] = await self._account.client.chat.completions.create(
                    **request
                )
            except openai.BadRequestError as error:
                refused = _refused(error, request)
                if refused is None:
                    raise
                self._refused.add(refused)
                continue
            kind = stream.response.headers.get("content-type", "")
            if "event-stream" not in kind:
                await stream.close()
                raise self._account.bad_response(f"{kind or 'nothing'}, not with a stream")
            return stream
        raise self._account.bad_response("a refusal of every request")

    def _request(self, messages: Sequence[Message], options: ReplyOptions) -> dict[str, Any]:
        request: dict[str, Any] = {
            "model": self._account.model,
            "messages": chat_messages(messages, self._window),
            "stream": True,
            "stream_options": {"include_usage": True},
        }
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
        return request


_OTHER_NAME = {"max_tokens": "max_completion_tokens", "max_completion_tokens": "max_tokens"}


def _refused(error: openai.BadRequestError, request: dict[str, Any]) -> str | None:
    """Which optional parameter a server does not want, if that is what a 400 says."""
    optional = [name for name in request if name not in ("model", "messages", "stream")]
    if error.param in optional:
        return error.param
    return next((name for name in sorted(optional, key=len, reverse=True) if name in error.message), None)


def chat_messages(messages: Sequence[Message], window: int) -> list[dict[str, str]]:
    """The system prompt and the last `window` messages, as the API takes them.

    A call that begins has no message of a user, and many local models refuse to speak first: they are
    given one."""
    system = [message for message in messages if message.role == "system"]
    said = [message for message in messages if message.role != "system" and message.text][-window:]
    result = [{"role": message.role, "content": message.text} for message in system if message.text]
    if not any(message.role == "user" for message in said):
        result.append({"role": "user", "content": OPENING})
    return result + [{"role": message.role, "content": message.text} for message in said]
