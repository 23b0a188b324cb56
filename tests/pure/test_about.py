"""What the page is told of who answers."""

from __future__ import annotations

from pipeline.settings import (
    LlmSettings,
    OpenAILlmSettings,
    Secrets,
    Settings,
)
from server.about import about
from server.config import load
from server.engines import Engines
from server.workers import Load
from tests.vendors.openai_server import OpenAIServer


def told(settings: Settings, engines: Engines) -> dict[str, dict[str, object]]:
    """By stage."""
    page = about(load(), engines, Load(calls=0, max_calls=8, draining=False))
    return {provider["stage"]: provider for provider in page["providers"]}


async def test_who_answers_alone_has_no_chain_and_what_would_be_better() -> None:
    engines = Engines(Settings())
    mind = told(Settings(), engines)["llm"]
    assert (mind["name"], mind["why"], mind["chain"]) == ("scripted", "embedded", [])
    assert "set OPENAI_API_KEY" in str(mind["better"])
    await engines.close()


async def test_of_a_chain_every_link_is_told_with_what_is_wrong_with_it() -> None:
    async with OpenAIServer() as vendor:
        vendor.models.status = 401
        settings = Settings(
            llm=LlmSettings(
                provider=("openai", "scripted"), openai=OpenAILlmSettings(base_url=vendor.base_url)
            ),
            secrets=Secrets(openai_api_key="sk-very-secret"),
        )
        engines = Engines(settings)
        chain = engines.stages["llm"].chosen.provider
        await chain.start()
        mind = told(settings, engines)["llm"]
        assert mind["chain"] == [
            {
                "name": "openai",
                "detail": f"gpt-4o-mini at {vendor.base_url}",
                "error": f"{vendor.base_url} refused the key (OPENAI_API_KEY)",
            },
            {"name": "scripted", "detail": "Scripted interviewer. Not a language model.", "error": None},
        ]
        assert "sk-very-secret" not in str(mind)
        await engines.close()
