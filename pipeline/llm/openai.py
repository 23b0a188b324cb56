"""A language model behind OpenAI's chat completions: OpenAI itself, or any server that speaks the same
(Ollama, vLLM, llama.cpp, LM Studio), named by `llm.openai.base_url`.

Source: https://platform.openai.com/docs/api-reference/chat; what differs elsewhere is said where it matters.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Sequence
from typing import Any
from urllib.parse import urlsplit

import openai
from openai import AsyncOpenAI, AsyncStream
from openai.types.chat import ChatCompletionChunk

from pipeline.errors import ProviderError
from pipeline.providers import Message, Note, ReplyOptions, Token, Usage
from pipeline.settings import Settings

NAME = "openai"
REASONING = re.compile(r"^(o\d|gpt-5(?!.*chat))")  # models that think first and take no temperature
REASONING_TOKENS = 1000  # of room for the thinking, which counts as output
NAMED_MODELS = 8  # how many of the models that are there an error names
RETRIES = 3  # of a request without a parameter that the server does not know
OPENING = "(The call has just begun, and I have said nothing yet. Please begin.)"


def missing(settings: Settings) -> str | None:
    """What it lacks to run here, in words; None: nothing."""
    if settings.secrets.openai_api_key or _base_url(settings):
        return None
    return "set OPENAI_API_KEY, or llm.openai.base_url for a local server"


def create(settings: Settings) -> OpenAIMind:
    return OpenAIMind(settings)


def _base_url(settings: Settings) -> str:
    return settings.llm.openai.base_url or settings.secrets.openai_base_url or ""


class OpenAIMind:
    """See pipeline.providers.Mind."""

    name = NAME
    wants_full = False  # a model understands a fast transcript well enough, and sooner

    def __init__(self, settings: Settings) -> None:
        self._model = settings.llm.openai.model
        self._window = settings.llm.history_messages
        base_url = _base_url(settings)
        self._hosted = not base_url or (urlsplit(base_url).hostname or "").endswith("api.openai.com")
        self._where = "OpenAI" if self._hosted else base_url
        self.detail = f"{self._model} at {self._where}"
        key = settings.secrets.openai_api_key
        self._key = key.get_secret_value() if key else ""
        self._timeout_s = settings.llm.openai.timeout_s
        self._client = AsyncOpenAI(
            api_key=self._key or "none",  # local servers ask for none, the SDK does
            base_url=base_url or None,
            timeout=self._timeout_s,
            max_retries=0,  # a person is waiting: the session decides what to do instead
        )
        self._models: list[str] = []  # that the server lists
        self._refused: set[str] = set()  # parameters that this server does not know

    async def start(self) -> None:
        """Asks the server which models it has. Raises ProviderError if ours is not among them."""
        try:
            self._models = [model.id async for model in self._client.models.list()]
        except (openai.PermissionDeniedError, openai.NotFoundError):
            return  # a key may be good for answers and not for this list; some servers have none
        except Exception as error:
            raise self._translated(error) from error
        known = {*self._models, *(name.removesuffix(":latest") for name in self._models)}  # Ollama's tags
        if self._models and self._model not in known:
            raise ProviderError(
                "llm", NAME, f"{self._where} has no model {self._model!r}{self._choice()}", "forbidden"
            )

    async def close(self) -> None:
        await self._client.close()

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
            raise self._translated(error) from error
        if not finished:
            raise ProviderError("llm", NAME, f"{self._where} ended its reply in the middle", "bad_response")

    async def _open(
        self, messages: Sequence[Message], options: ReplyOptions
    ) -> AsyncStream[ChatCompletionChunk]:
        """Begins the stream; leaves out what the server says it does not know, and tries again."""
        for _ in range(RETRIES):
            request = self._request(messages, options)
            try:
                stream: AsyncStream[ChatCompletionChunk] = await self._client.chat.completions.create(
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
                raise ProviderError(
                    "llm",
                    NAME,
                    f"{self._where} answered with {kind or 'nothing'}, not with a stream",
                    "bad_response",
                )
            return stream
        raise ProviderError("llm", NAME, f"{self._where} takes no request of ours", "bad_response")

    def _request(self, messages: Sequence[Message], options: ReplyOptions) -> dict[str, Any]:
        request: dict[str, Any] = {
            "model": self._model,
            "messages": chat_messages(messages, self._window),
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        if REASONING.match(self._model):
            request["max_completion_tokens"] = options.max_tokens + REASONING_TOKENS
            request["reasoning_effort"] = "low"
        else:
            # OpenAI has given up max_tokens, local servers know nothing else.
            request["max_completion_tokens" if self._hosted else "max_tokens"] = options.max_tokens
            request["temperature"] = options.temperature
        for name in self._refused & request.keys():
            value = request.pop(name)
            other = _OTHER_NAME.get(name)
            if other and other not in self._refused:
                request[other] = value
        return request

    def _translated(self, error: Exception) -> ProviderError:
        """Any failure in words that are fit for a person and hold no key."""
        if isinstance(error, openai.AuthenticationError):
            return ProviderError("llm", NAME, f"{self._where} refused the key (OPENAI_API_KEY)", "auth")
        if isinstance(error, openai.PermissionDeniedError | openai.NotFoundError):
            what = f"the key may not use {self._model!r}"
            if isinstance(error, openai.NotFoundError):
                what = f"{self._where} has no model {self._model!r}"
            return ProviderError("llm", NAME, what + self._choice(), "forbidden")
        if isinstance(error, openai.RateLimitError):
            return ProviderError(
                "llm", NAME, f"{self._where} has had enough requests for now", "rate_limited"
            )
        if isinstance(error, openai.APITimeoutError) or _of_http(error, "Timeout"):
            return ProviderError(
                "llm", NAME, f"{self._where} said nothing for {self._timeout_s:g} s", "timeout"
            )
        if isinstance(error, openai.APIStatusError):
            return ProviderError(
                "llm",
                NAME,
                f"{self._where} answered {error.status_code}: {self._clean(error.message)}",
                "bad_response",
            )
        if isinstance(error, openai.APIConnectionError) or _of_http(error):
            return ProviderError("llm", NAME, f"no connection to {self._where}", "unreachable")
        return ProviderError(
            "llm",
            NAME,
            f"{self._where} answered with something that is no reply: {self._clean(str(error))}",
            "bad_response",
        )

    def _choice(self) -> str:
        """What else there is, for a message."""
        chat = [
            name for name in self._models if not re.search(r"whisper|tts|embed|dall-e|image|moderation", name)
        ]
        if not chat:
            return "; set llm.openai.model to one that it has"
        more = ", ..." if len(chat) > NAMED_MODELS else ""
        return f"; there is {', '.join(sorted(chat)[:NAMED_MODELS])}{more} (llm.openai.model)"

    def _clean(self, text: str) -> str:
        text = " ".join(text.split())[:200]
        return text.replace(self._key, "***") if self._key else text


def _of_http(error: Exception, kind: str = "") -> bool:
    """Whether it comes from the SDK's HTTP library (httpx, or httpx2 since version 3)."""
    return type(error).__module__.startswith("httpx") and kind in type(error).__name__


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
