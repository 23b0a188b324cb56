"""config.toml, the environment and the built-in defaults, in that order of weakness, to frozen settings.

Every setting is a section and a key. The environment overrides the file: VIVA_SERVER__PORT=9000 is
`port` of `[server]`, and one more `__` goes one table deeper. Secrets come from the environment alone; of
server keys only hashes are kept.
"""

from __future__ import annotations

import difflib
import json
import os
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_origin

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from pipeline import modes
from pipeline.coach.questions import bank
from pipeline.errors import ConfigError
from pipeline.settings import (
    CallSettings,
    ChainSettings,
    GateSettings,
    LlmSettings,
    Secrets,
    Section,
    Settings,
    SttSettings,
    ToolSettings,
    TtsSettings,
    TurnSettings,
)
from server.access.address import networks
from server.access.door import AuthSettings, LimitSettings, TlsSettings
from server.access.keys import ServerKey, parse_keys
from server.budget import BudgetSettings
from server.prices import PriceSettings
from server.transport.network import IceSettings

PREFIX = "VIVA_"
DEFAULT_PATH = Path("config.toml")
SHORTEST_SIGNING = 32  # characters
NAMED = 3  # a broken file gets at most so many complaints in its one line


class ServerSettings(Section):
    host: str = "127.0.0.1"
    port: int = Field(8080, ge=0, le=65_535)  # 0: any free one
    max_calls: int = Field(8, ge=1, le=1000)
    retry_after_s: int = Field(5, ge=1, le=3600)
    connect_timeout_s: float = Field(15.0, gt=0, le=120)
    consent_failures: int = Field(3, ge=1, le=10)
    consent_interval_s: float = Field(2.0, gt=0, le=30)
    greet_after_s: float = Field(3.0, ge=0, le=60)
    resume_within_s: float = Field(60.0, ge=0, le=3600)
    handover: str = ""  # path; "": conversations end with the process
    drain_s: float = Field(10.0, ge=0, le=3600)
    allowed_hosts: tuple[str, ...] = ()
    allowed_origins: tuple[str, ...] = ()
    trusted_proxies: tuple[str, ...] = ()  # addresses and networks whose X-Forwarded-For is believed
    worker: str = Field("local", pattern=r"^[a-z0-9]{1,32}$")
    log_level: str = Field("info", pattern="^(debug|info|warning|error)$")
    log_format: str = Field("text", pattern="^(text|json)$")


class FileAndEnvironment(BaseSettings):
    """The sections as they stand in config.toml, with the environment laid over them."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_nested_delimiter="__", env_ignore_empty=True, extra="forbid", frozen=True
    )

    server: ServerSettings = ServerSettings()
    auth: AuthSettings = AuthSettings()
    limits: LimitSettings = LimitSettings()
    tls: TlsSettings = TlsSettings()
    ice: IceSettings = IceSettings()
    prices: PriceSettings = PriceSettings()
    budget: BudgetSettings = BudgetSettings()
    call: CallSettings = CallSettings()
    gate: GateSettings = GateSettings()
    turns: TurnSettings = TurnSettings()
    stt: SttSettings = SttSettings()
    llm: LlmSettings = LlmSettings()
    tts: TtsSettings = TtsSettings()
    chain: ChainSettings = ChainSettings()
    tools: ToolSettings = ToolSettings()
    plugins: dict[str, dict[str, Any]] = Field(default_factory=dict)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,  # what the file says
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return env_settings, init_settings


class SecretsFromEnvironment(BaseSettings):
    """Under the names that the vendors' own tools use."""

    model_config = SettingsConfigDict(env_ignore_empty=True, extra="ignore")

    openai_api_key: SecretStr | None = None
    deepgram_api_key: SecretStr | None = None
    assemblyai_api_key: SecretStr | None = None
    elevenlabs_api_key: SecretStr | None = None
    openai_base_url: str | None = None


class KeysFromEnvironment(BaseSettings):
    """What the door is opened by: VIVA_API_KEYS and others, without a section, and never in the file."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_ignore_empty=True, extra="ignore")

    api_keys: SecretStr = SecretStr("")
    admin_keys: SecretStr = SecretStr("")
    signing_secret: SecretStr = SecretStr("")  # of client secrets; a new one, an old one
    turn_secret: SecretStr | None = None  # shared with the TURN servers


@dataclass(frozen=True, slots=True)
class Config:
    """All settings of one process."""

    server: ServerSettings
    call: CallSettings  # what a call starts with
    pipeline: Settings
    path: Path | None  # the file they came from; None: the built-in defaults
    auth: AuthSettings = field(default_factory=AuthSettings)
    limits: LimitSettings = field(default_factory=LimitSettings)
    tls: TlsSettings = field(default_factory=TlsSettings)
    keys: tuple[ServerKey, ...] = ()
    signing: tuple[SecretStr, ...] = ()  # the first signs client secrets, any of them checks
    ice: IceSettings = field(default_factory=IceSettings)
    turn_secret: SecretStr | None = None  # shared with the TURN servers
    prices: PriceSettings = field(default_factory=PriceSettings)
    budget: BudgetSettings = field(default_factory=BudgetSettings)


def load(path: str | os.PathLike[str] | None = None) -> Config:
    """Reads `path`, else VIVA_CONFIG, else ./config.toml if there is one, else takes the defaults.

    Raises ConfigError, in one line: the file, the key, what is wrong and what is allowed.
    """
    file = _path(path)
    table = _read(file) if file else {}
    _check_environment()
    try:
        given = FileAndEnvironment(**table)
    except ValidationError as error:
        raise ConfigError(_complaints(error, file)) from None
    except ValueError:  # SettingsError
        raise ConfigError(f"environment: {_not_json()}") from None
    _check_choices(given.call, file)
    secrets = Secrets.model_validate(SecretsFromEnvironment().model_dump())
    pipeline = Settings(
        gate=given.gate,
        turns=given.turns,
        stt=given.stt,
        llm=given.llm,
        tts=given.tts,
        chain=given.chain,
        tools=given.tools,
        plugins=given.plugins,
        secrets=secrets,
    )
    networks(given.server.trusted_proxies)
    keys, signing = _keys()
    return Config(
        given.server,
        given.call,
        pipeline,
        file,
        given.auth,
        given.limits,
        given.tls,
        keys,
        signing,
        given.ice,
        KeysFromEnvironment().turn_secret,
        given.prices,
        given.budget,
    )


def _keys() -> tuple[tuple[ServerKey, ...], tuple[SecretStr, ...]]:
    given = KeysFromEnvironment()
    keys = parse_keys("VIVA_API_KEYS", given.api_keys.get_secret_value(), "user")
    keys += parse_keys("VIVA_ADMIN_KEYS", given.admin_keys.get_secret_value(), "admin")
    if len({key.label for key in keys}) < len(keys):
        raise ConfigError("environment: two of VIVA_API_KEYS and VIVA_ADMIN_KEYS have one label")
    signing = [part.strip() for part in given.signing_secret.get_secret_value().split(",") if part.strip()]
    if any(len(secret) < SHORTEST_SIGNING for secret in signing):
        raise ConfigError(
            f"environment: VIVA_SIGNING_SECRET: it has at least {SHORTEST_SIGNING} characters; make one: "
            "openssl rand -hex 32"
        )
    return keys, tuple(map(SecretStr, signing))


def _path(path: str | os.PathLike[str] | None) -> Path | None:
    named = path or os.environ.get(f"{PREFIX}CONFIG")
    if named:
        return Path(named)
    return DEFAULT_PATH if DEFAULT_PATH.is_file() else None


def _read(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{file}: {(error.strerror or str(error)).lower()}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: not valid TOML: {error}") from None


def _check_environment() -> None:
    """pydantic-settings passes over what has our prefix and no section; a typo there is to be named."""
    sections = FileAndEnvironment.model_fields
    whole = {f"{PREFIX}CONFIG", *(PREFIX + name.upper() for name in KeysFromEnvironment.model_fields)}
    for name in os.environ:
        if not name.upper().startswith(PREFIX) or name.upper() in whole:
            continue
        section = name[len(PREFIX) :].lower().split("__")[0]
        if section not in sections or "__" not in name:
            raise ConfigError(
                f"environment: {name}: no such setting; it is {PREFIX}SECTION__KEY with a section of "
                f"{', '.join(sections)}"
            )


def _not_json() -> str:
    """The variable of a list or a table that is not JSON: pydantic-settings names only its section."""
    for name, value in os.environ.items():
        if not name.upper().startswith(PREFIX) or not value:
            continue
        model: Any = FileAndEnvironment
        for key in name[len(PREFIX) :].lower().split("__"):
            fields = getattr(model, "model_fields", {})
            model = fields[key].annotation if key in fields else None
        if get_origin(model) is tuple or hasattr(model, "model_fields"):
            try:
                json.loads(value)
            except ValueError:
                return f'{name} = {value!r}: a list is written as JSON, e.g. ["one", "two"], a table too'
    return "a list or a table is not JSON"


def _check_choices(call: CallSettings, file: Path | None) -> None:
    """What the data files offer, and the types therefore cannot name. "" and None are the mode's own."""
    if call.persona and call.persona not in modes.load().personas:
        raise ConfigError(_unknown("persona", call.persona, modes.load().personas, file))
    if call.topic is not None and call.topic not in bank().topics:
        raise ConfigError(_unknown("topic", call.topic, bank().topics, file))


def _unknown(key: str, value: str, known: Iterable[str], file: Path | None) -> str:
    return f"{_place(['call', key], file)} = {value!r}: there is {', '.join(known)}"


def _complaints(error: ValidationError, file: Path | None) -> str:
    problems = [_complaint(detail, file) for detail in error.errors()[:NAMED]]
    more = error.error_count() - len(problems)
    return "; ".join(problems) + (f"; and {more} more" if more else "")


def _complaint(detail: Any, file: Path | None) -> str:
    keys = [str(part) for part in detail["loc"]]
    place = _place(keys, file)
    if detail["type"] == "extra_forbidden":
        known = _keys_beside(keys)
        near = difflib.get_close_matches(keys[-1], known, n=1)
        what = f'did you mean "{near[0]}"?' if near else f"there is {', '.join(known)}"
        return f"{place}: no such setting; {what}"
    message = detail["msg"][:1].lower() + detail["msg"][1:]
    return f"{place} = {detail['input']!r}: {message}"


def _place(keys: list[str], file: Path | None) -> str:
    """The environment's name if that is where the value came from, else file and key."""
    for depth in range(len(keys), 1, -1):
        name = PREFIX + "__".join(keys[:depth])
        for given in os.environ:
            if given.upper() == name.upper():
                return f"environment: {given}"
    return f"{file or 'defaults'}: {'.'.join(keys)}"


def _keys_beside(keys: list[str]) -> list[str]:
    model: Any = FileAndEnvironment
    for key in keys[:-1]:
        model = model.model_fields[key].annotation
    return list(model.model_fields)
