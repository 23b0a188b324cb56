"""config.toml, the environment, and what is said when one of them is wrong."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from pipeline.errors import ConfigError
from server.config import FileAndEnvironment, load
from tests.environment import OURS

SHIPPED = Path(__file__).parents[2] / "config.toml"


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No variable of this machine and no config.toml of the repository."""
    import os

    for name in list(os.environ):
        if name.startswith(OURS):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    return path


def flat(table: dict[str, Any], before: str = "") -> dict[str, Any]:
    out: dict[str, Any] = {}
    for key, value in table.items():
        out |= flat(value, f"{before}{key}.") if isinstance(value, dict) else {f"{before}{key}": value}
    return out


def commented_out(text: str) -> set[str]:
    """Keys of lines such as `# topic = "coding"`, with their section."""
    keys, section = set(), ""
    for line in text.splitlines():
        if head := re.match(r"\[([\w.]+)\]", line):
            section = head[1]
        elif key := re.match(r"# (\w+) = ", line):
            keys.add(f"{section}.{key[1]}")
    return keys


def test_the_shipped_file_has_every_key_with_the_default_of_the_code() -> None:
    shipped = flat(tomllib.loads(SHIPPED.read_text()))
    defaults = flat(FileAndEnvironment().model_dump(mode="json"))
    unset = {key for key, value in defaults.items() if value is None}
    assert commented_out(SHIPPED.read_text()) == unset
    assert shipped == {key: value for key, value in defaults.items() if key not in unset}


def test_every_time_and_level_of_the_shipped_file_has_its_unit_in_words() -> None:
    units = {"_ms": "ms", "_s": "s", "_db": "dB"}
    section = ""
    for line in SHIPPED.read_text().splitlines():
        section = line if line.startswith("[") else section
        key = re.match(r"(\w+) = ", line)
        unit = next((unit for end, unit in units.items() if key and key[1].endswith(end)), None)
        if unit:
            comments = [text.partition("#")[2] for text in (line, section)]
            assert any(re.search(rf"\b{unit}\b", text) for text in comments), line


def test_without_any_file_the_defaults_hold(tmp_path: Path) -> None:
    config = load()
    assert config.path is None
    assert (config.server.host, config.server.port, config.server.max_calls) == ("127.0.0.1", 8080, 8)
    assert config.pipeline.llm.openai.model == "gpt-4o-mini"
    assert config.pipeline.tts.openai.model == "gpt-4o-mini-tts"
    assert config.pipeline.stt.openai.model == "whisper-1"


def test_a_config_in_the_working_folder_is_found(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("[server]\nport = 9001\n")
    assert load().server.port == 9001


def test_the_variable_names_a_file_and_an_argument_outweighs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VIVA_CONFIG", str(written(tmp_path, "[server]\nport = 9002\n")))
    assert load().server.port == 9002
    other = tmp_path / "other.toml"
    other.write_text("[server]\nport = 9003\n")
    assert load(other).server.port == 9003


def test_the_environment_overrides_one_key_and_leaves_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(
        tmp_path,
        "[server]\nport = 9001\nmax_calls = 3\n[turns.chat]\ncomplete_ms = 300\n"
        "neutral_ms = 800\nhanging_ms = 1900\n",
    )
    monkeypatch.setenv("VIVA_SERVER__PORT", "9009")
    monkeypatch.setenv("VIVA_TURNS__CHAT__NEUTRAL_MS", "900")
    monkeypatch.setenv("VIVA_TURNS__SPECULATE", "false")
    monkeypatch.setenv("VIVA_SERVER__ALLOWED_HOSTS", '["viva.example"]')
    config = load(path)
    assert (config.server.port, config.server.max_calls) == (9009, 3)
    assert config.server.allowed_hosts == ("viva.example",)
    chat = config.pipeline.turns.chat
    assert (chat.complete_ms, chat.neutral_ms, chat.hanging_ms) == (300, 900, 1900)
    assert config.pipeline.turns.speculate is False


def test_one_patience_alone_can_be_set_in_the_file(tmp_path: Path) -> None:
    chat = load(written(tmp_path, "[turns.chat]\ncomplete_ms = 300\n")).pipeline.turns.chat
    assert (chat.complete_ms, chat.neutral_ms, chat.hanging_ms) == (300, 700, 1800)


def test_secrets_come_from_the_environment_and_are_never_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:1/v1")
    config = load()
    assert config.pipeline.secrets.openai_api_key is not None
    assert config.pipeline.secrets.openai_api_key.get_secret_value() == "sk-very-secret"
    assert config.pipeline.secrets.openai_base_url == "http://127.0.0.1:1/v1"
    assert "very-secret" not in f"{config} {config.pipeline!r} {config.pipeline.model_dump_json()}"


def test_an_empty_secret_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "")
    assert load().pipeline.secrets.openai_api_key is None


def test_keys_come_from_the_environment_and_are_kept_as_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIVA_API_KEYS", f"school={'k' * 24}")
    monkeypatch.setenv("VIVA_ADMIN_KEYS", f"ops={'a' * 24}")
    monkeypatch.setenv("VIVA_SIGNING_SECRET", f"{'n' * 32}, {'o' * 32}")
    config = load()
    assert [(key.label, key.role) for key in config.keys] == [("school", "user"), ("ops", "admin")]
    assert len(config.signing) == 2
    assert not any(secret * 24 in repr(config) for secret in "kano")


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("VIVA_API_KEYS", "k" * 24, "label=key"),
        ("VIVA_API_KEYS", "school=secret", "too easy to guess"),
        ("VIVA_ADMIN_KEYS", f"a={'k' * 24}, a={'l' * 24}", "one label"),
        ("VIVA_SIGNING_SECRET", "secret", "at least 32 characters"),
        ("VIVA_SERVER__TRUSTED_PROXIES", '["nginx"]', "trusted_proxies"),
        ("VIVA_AUTH__OIDC_ALGORITHMS", '["HS256"]', "OIDC_ALGORITHMS"),
        ("VIVA_AUTH__OIDC_ALGORITHMS", '["none"]', "OIDC_ALGORITHMS"),
    ],
)
def test_what_is_wrong_at_the_door_is_said_without_the_secret(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, said: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match=said) as caught:
        load()
    assert "secret" not in str(caught.value).replace("VIVA_SIGNING_SECRET", "")
    assert "k" * 24 not in str(caught.value)


def test_a_secret_in_the_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="secrets: no such setting"):
        load(written(tmp_path, '[secrets]\nopenai_api_key = "sk-x"\n'))


def test_settings_are_frozen() -> None:
    config = load()
    with pytest.raises(ValueError, match="frozen"):
        config.server.port = 1  # type: ignore[misc]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[server]\nprot = 1\n", 'mine.toml: server.prot: no such setting; did you mean "port"?'),
        ("[sever]\nport = 1\n", 'mine.toml: sever: no such setting; did you mean "server"?'),
        ("[server]\nport = 70000\n", "server.port = 70000: input should be less than or equal to 65535"),
        ("[server]\nport = 'x'\n", "server.port = 'x': input should be a valid integer"),
        ("[call]\nlanguage = 'xx'\n", "call.language = 'xx': input should be 'en', 'es'"),
        ("[turns.chat]\ncomplete_ms = 3\n", "turns.chat.complete_ms = 3: input should be greater"),
        ("server = 3\n", "server = 3: input should be"),
        ("[server\n", "mine.toml: not valid TOML: "),
        ("[call]\npersona = 'bob'\n", "mine.toml: call.persona = 'bob': there is vera, alex, mei, tomas"),
        ("[call]\ntopic = 'cooking'\n", "mine.toml: call.topic = 'cooking': there is system_design, "),
    ],
)
def test_what_is_wrong_in_the_file_is_named_with_its_place(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(written(tmp_path, text))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("VIVA_SERVER__PORT", "x", "environment: VIVA_SERVER__PORT = 'x': input should be a valid integer"),
        ("VIVA_SERVER__PROT", "1", "environment: VIVA_SERVER__PROT: no such setting"),
        ("VIVA_PORT", "1", "environment: VIVA_PORT: no such setting; it is VIVA_SECTION__KEY"),
        ("VIVA_SERVER__ALLOWED_HOSTS", "a,b", "environment: VIVA_SERVER__ALLOWED_HOSTS = 'a,b': a list is"),
        ("VIVA_TURNS__CHAT", "{", "environment: VIVA_TURNS__CHAT = '{': "),
        ("VIVA_CALL__PERSONA", "bob", "environment: VIVA_CALL__PERSONA = 'bob': there is vera"),
    ],
)
def test_what_is_wrong_in_the_environment_is_named(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, said: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError) as caught:
        load()
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.toml: no such file"):
        load(tmp_path / "nowhere.toml")


def test_every_section_is_frozen_and_forbids_what_it_does_not_know() -> None:
    def sections(model: type[BaseModel]) -> list[type[BaseModel]]:
        below = [field.annotation for field in model.model_fields.values()]
        models = [kind for kind in below if isinstance(kind, type) and issubclass(kind, BaseModel)]
        return models + [deeper for kind in models for deeper in sections(kind)]

    found = sections(FileAndEnvironment)
    assert len(found) > 15
    for section in found:
        assert section.model_config.get("frozen"), section
        assert section.model_config.get("extra") == "forbid", section
