"""OpenAI's server as the stand-in of one stage, see `pipeline.contract.vendor.Vendor`."""

from __future__ import annotations

from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import SecretStr

from pipeline.contract.vendor import Behaviour
from pipeline.errors import Stage
from pipeline.settings import (
    LlmSettings,
    LocalServer,
    OpenAILlmSettings,
    OpenAISttSettings,
    OpenAITtsSettings,
    Secrets,
    Settings,
    SttSettings,
    TtsSettings,
)
from tests.vendors.openai_server import OpenAIServer, Seen

KEY = "sk-very-secret"
ROUTES: dict[Stage, Literal["chat", "transcriptions", "speech"]] = {
    "stt": "transcriptions",
    "llm": "chat",
    "tts": "speech",
}


class OpenAIStage:
    """Args:
    model: "" takes the plug-in's own choice.
    """

    def __init__(self, stage: Stage, model: str = "") -> None:
        self._server = OpenAIServer()
        self._server.model_names.append("gpt-4o-transcribe")
        self._stage = stage
        self._model: dict[str, Any] = {"model": model} if model else {}

    async def __aenter__(self) -> OpenAIStage:
        await self._server.__aenter__()
        return self

    async def __aexit__(self, *what: object) -> None:
        await self._server.__aexit__(*what)

    @property
    def work(self) -> Behaviour:
        behaviour: Behaviour = getattr(self._server, ROUTES[self._stage])
        return behaviour

    @work.setter
    def work(self, how: Behaviour) -> None:
        setattr(self._server, ROUTES[self._stage], how)

    @property
    def seen(self) -> list[Seen]:
        return self._server.requests(ROUTES[self._stage])

    async def request(self, number: int = 0) -> Seen:
        return await self._server.request(ROUTES[self._stage], number)

    def settings(self) -> Settings:
        own: dict[str, Any] = {"base_url": self._server.base_url, **self._model}
        return Settings(
            stt=SttSettings(openai=OpenAISttSettings(**own if self._stage == "stt" else {})),
            llm=LlmSettings(openai=OpenAILlmSettings(**own if self._stage == "llm" else {})),
            tts=TtsSettings(openai=OpenAITtsSettings(**own if self._stage == "tts" else {})),
            secrets=Secrets(openai_api_key=SecretStr(KEY)),
        )


class LocalStage(OpenAIStage):
    """A server that was found on this machine."""

    def __init__(self) -> None:
        super().__init__("llm")

    def settings(self) -> Settings:
        port = urlsplit(self._server.base_url).port
        assert port is not None
        found = LocalServer(kind="Ollama", port=port, models=("gpt-4o-mini",))
        return Settings(local_servers=(found,))
