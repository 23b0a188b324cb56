"""docs/providers.md says what is, and its plug-in of one's own is one: installed, examined, and talked to."""

from __future__ import annotations

import os
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest

from pipeline.choice import BUILT_IN, choose, plugin
from pipeline.contract.bench import Subject
from pipeline.contract.suite import examine
from pipeline.errors import Stage
from pipeline.settings import Language, Settings
from server.config import load
from tests.distribution import install
from tests.environment import OURS
from tests.real.served import caller, served

DOCUMENT = (Path(__file__).parents[2] / "docs" / "providers.md").read_text(encoding="utf-8")


def block(first_line: str) -> str:
    """The example that begins with that line."""
    found = re.search(rf"```\w+\n{re.escape(first_line)}\n(.*?)```", DOCUMENT, re.DOTALL)
    assert found, first_line
    return found[1]


def rows() -> Iterator[tuple[Stage, str, str, str]]:
    """Stage, name, needs and languages of the table of plug-ins."""
    stage = ""
    for line in re.findall(r"^\| (?:`(?:stt|llm|tts)` )?\| `\w+` \|.*", DOCUMENT, re.MULTILINE):
        cells = [cell.strip() for cell in line.split("|")[1:-1]]
        stage = cells[0].strip("`") or stage
        yield stage, cells[1].strip("`"), cells[2], cells[3]  # type: ignore[misc]


def test_the_table_has_all_plug_ins_in_the_order_of_auto() -> None:
    listed: dict[str, list[str]] = {stage: [] for stage in BUILT_IN}
    for stage, name, _, _ in rows():
        listed[stage].append(name)
    assert listed == {stage: list(names) for stage, names in BUILT_IN.items()}


@pytest.mark.parametrize(("stage", "name", "needs", "languages"), list(rows()))
def test_the_table_says_what_each_needs_and_knows(
    stage: Stage, name: str, needs: str, languages: str
) -> None:
    lacks = plugin(stage, name).missing(Settings()) or ""
    assert bool(lacks) == (needs != "nothing")
    for setting in re.findall(r"`([\w.]+)`", needs):
        assert setting in lacks
    if needs == "nothing" and stage != "llm":
        provider = plugin(stage, name).create(Settings())
        known = {language for language in get_args(Language) if provider.knows(language)}
        assert known == ({"en"} if languages == "English" else set(get_args(Language)))


@pytest.fixture
def parrot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    """Installed as the document has it, in a server that is configured as it says."""
    told = tomllib.loads(block("# pyproject.toml"))
    announced = told["project"]["entry-points"]["viva.llm"]
    points = "\n".join(["[viva.llm]", *(f"{name} = {value}" for name, value in announced.items())])
    install(
        tmp_path,
        told["project"]["name"],
        {"parrot.py": block("# parrot.py")},
        points,
        told["project"]["version"],
    )
    monkeypatch.syspath_prepend(tmp_path)
    for name in [name for name in os.environ if name.startswith(OURS)]:
        monkeypatch.delenv(name)
    (tmp_path / "config.toml").write_text(block("# config.toml"))
    yield load(tmp_path / "config.toml").pipeline
    sys.modules.pop("parrot", None)


@pytest.mark.real
async def test_the_plug_in_of_the_document_answers_in_a_real_call(parrot: Settings) -> None:
    chosen = choose("llm", parrot)
    assert str(chosen).startswith("parrot: Polly, who repeats everything (named in the configuration); then")
    async with (
        served(mind=chosen.provider, call={"greet": False}, settings=parrot) as server,
        caller(server) as one,
    ):
        await one.until("session.created")
        content = [{"type": "input_text", "text": "Pieces of eight"}]
        one.send("conversation.item.create", item={"type": "message", "role": "user", "content": content})
        one.send("response.create")
        done = await one.until("response.done")
    assert done["response"]["status"] == "completed"
    assert done["response"]["output"][0]["content"][0]["transcript"].strip() == "Pieces of eight"


@pytest.mark.real
async def test_the_plug_in_of_the_document_keeps_the_contract(parrot: Settings) -> None:
    subject = Subject("llm", plugin("llm", "parrot"), parrot, None, "parrot")
    wrong = [result async for result in examine(subject) if result.outcome == "failed"]
    assert not wrong
