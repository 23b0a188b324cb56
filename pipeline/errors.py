"""Everything that Viva raises on purpose.

VivaError
├── ConfigError          a setting is wrong; the message says which and what to do
├── CallError            a command that makes no sense now (becomes an `error` event)
└── ProviderError        a recogniser, mind or voice failed; costs a turn, never the call
"""

from __future__ import annotations

from typing import Literal

Stage = Literal["stt", "llm", "tts"]


class VivaError(Exception):
    """Base of all errors raised on purpose."""


class ConfigError(VivaError):
    """The message names the setting and says what to write instead."""


class CallError(VivaError):
    """A command from the client that cannot be carried out; `code` and `param` go on the wire."""

    def __init__(self, code: str, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.param = param


class ProviderError(VivaError):
    """A provider failed. `message` is fit for a person and holds no secret.

    Args:
        stage: which of the three.
        provider: the plug-in's name.
        code: machine-readable: "auth", "forbidden", "rate_limited", "timeout", "unreachable",
            "bad_response", "unsupported_language", "crashed", "unknown".
        retry_after_s: for how long it wants to be left alone; None: it did not say.
    """

    def __init__(
        self,
        stage: Stage,
        provider: str,
        message: str,
        code: str = "unknown",
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(f"{stage} {provider}: {message}")
        self.stage = stage
        self.provider = provider
        self.message = message
        self.code = code
        self.retry_after_s = retry_after_s
