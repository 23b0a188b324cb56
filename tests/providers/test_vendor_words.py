"""What a person reads where a vendor cannot be reached or refuses: what is wrong, and where to look."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from pipeline.choice import plugin
from pipeline.contract.bench import Bench, Subject
from pipeline.contract.vendor import Behaviour
from pipeline.errors import ProviderError, Stage
from pipeline.settings import Settings
from pipeline.vendor_words import said, unreachable
from server.access.self_signed import make_certificate
from tests.contract.subjects import VENDORS, stage_of
from tests.sounds import noise
from tests.vendors.openai_server import OpenAIServer

HOSTED = (
    "stt:openai whisper-1",
    "llm:openai",
    "tts:openai",
    "stt:deepgram",
    "stt:assemblyai",
    "tts:elevenlabs",
)
URL = "https://ears.example/v1"
LOOK = "stt.deepgram.base_url"


def raised(inner: BaseException) -> BaseException:
    """As libraries wrap it, twice."""
    try:
        try:
            raise inner
        except BaseException as error:
            raise OSError("All connection attempts failed") from error
    except OSError as error:
        return error


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (
            socket.gaierror(-2, "Name or service not known"),
            "its name is not known; is there a network, and is",
        ),
        (ConnectionRefusedError(111, "refused"), "nothing listens there; does it run, and is"),
        (OSError(101, "Network is unreachable"), "no network leads there"),
        (ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER]"), f"what answers speaks no TLS; is {LOOK} right, or"),
        (ExceptionGroup("both", [ConnectionRefusedError(111, "refused")]), "nothing listens there"),
    ],
)
def test_what_keeps_us_from_a_server_is_said(error: BaseException, words: str) -> None:
    told = unreachable("ears.example", URL, LOOK, raised(error))
    assert words in told
    assert "ears.example" in told
    assert "All connection attempts" not in told


def test_of_the_vendors_own_server_no_setting_is_named() -> None:
    told = unreachable("Deepgram", URL, "", ConnectionRefusedError(111, "refused"))
    assert told == "no connection to Deepgram: nothing listens there; does it run?"


def test_a_proxy_is_named_without_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "http://me:secret@proxy.example:3128")
    told = unreachable("Deepgram", "wss://api.deepgram.com/v1/listen", "", ConnectionRefusedError(111, "no"))
    assert told == (
        "no connection to Deepgram through the proxy proxy.example:3128 (HTTPS_PROXY): "
        "nothing listens there; does it run, and is HTTPS_PROXY right?"
    )


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ('{"error": {"message": "No credit.", "type": "x"}}', "No credit"),
        ('{"detail": {"status": "x", "message": "No such voice."}}', "No such voice"),
        ('{"err_code": "x", "err_msg": "No such model."}', "No such model"),
        ('{"error": "Insufficient Funds"}', "Insufficient Funds"),
        ("plain\n words of sk-1", "plain words of ***"),
        ("<!doctype html><title>Hotel</title>", ""),
        ('{"odd": 1}', '{"odd": 1}'),
        ("[1]", "[1]"),
    ],
)
def test_what_a_vendor_says_comes_without_its_wrapping_and_without_the_key(body: str, words: str) -> None:
    assert said(body, "sk-1") == words


# ------------------------------------------------------------------ in each plug-in


def at(settings: Settings, stage: Stage, name: str, **own: Any) -> Settings:
    section = getattr(settings, stage)
    changed = getattr(section, name).model_copy(update=own)
    return settings.model_copy(update={stage: section.model_copy(update={name: changed})})


async def fault(plug_in: str, base_url: Callable[[str], str], how: Behaviour | None = None) -> str:
    """What it fails with at that address, made from the one of its stand-in."""
    stage, name = stage_of(plug_in), plug_in.partition(":")[2].split()[0]
    make_vendor = VENDORS[plug_in]
    assert make_vendor is not None
    async with make_vendor() as vendor:
        vendor.work = how or Behaviour()
        settings = vendor.settings()
        there = getattr(getattr(settings, stage), name).base_url
        subject = Subject(stage, plugin(stage, name), settings, make_vendor, name)
        bench = Bench(subject, at(settings, stage, name, base_url=base_url(there)), vendor, noise(1000))
        try:
            return (await bench.failure()).message
        finally:
            await bench.provider.close()


def nobody_listens(there: str) -> str:
    return f"{there.split(':')[0]}://127.0.0.1:9"


@pytest.mark.parametrize("plug_in", HOSTED)
@pytest.mark.parametrize(
    ("base_url", "how", "words"),
    [
        (lambda _: "api.example.com/v1", None, ["api.example.com/v1 is no address", ".base_url begins with"]),
        (nobody_listens, None, ["nothing listens there; does it run, and is"]),
        (lambda there: f"{there}/wrong", None, ["answered 404", ".base_url right?"]),
        (lambda there: there, Behaviour(garbage="html"), [".base_url right?"]),
    ],
    ids=["no scheme", "nobody listens", "wrong path", "web page"],
)
async def test_an_address_that_may_be_wrong_is_doubted(
    plug_in: str, base_url: Callable[[str], str], how: Behaviour | None, words: list[str]
) -> None:
    told = await fault(plug_in, base_url, how)
    assert all(part in told for part in words), told


@pytest.mark.parametrize("plug_in", HOSTED)
async def test_a_certificate_that_nobody_vouches_for_is_named(plug_in: str, tmp_path: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*make_certificate(tmp_path))

    async def close(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            writer.close()

    async with await asyncio.start_server(close, "127.0.0.1", 0, ssl=context) as server:
        port = server.sockets[0].getsockname()[1]
        told = await fault(plug_in, lambda there: f"{there.split(':')[0]}s://localhost:{port}")
    assert "no secure connection to" in told
    assert "SSL_CERT_FILE" in told


async def test_who_has_no_credit_left_is_told_so(vendor: OpenAIServer) -> None:
    """OpenAI says it by the status that it has for haste, too."""
    vendor.errors[429] = ("insufficient_quota", "insufficient_quota", "You exceeded your current quota.")
    vendor.chat.status = 429
    error = await refusal(vendor, "llm")
    assert error.code == "forbidden", "no other request will change it"
    assert "no credit left: You exceeded your current quota" in error.message


async def test_a_voice_that_there_is_not_is_named_with_its_setting(vendor: OpenAIServer) -> None:
    vendor.speech.status = 400
    assert (
        "Invalid value: 'nobody'. Supported values are: 'alloy' (tts.openai.voices)"
        in (await refusal(vendor, "tts")).message
    )


async def refusal(vendor: OpenAIServer, stage: Stage) -> ProviderError:
    settings = Settings.model_validate(
        {"secrets": {"openai_api_key": "sk-1"}, stage: {"openai": {"base_url": vendor.base_url}}}
    )
    bench = Bench(
        Subject(stage, plugin(stage, "openai"), settings, lambda: vendor), settings, None, noise(1000)
    )
    try:
        return await bench.failure()
    finally:
        await bench.provider.close()
