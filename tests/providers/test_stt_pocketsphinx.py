"""pocketsphinx: what it alone promises."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import psutil
import pytest

from pipeline.choice import plugin
from pipeline.errors import ProviderError
from pipeline.forking import FRAME
from pipeline.providers import Pause
from pipeline.settings import PocketsphinxSettings, Settings, SttSettings
from pipeline.stt.pocketsphinx import CUT_AFTER_S, Pocketsphinx
from pipeline.stt.pocketsphinx_worker import Stretch
from tests.providers.ears import SAID, Piece, heard, kinds, sentence
from tests.sounds import chunks, noise, silence, speech


@pytest.fixture
async def sphinx() -> AsyncIterator[Pocketsphinx]:
    recognizer = Pocketsphinx()
    await recognizer.start()
    yield recognizer
    await recognizer.close()


async def test_understands_a_sentence_while_it_is_spoken(sphinx: Pocketsphinx) -> None:
    transcripts = await heard(sphinx, [*sentence(), Pause()])
    assert transcripts[-1].text == SAID
    assert len([each for each in transcripts if each.kind == "partial"]) > 5
    first, last = transcripts[-1].words[0], transcripts[-1].words[-1]
    assert first.start_ms == pytest.approx(300, abs=60)
    length_ms = 300 + len(speech(SAID)) / 16
    assert last.end_ms == pytest.approx(length_ms, abs=60)


async def test_pauses_inside_a_sentence_cost_no_words(sphinx: Pocketsphinx) -> None:
    pieces = sentence("in my last job i was responsible for the payment system of an online store")
    whole = (await heard(sphinx, pieces))[-1].text
    with_pauses = [
        each for n, piece in enumerate(pieces) for each in ([piece, Pause()] if n % 25 == 24 else [piece])
    ]
    assert (await heard(sphinx, with_pauses))[-1].text == whole


async def test_cuts_a_long_utterance_at_a_pause_and_joins_it(sphinx: Pocketsphinx) -> None:
    pieces: list[Piece] = []
    while len(pieces) * 0.02 < CUT_AFTER_S:
        pieces += [*sentence(), Pause()]
    sentences = pieces.count(Pause())
    transcripts = await heard(sphinx, [*pieces, *sentence(), Pause()])
    assert transcripts[-1].kind == "full"
    assert transcripts[-1].text == " ".join([SAID] * (sentences + 1))
    assert transcripts[-1].words[-8].start_ms > CUT_AFTER_S * 1000


@pytest.mark.parametrize("sound", [silence(1500), noise(1500, -50)], ids=["silence", "hiss"])
async def test_hears_no_words_in_silence(sphinx: Pocketsphinx, sound: np.ndarray) -> None:
    assert [each.text for each in await heard(sphinx, [*chunks(sound), Pause()])] == ["", ""]


async def test_knows_english_only(sphinx: Pocketsphinx) -> None:
    with pytest.raises(ProviderError, match="knows English") as raised:
        await heard(sphinx, sentence(), language="de")
    assert raised.value.code == "unsupported_language"


async def test_without_the_full_pass() -> None:
    settings = Settings(stt=SttSettings(pocketsphinx=PocketsphinxSettings(full_pass=False)))
    ears = plugin("stt", "pocketsphinx").create(settings)
    await ears.start()
    assert kinds(await heard(ears, [*sentence(), Pause()]), "partial") == ["final"]
    await ears.close()


async def test_a_call_made_before_the_start_waits_for_it() -> None:
    ears = Pocketsphinx()
    early = asyncio.create_task(heard(ears, sentence()))
    await ears.start()
    assert (await early)[-1].text == SAID
    await ears.close()


async def test_is_started_again_when_its_process_dies(sphinx: Pocketsphinx) -> None:
    await asyncio.to_thread(kill_all, [trunk()])
    assert (await heard(sphinx, sentence()))[-1].text == SAID


def trunk() -> psutil.Process:
    """The process that has the model."""
    (found,) = (
        each for each in psutil.Process().children() if "pipeline.stt.pocketsphinx_worker" in each.cmdline()
    )
    return found


def kill_all(processes: list[psutil.Process]) -> None:
    for process in processes:
        process.send_signal(signal.SIGKILL)
    psutil.wait_procs(processes, timeout=5)


class Counting:
    """In the decoder's place."""

    def __init__(self) -> None:
        self.chunks = 0

    def start_utt(self) -> None: ...

    def seg(self) -> None: ...

    def process_raw(self, *_: object, **__: object) -> None:
        self.chunks += 1


@pytest.mark.parametrize("stays", [True, False])
def test_nothing_is_decoded_for_somebody_who_has_left(stays: bool) -> None:
    ours, its = socket.socketpair()
    decoder = Counting()
    with ours, its:
        for chunk in sentence():
            sound = chunk.samples.tobytes()
            ours.sendall(FRAME.pack(b"A", len(sound)) + sound)
        ours.shutdown(socket.SHUT_WR) if stays else ours.close()
        Stretch(decoder, its, full_pass=False).run()
    assert decoder.chunks == (len(sentence()) if stays else 0)


def test_dies_with_its_server() -> None:
    program = (
        "import asyncio\n"
        "from pipeline.stt.pocketsphinx import Pocketsphinx\n"
        "async def main():\n"
        "    await Pocketsphinx().start()\n"
        "    print('up', flush=True)\n"
        "    await asyncio.Event().wait()\n"
        "asyncio.run(main())\n"
    )
    root = str(Path(__file__).parents[2])
    server = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": root}
    )
    assert server.stdout is not None
    assert server.stdout.readline() == b"up\n"
    children = psutil.Process(server.pid).children(recursive=True)
    assert children
    server.kill()
    server.wait(timeout=5)
    server.stdout.close()
    assert psutil.wait_procs(children, timeout=5)[1] == []
