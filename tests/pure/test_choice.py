"""Which plug-in a stage takes: the best there is, a named one, several in turn, one that others wrote."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.choice import BUILT_IN, Candidate, Chosen, candidates, choose, plugin
from pipeline.errors import ConfigError, Stage
from pipeline.phrase_cache import Remembering
from pipeline.settings import FasterWhisperSettings, LlmSettings, LocalServer, Secrets, Settings, SttSettings
from server.config import load
from tests.distribution import install
from tests.environment import OURS

STAGES: tuple[Stage, ...] = ("stt", "llm", "tts")
ROOT = Path(__file__).parents[2]
KEY = Secrets(openai_api_key="sk-very-secret")

PARROT = """
def missing(settings):
    return None if "name" in settings.plugins.get("parrot", {}) else "set name in [plugins.parrot]"

def create(settings):
    return Parrot(settings.plugins["parrot"]["name"])

class Parrot:
    name = "parrot"
    wants_full = False

    def __init__(self, name):
        self.detail = name

    async def start(self): ...
    async def close(self): ...
    async def reply(self, messages, options):
        yield messages[-1].text
"""


def llm(*names: str, secrets: Secrets | None = None, **plugins: Any) -> Settings:
    provider = names[0] if len(names) == 1 else names
    return Settings(llm=LlmSettings(provider=provider), secrets=secrets or Secrets(), plugins=plugins)


def named(chosen: Chosen) -> list[str]:
    return [link.name for link in chosen.each]


# ------------------------------------------------------------------ by itself


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(OURS):
            monkeypatch.delenv(name)


@pytest.mark.parametrize("stage", STAGES)
def test_without_anything_the_embedded_one_is_taken_and_all_others_would_be_better(stage: Stage) -> None:
    *others, embedded = BUILT_IN[stage]
    chosen = choose(stage, Settings())
    assert (chosen.name, chosen.why, chosen.links) == (embedded, "embedded", ())
    assert chosen.better.startswith(f"{others[0]}: ")
    for name in others:
        assert f"{name}: {plugin(stage, name).missing(Settings())}" in chosen.better
    assert str(chosen) == f"{embedded}: {chosen.provider.detail} (embedded). Better: {chosen.better}"


def test_a_detail_that_is_a_sentence_ends_with_one_full_stop() -> None:
    found = LocalServer(kind="Ollama", port=11434, models=("llama3.2",))
    line = str(choose("llm", Settings(local_servers=(found,))))
    assert "; then scripted: Scripted interviewer. Not a language model. Better: openai: " in line


@pytest.mark.parametrize("stage", STAGES)
def test_with_a_key_the_embedded_one_stands_in_for_the_vendor(stage: Stage) -> None:
    chosen = choose(stage, Settings(secrets=KEY))
    assert named(chosen) == ["openai", BUILT_IN[stage][-1]]
    assert (chosen.name, chosen.why) == ("openai", "the best that is there")
    assert [link.why for link in chosen.links] == ["the best that is there", "if those before it fail"]
    first, last = (link.provider for link in chosen.links)
    assert str(chosen).startswith(
        f"openai: {first.detail} (the best that is there); then {BUILT_IN[stage][-1]}: {last.detail}"
    )
    assert "openai: " not in chosen.better
    assert "sk-very-secret" not in f"{chosen!r} {chosen}"


def test_only_of_a_hosted_voice_the_fixed_phrases_are_kept() -> None:
    hosted, embedded = (link.provider for link in choose("tts", Settings(secrets=KEY)).links)
    assert isinstance(hosted, Remembering)
    assert not isinstance(embedded, Remembering)


def test_only_what_is_preferred_to_the_one_taken_is_called_better(tmp_path: Path) -> None:
    (tmp_path / "model.bin").touch()
    own = SttSettings(faster_whisper=FasterWhisperSettings(model=str(tmp_path)))
    chosen = choose("stt", Settings(stt=own))
    assert named(chosen) == ["faster_whisper", "pocketsphinx"]
    assert "openai: " in chosen.better
    assert "pocketsphinx" not in chosen.better


WITHOUT_EXTRAS = """
import sys
from importlib.machinery import PathFinder

class Hiding(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        hidden = ("assemblyai", "deepgram", "elevenlabs", "onnx", "piper", "websockets")
        return None if name.split(".")[0] in hidden else super().find_spec(name, path, target)

sys.meta_path = [Hiding if finder is PathFinder else finder for finder in sys.meta_path]
from pipeline.choice import choose
from pipeline.settings import Settings
import server.check, server.contract
for stage in ("stt", "llm", "tts"):
    print(choose(stage, Settings()))
"""


def test_without_what_only_some_plug_ins_need_the_others_run_and_that_is_what_those_lack() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", WITHOUT_EXTRAS],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    ears, mind, voice = ran.stdout.splitlines()
    for line, name in ((ears, "pocketsphinx"), (mind, "scripted"), (voice, "espeak")):
        assert line.startswith(f"{name}: ")
    for line, extra in ((ears, "deepgram"), (ears, "assemblyai"), (voice, "elevenlabs"), (voice, "piper")):
        assert re.search(rf"{extra}: set [^;]* and pip install 'viva\[{extra}\]'", line), (extra, line)


# ------------------------------------------------------------------ as it is named


def test_a_named_one_is_taken_alone() -> None:
    chosen = choose("llm", llm("scripted", secrets=KEY))
    assert (named(chosen), chosen.why, chosen.better) == (["scripted"], "named in the configuration", "")


def test_several_are_taken_in_the_order_in_which_they_are_named() -> None:
    chosen = choose("llm", llm("scripted", "openai", secrets=KEY))
    assert named(chosen) == ["scripted", "openai"]
    assert chosen.name == chosen.provider.name == "scripted"


def test_a_named_one_that_lacks_something_is_refused_also_among_others() -> None:
    for names in (("openai",), ("openai", "scripted"), ("scripted", "openai")):
        with pytest.raises(ConfigError, match=r'llm\.provider = "openai": set OPENAI_API_KEY'):
            choose("llm", llm(*names))


def test_a_name_that_nobody_has_is_refused_with_those_there_are() -> None:
    with pytest.raises(ConfigError, match=r'"gpt": there is openai, local, scripted or "auto"'):
        choose("llm", llm("scripted", "gpt"))


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("[]", "a list of names"),
        ('""', "a list of names"),
        ('["openai", ""]', "a list of names"),
        ('["openai", 3]', "a list of names"),
        ("3", "a list of names"),
        ("{}", "a list of names"),
        ('["openai", "openai"]', "this names one twice"),
        ('["auto", "openai"]', "makes its own"),
    ],
)
def test_names_that_make_no_choice_are_refused_with_their_place(
    tmp_path: Path, value: str, said: str
) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(f"[tts]\nprovider = {value}\n")
    with pytest.raises(ConfigError, match=r"^.*mine\.toml: tts\.provider = .*" + said) as caught:
        load(path)
    assert str(caught.value).count("tts.provider") == 1


def test_names_come_from_the_file_and_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('[stt]\nprovider = ["openai", "pocketsphinx"]\n[plugins.parrot]\nname = "Polly"\n')
    monkeypatch.setenv("VIVA_TTS__PROVIDER", '["openai", "espeak"]')
    monkeypatch.setenv("VIVA_LLM__PROVIDER", "scripted")
    monkeypatch.setenv("VIVA_PLUGINS__PARROT__COLOUR", "green")
    pipeline = load(path).pipeline
    assert pipeline.stt.provider == ("openai", "pocketsphinx")
    assert pipeline.tts.provider == ("openai", "espeak")
    assert pipeline.llm.provider == "scripted"
    assert pipeline.plugins == {"parrot": {"name": "Polly", "colour": "green"}}


# ------------------------------------------------------------------ others' plug-ins


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Puts one module of somebody else's on the path, announced as a mind."""
    before = set(sys.modules)

    def put(source: str = PARROT, entry: str = "parrot = parrot_plugin") -> None:
        install(
            tmp_path, "parrot-mind", {"parrot_plugin.py": source}, f"[viva.llm]\n{entry}\n", version="0.3"
        )
        monkeypatch.syspath_prepend(tmp_path)

    yield put
    for name in set(sys.modules) - before:
        if name == "parrot_plugin":
            del sys.modules[name]


def test_a_plug_in_of_another_distribution_is_taken_by_its_name_and_reads_its_own_table(
    installed: Callable[..., None],
) -> None:
    installed()
    chosen = choose("llm", llm("parrot", "scripted", parrot={"name": "Polly"}))
    assert str(chosen).startswith("parrot: Polly (named in the configuration); then scripted: ")
    with pytest.raises(ConfigError, match=r'"parrot": set name in \[plugins\.parrot\]'):
        choose("llm", llm("parrot"))


def test_an_object_of_a_module_does_as_well(installed: Callable[..., None]) -> None:
    held = "\nfrom types import SimpleNamespace\nheld = SimpleNamespace(missing=missing, create=create)\n"
    installed(PARROT + held, "parrot = parrot_plugin:held")
    assert named(choose("llm", llm("parrot", parrot={"name": "Polly"}))) == ["parrot"]


def test_nobody_is_heard_by_a_plug_in_only_because_it_is_installed(installed: Callable[..., None]) -> None:
    installed()
    assert named(choose("llm", llm("auto", parrot={"name": "Polly"}))) == ["scripted"]
    there = list(candidates("llm", llm("auto", parrot={"name": "Polly"})))
    assert there[-1] == Candidate("llm", "parrot", None, "parrot-mind 0.3")
    assert [one.name for one in there[:-1]] == list(BUILT_IN["llm"])


def test_a_name_of_ours_stays_ours(installed: Callable[..., None]) -> None:
    installed(entry="scripted = parrot_plugin")
    assert choose("llm", llm("scripted")).provider.detail.startswith("Scripted interviewer")
    assert [one.name for one in candidates("llm", Settings())] == list(BUILT_IN["llm"])


BROKEN = [  # source, what is announced, what is said of it
    ("import nothing_of_that_name", "parrot_plugin", "cannot be imported: ModuleNotFoundError: No module"),
    ("def missing(:", "parrot_plugin", "cannot be imported: SyntaxError"),
    ("1 / 0", "parrot_plugin", "cannot be imported: ZeroDivisionError"),
    (PARROT, "parrot_plugin:Polly", "cannot be imported: AttributeError"),
    (PARROT.replace("def missing", "def lacks"), "parrot_plugin", r"has no function missing\(settings\)"),
    (PARROT.replace("def create", "def made"), "parrot_plugin", r"has no function create\(settings\)"),
    (
        PARROT.replace("return None if", "return None + 1 if"),
        "parrot_plugin",
        r"missing\(\) failed: TypeError",
    ),
]
BROKEN_WHEN_TAKEN = [
    (PARROT.replace('["name"])', '["age"])'), "parrot_plugin", r"create\(\) failed: KeyError: 'age'"),
    (PARROT.replace("reply", "answer"), "parrot_plugin", r"create\(\) gave a Parrot without reply"),
    (PARROT.replace("def close", "def stop"), "parrot_plugin", r"create\(\) gave a Parrot without close"),
]


@pytest.mark.parametrize(("source", "entry", "said"), [*BROKEN, *BROKEN_WHEN_TAKEN])
def test_a_broken_one_is_refused_with_the_name_of_its_distribution(
    installed: Callable[..., None], source: str, entry: str, said: str
) -> None:
    installed(source, f"parrot = {entry}")
    with pytest.raises(ConfigError, match=rf'"parrot" of parrot-mind 0\.3 \({entry}\) {said}'):
        choose("llm", llm("parrot", parrot={"name": "Polly"}))


@pytest.mark.parametrize(("source", "entry", "said"), BROKEN)
def test_a_broken_one_is_listed_as_such_and_stops_nobody_who_did_not_name_it(
    installed: Callable[..., None], source: str, entry: str, said: str
) -> None:
    installed(source, f"parrot = {entry}")
    settings = llm("auto", parrot={"name": "Polly"})
    assert named(choose("llm", settings)) == ["scripted"]
    last = list(candidates("llm", settings))[-1]
    assert re.search(said, last.lacks or "")
