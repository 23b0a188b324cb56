"""What the tests of vendors that hear while one speaks have in common."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.choice import plugin
from pipeline.providers import Pause, Recognizer
from tests.providers.ears import heard
from tests.sounds import chunks, noise
from tests.vendors.assemblyai_server import AssemblyAIServer
from tests.vendors.deepgram_server import DeepgramServer

Server = DeepgramServer | AssemblyAIServer

SPEECH = [*chunks(noise(1500)), Pause()]


def ears_at(vendor: Server, **own: object) -> Recognizer:
    """The vendor's recogniser, its section of the settings changed by `own`."""
    settings = vendor.settings()
    name = str(settings.stt.provider)
    section = getattr(settings.stt, name).model_copy(update=own)
    stt = settings.stt.model_copy(update={name: section})
    ears: Recognizer = plugin("stt", name).create(settings.model_copy(update={"stt": stt}))
    return ears


async def asked(
    vendor: Server, language: str, hints: Sequence[str] = (), **own: object
) -> dict[str, list[str]]:
    """The query with which it was asked to hear that language."""
    ears = ears_at(vendor, **own)
    assert (await heard(ears, SPEECH, language, hints))[-1].kind == "final"
    await ears.close()
    return vendor.connections[-1].query
