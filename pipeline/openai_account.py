"""What recogniser, mind and voice at OpenAI (or a server that speaks its protocol) have in common: the
client, the models that the key may use, and every failure in plain words."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from urllib.parse import urlsplit

from pipeline import vendor_words
from pipeline.errors import ProviderError, Stage
from pipeline.notices import Spent, Unit, tell
from pipeline.settings import OpenAILlmSettings, OpenAISttSettings, OpenAITtsSettings, Settings

NAME = "openai"
LOOPBACK = ("127.0.0.1", "localhost", "::1")
KEPT_S = 120.0  # a connection is kept for the next request; the HTTP library's own 5 s are over too soon
NO_CREDIT = "insufficient_quota"
CODE_BEFORE = re.compile(r"^Error code: \d+ - ")  # the SDK's
NAMED_MODELS = 8  # how many of the models that may be used an error names


def missing(settings: Settings, stage: Stage, base_url: str) -> str | None:
    """A key, or a server of one's own. OPENAI_BASE_URL alone does not do: most such servers only chat."""
    if settings.secrets.openai_api_key or base_url:
        return None
    return f"set OPENAI_API_KEY, or {stage}.openai.base_url for a server of your own"


class Account:
    """One stage's access to one model.

    Args:
        kinds: parts of the names of models that can do this stage's work, for the advice in an error.
        other_kinds: parts of the names of models that cannot.
        name: the plug-in's.
    """

    def __init__(
        self,
        stage: Stage,
        settings: Settings,
        own: OpenAISttSettings | OpenAILlmSettings | OpenAITtsSettings,
        kinds: Sequence[str],
        other_kinds: Sequence[str] = (),
        name: str = NAME,
    ) -> None:
        import openai  # here and below: 0.6 s that a start without a key does not need

        from pipeline.kept_http import Client

        self.model = own.model
        base_url = own.base_url or settings.secrets.openai_base_url or ""
        self.hosted = not base_url or urlsplit(base_url).hostname == "api.openai.com"
        self.where = "OpenAI" if self.hosted else base_url
        self._base_url = f"{stage}.{name}.base_url" if own.base_url else "OPENAI_BASE_URL" if base_url else ""
        self._host = "" if self.hosted else urlsplit(base_url).hostname or base_url
        unit: Unit = "output_tokens" if stage == "llm" else "seconds"
        self.charges = Spent(stage, name, self.model, unit, 0.0, self._host)
        self._stage: Stage = stage
        self._name = name
        self._kinds = kinds
        self._other_kinds = other_kinds
        self._timeout_s = own.timeout_s
        self._models: list[str] = []  # that the server lists
        key = settings.secrets.openai_api_key
        self._key = key.get_secret_value() if key else ""
        self.client = openai.AsyncOpenAI(
            api_key=self._key or "none",  # servers of one's own ask for none, the SDK does
            base_url=base_url or None,
            timeout=own.timeout_s,
            max_retries=0,  # a person is waiting: the session decides what to do instead
            http_client=Client(
                # No proxy of the environment's stands between this machine and itself.
                trust_env=self._host not in LOOPBACK,
                limits=type(openai.DEFAULT_CONNECTION_LIMITS)(
                    max_connections=1000, max_keepalive_connections=100, keepalive_expiry=KEPT_S
                ),
            ),
        )
        self._opening: asyncio.Task[None] | None = None
        self._used_s = -KEPT_S  # when a connection was last known to be open, by the loop's clock

    async def start(self) -> None:
        """Asks for the models there are. Raises ProviderError if ours is none of them."""
        import openai

        self._used_s = asyncio.get_running_loop().time()
        try:
            self._models = [model.id async for model in self.client.models.list()]
        except (openai.PermissionDeniedError, openai.NotFoundError):
            return  # a key may be good for speech and not for this list; some servers have none
        except Exception as error:
            raise self.translated(error) from error
        known = {*self._models, *(name.removesuffix(":latest") for name in self._models)}  # Ollama's tags
        if self._models and self.model not in known:
            raise self._error("forbidden", self._not_ours(there=self.hosted))

    async def close(self) -> None:
        if self._opening is not None:
            self._opening.cancel()
            await asyncio.gather(self._opening, return_exceptions=True)
        await self.client.close()

    def open_ahead(self) -> None:
        """A connection, unless one is open: a request is likely to follow, and is not to wait for it."""
        now_s = asyncio.get_running_loop().time()
        if now_s - self._used_s >= KEPT_S - 5:
            self._used_s = now_s
            self._opening = asyncio.create_task(self._open(), name=f"{self._stage}-{self._name}-connect")

    async def _open(self) -> None:
        with contextlib.suppress(Exception):  # the request itself will say what is wrong
            await self.client.models.list()

    @contextmanager
    def request(self, costs: Callable[[], Mapping[Unit, float]]) -> Iterator[None]:
        """Around one request: tells what it has cost when it is over, also if it was broken off, and raises
        whatever goes wrong as a ProviderError. What was refused costs nothing."""
        import openai

        refused = False
        self._used_s = asyncio.get_running_loop().time()
        try:
            yield
        except ProviderError:
            raise
        except Exception as error:  # the SDK's own, and what its HTTP library raises in mid-stream
            refused = isinstance(error, openai.APIError)
            raise self.translated(error) from error
        finally:
            for unit, amount in ({} if refused else costs()).items():
                if amount:
                    tell(replace(self.charges, unit=unit, amount=amount))

    def bad_response(self, what: str) -> ProviderError:
        if what.startswith("text/html"):
            what = f"a web page{self._is_right()}"
        return self._error("bad_response", f"{self.where} answered with {what}")

    def translated(self, error: Exception) -> ProviderError:
        """Whatever the SDK or its HTTP library raised, without the key in it."""
        import openai

        if isinstance(error, ProviderError):
            return error
        match error:
            case openai.AuthenticationError():
                refused = (
                    "refused the key (OPENAI_API_KEY)" if self._key else "wants a key: set OPENAI_API_KEY"
                )
                return self._error("auth", f"{self.where} {refused}")
            case openai.APIStatusError() if error.status_code == 402 or error.code == NO_CREDIT:
                said = self._clean(error.message)
                return self._error(
                    "forbidden", f"{self.where} says that the account has no credit left: {said}"
                )
            case openai.PermissionDeniedError():
                return self._error("forbidden", self._not_ours(there=True))
            case openai.NotFoundError() if not isinstance(error.body, dict):  # not even an error of its kind
                return self._error("forbidden", f"{self.where} answered 404{self._is_right()}")
            case openai.NotFoundError():
                return self._error("forbidden", self._not_ours(there=self.hosted))
            case openai.RateLimitError():
                message = f"{self.where} has had enough requests for now"
                retry_after_s = _seconds(error.response.headers.get("retry-after", ""))
                return ProviderError(self._stage, self._name, message, "rate_limited", retry_after_s)
            case openai.APITimeoutError():
                return self._error("timeout", f"{self.where} said nothing for {self._timeout_s:g} s")
            case openai.APIStatusError():
                message = self._clean(error.message)
                if "voice" in (error.param or ""):
                    message += f" ({self._stage}.{self._name}.voices)"
                return self._error("bad_response", f"{self.where} answered {error.status_code}: {message}")
            case openai.APIConnectionError():
                url = str(error.request.url) if error.request.url.scheme else self.where
                words = vendor_words.unreachable(self.where, url, self._base_url, error)
                return self._error("unreachable", words)
        # In mid-stream the HTTP library's own errors come through: httpx, or httpx2 since SDK 3.
        if type(error).__module__.startswith("httpx"):
            if "Timeout" in type(error).__name__:
                return self._error("timeout", f"{self.where} said nothing for {self._timeout_s:g} s")
            return self._error("unreachable", f"the connection to {self.where} broke")
        return self.bad_response(f"something that cannot be read: {self._clean(str(error))}")

    def _not_ours(self, *, there: bool) -> str:
        """That the model cannot be had; `there`: it may exist, only not for this key."""
        what, choice = f"{self.model} may not be used with this key", "it can use"
        if not there:
            what, choice = f"{self.where} has no model {self.model}", "there is"
        fit = [
            name
            for name in self._models
            if name != self.model
            and any(kind in name for kind in self._kinds)
            and not any(kind in name for kind in self._other_kinds)
        ]
        setting = f"{self._stage}.{self._name}.model"
        if not fit:
            return f"{what}; set {setting} to a model that may"
        more = ", ..." if len(fit) > NAMED_MODELS else ""
        return f"{what}; {choice} {', '.join(sorted(fit)[:NAMED_MODELS])}{more} ({setting})"

    def _error(self, code: str, message: str) -> ProviderError:
        return ProviderError(self._stage, self._name, message, code)

    def _is_right(self) -> str:
        return f"; is {self._base_url} right? It mostly ends in /v1" if self._base_url else ""

    def _clean(self, text: str) -> str:
        return vendor_words.said(CODE_BEFORE.sub("", text), self._key) or "a web page"


def _seconds(retry_after: str) -> float | None:
    """Of the HTTP header, where it is a number of them and not a date: RFC 9110, section 10.2.3."""
    return float(retry_after) if retry_after.isascii() and retry_after.isdigit() else None
