"""Ears, mind and voice of somebody else's distribution: found by name, examined, and heard in a turn."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.errors import ConfigError
from pipeline.settings import Settings
from server.contract import contract, subject
from tests.contract.parrot_server import KEY, ParrotServer
from tests.distribution import install
from tests.environment import bare

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
ENTRY_POINTS = "".join(
    f"[viva.{stage}]\nparrot = viva_parrot:{part}\n"
    for stage, part in {"stt": "ears", "llm": "mind", "tts": "voice"}.items()
)
WITHIN_S = 60.0


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder on the path of what is started, with the distribution in it."""
    server = (HERE / "parrot_server.py").read_text(encoding="utf-8")
    modules = {
        "viva_parrot.py": (HERE / "parrot.py").read_text(encoding="utf-8"),
        "viva_parrot_server.py": server,
        "viva_hoarse_server.py": server.replace('"word": word', '"words": word'),
    }
    install(tmp_path, "viva-parrot", modules, ENTRY_POINTS)
    return tmp_path


async def viva(site: Path, *arguments: str) -> tuple[int | None, list[str]]:
    """Exit status and lines of `python -m server`."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "server", *arguments),
        cwd=site,
        env=bare(PYTHONPATH=os.pathsep.join([str(site), str(ROOT)])),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(WITHIN_S):
            told, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return process.returncode, told.decode().splitlines()


async def test_one_command_says_that_it_keeps_the_contract(site: Path) -> None:
    status, lines = await viva(
        site, "--contract", "tts:parrot", "--vendor", "viva_parrot_server:ParrotServer"
    )
    assert status == 0, lines
    assert "ok              a refused key is auth" in lines
    assert "not applicable  a killed process costs one piece of work: it has no process of its own" in lines
    assert lines[-1].endswith("2 not applicable")


@pytest.fixture
def here(site: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The distribution in this very process."""
    monkeypatch.syspath_prepend(site)
    yield
    for module in [name for name in sys.modules if name.startswith("viva_")]:
        del sys.modules[module]


@pytest.mark.usefixtures("here")
async def test_it_says_where_the_contract_is_not_kept(capsys: pytest.CaptureFixture[str]) -> None:
    """Its stand-in speaks another dialect: nothing that it says is understood."""
    status = await contract(Settings(), "llm:parrot", "viva_hoarse_server:ParrotServer")
    lines = capsys.readouterr().out.splitlines()
    assert status == 1
    broken = "llm parrot: said something that is no word (“bad_response”)"
    assert f"failed          it answers what was said: {broken}" in lines
    assert not any(KEY in line for line in lines)


@pytest.mark.usefixtures("here")
async def test_it_says_what_the_plug_in_lacks(capsys: pytest.CaptureFixture[str]) -> None:
    assert await contract(Settings(), "stt:parrot", None) == 1
    told = capsys.readouterr().out.splitlines()[-2]
    assert told == "failed          it is created: it lacks something here: set address in [plugins.parrot]"


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("which", "vendor", "words"),
    [
        ("parrot", None, "write stt:, llm: or tts: and a plug-in's name"),
        ("tts:cockatoo", None, '"cockatoo": there is'),
        ("tts:viva_cockatoo.voice", None, "No module named 'viva_cockatoo'"),
        ("tts:parrot", "viva_parrot_server:Owl", "has no attribute 'Owl'"),
    ],
)
def test_what_cannot_be_examined_is_said(which: str, vendor: str | None, words: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(words)):
        subject(Settings(), which, vendor)


async def test_it_serves_a_turn(site: Path) -> None:
    async with ParrotServer() as vendor:
        stages = "".join(f'[{stage}]\nprovider = "parrot"\n' for stage in ("stt", "llm", "tts"))
        plug_in = f'[plugins.parrot]\naddress = "{vendor.address}"\nkey = "{KEY}"\n'
        (site / "config.toml").write_text(stages + plug_in)
        status, lines = await viva(site, "--check")
    assert status == 0, lines
    said = "we moved the bridge to a new river last summer indeed"
    asked = [seen.question for seen in vendor.seen]
    assert asked[1:] == ["what was said?", said, said], "it was heard, answered, and that was spoken"
    assert {seen.outcome for seen in vendor.seen} == {"served"}
