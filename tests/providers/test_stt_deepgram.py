"""What is particular to Deepgram: how it is asked, and what is made of its Results."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import get_args

import pytest

from pipeline.choice import plugin
from pipeline.errors import ProviderError
from pipeline.providers import Pause, Transcript
from pipeline.settings import DeepgramSettings, Language, Secrets, Settings, SttSettings
from server.access.self_signed import make_certificate
from tests.providers.ears import Piece, heard, listened
from tests.providers.live_ears import SPEECH, asked, ears_at
from tests.vendors.deepgram_server import KEY, DeepgramServer


@pytest.fixture
async def vendor() -> AsyncIterator[DeepgramServer]:
    async with DeepgramServer() as server:
        yield server


async def test_words_come_while_they_are_spoken_and_what_is_settled_is_sure(vendor: DeepgramServer) -> None:
    vendor.heard = "We moved the database. Then"
    ears = ears_at(vendor)
    transcripts = await heard(ears, SPEECH)
    await ears.close()
    assert [(each.text, each.sure) for each in transcripts if each.kind == "partial"] == [
        ("We", 0),
        ("We moved", 0),
        ("We moved the", 0),
        ("We moved the database.", 22),
        ("We moved the database. Then", 22),
    ]
    final = transcripts[-1]
    assert (final.kind, final.text, final.language) == ("final", "We moved the database. Then", "en")
    assert [(word.text, word.start_ms, word.end_ms) for word in final.words][3:] == [
        ("database.", 750, 1000),
        ("Then", 1000, 1250),
    ]
    assert {word.confidence for word in final.words} == {0.98}


async def test_what_becomes_sure_is_told_also_where_no_word_is_new(vendor: DeepgramServer) -> None:
    vendor.segment_words, vendor.settles_again = 2, True
    ears = ears_at(vendor)
    partials = [(each.text, each.sure) for each in await heard(ears, SPEECH[:30])]
    await ears.close()
    assert partials[1:3] == [("i worked", 0), ("i worked", 8)]


@pytest.mark.parametrize("language", get_args(Language))
async def test_every_language_is_asked_for_as_the_vendor_wants_it(
    vendor: DeepgramServer, language: str
) -> None:
    query = await asked(vendor, language)
    assert query["model"] == ["nova-3"]
    if language == "ar":  # is one among many
        assert (query["language"], query["language_hint"]) == (["multi"], ["ar"])
    else:
        assert (query["language"], query.get("language_hint")) == ([language], None)


async def test_the_older_model_knows_no_arabic(vendor: DeepgramServer) -> None:
    ears = ears_at(vendor, model="nova-2")
    assert [language for language in get_args(Language) if not ears.knows(language)] == ["ar"]
    with pytest.raises(ProviderError, match="nova-2 does not know “ar”"):
        await heard(ears, SPEECH, "ar")
    assert (await asked(vendor, "ja", model="nova-2"))["language"] == ["ja"]


async def test_what_is_spoken_may_decide_the_language(vendor: DeepgramServer) -> None:
    vendor.switches_to = "es"
    ears = ears_at(vendor, detect_language=True)
    final: Transcript = (await heard(ears, SPEECH))[-1]
    await ears.close()
    assert final.language == "es"
    query = vendor.connections[-1].query
    assert (query["language"], query["language_hint"]) == (["multi"], ["en"])


async def test_hints_are_looked_out_for(vendor: DeepgramServer) -> None:
    assert (await asked(vendor, "en", ("Kafka", "B-tree")))["keyterm"] == ["Kafka", "B-tree"]
    assert (await asked(vendor, "en", ("Kafka",), model="nova-2"))["keywords"] == ["Kafka"]
    assert "keyterm" not in await asked(vendor, "en")


async def test_what_is_said_may_be_kept_out_of_its_models(vendor: DeepgramServer) -> None:
    assert (await asked(vendor, "en", mip_opt_out=True))["mip_opt_out"] == ["true"]
    assert "mip_opt_out" not in await asked(vendor, "en")


async def test_what_it_does_not_take_is_told_in_its_words(vendor: DeepgramServer) -> None:
    with pytest.raises(ProviderError, match=r"answered 400: .*no such model nova-9") as raised:
        await ears_at(vendor, model="nova-9").start()
    assert raised.value.code == "bad_response"


async def test_why_it_hangs_up_is_told(vendor: DeepgramServer) -> None:
    vendor.impatience, vendor.patience_s = (1011, "NET-0001: no audio data was received"), 0.05
    ears = ears_at(vendor)

    async def silent() -> AsyncIterator[Piece]:
        for piece in SPEECH[:10]:
            yield piece
        await vendor.connections[-1].closed.wait()
        yield Pause()

    with pytest.raises(ProviderError, match="hung up with 1011: NET-0001") as raised:
        await listened(ears, silent())
    assert raised.value.code == "unreachable"
    await ears.close()


async def test_only_a_server_whose_certificate_is_trusted_hears_anything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate, key = make_certificate(tmp_path)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificate, key)
    async with DeepgramServer(tls) as vendor:
        with pytest.raises(ProviderError, match=r"no secure connection to .*: self.signed") as raised:
            await ears_at(vendor).start()
        assert raised.value.code == "unreachable"
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        ears = ears_at(vendor)
        assert (await heard(ears, SPEECH))[-1].text == vendor.heard
        await ears.close()


def test_says_what_it_lacks() -> None:
    module = plugin("stt", "deepgram")
    assert module.missing(Settings()) == "set DEEPGRAM_API_KEY"
    assert module.missing(Settings(secrets=Secrets(deepgram_api_key=KEY))) is None
    own = SttSettings(deepgram=DeepgramSettings(base_url="ws://127.0.0.1:9"))
    assert module.missing(Settings(stt=own)) is None
