"""Which plug-in does the work of a stage: what the configuration names, or the best that is there.

Plug-ins are the files of `pipeline/<stage>/`, and what other distributions announce as entry points of the
groups `viva.stt`, `viva.llm` and `viva.tts`: a module, or any object, with `missing` and `create`.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from pipeline.chain import chained
from pipeline.errors import ConfigError, Stage
from pipeline.llm import local
from pipeline.llm.local_servers import discover
from pipeline.phrase_cache import kept
from pipeline.settings import Settings

AUTO = "auto"
BUILT_IN: Mapping[Stage, tuple[str, ...]] = {  # in the order in which "auto" prefers them
    "stt": ("deepgram", "assemblyai", "openai", "faster_whisper", "pocketsphinx"),
    "llm": ("openai", "local", "scripted"),
    "tts": ("elevenlabs", "openai", "piper", "espeak"),
}
UNHURRIED_MS = 3000  # for servers to answer when nobody waits for them
WORK: Mapping[Stage, str] = {"stt": "transcribe", "llm": "reply", "tts": "speak"}  # what a provider does


@dataclass(frozen=True, slots=True)
class Candidate:
    """A plug-in that could be taken."""

    stage: Stage
    name: str
    lacks: str | None  # to run here, in words; None: nothing
    source: str = ""  # name and version of the distribution that it comes from; "": this one


@dataclass(frozen=True, slots=True)
class Chosen:
    """Which plug-in a stage took, and why, for the start-up lines and the page."""

    stage: Stage
    name: str
    why: str
    provider: Any = field(repr=False)
    better: str = ""  # what is preferred to it, and what that lacks; "": nothing is
    links: tuple[Chosen, ...] = ()  # of a chain, the first one first; then `provider` is the chain

    @property
    def each(self) -> tuple[Chosen, ...]:
        """The links of a chain, or the only one there is."""
        return self.links or (self,)

    def __str__(self) -> str:
        """One line, for a person."""
        first, *others = (f"{link.name}: {link.provider.detail}" for link in self.each)
        line = "; then ".join([f"{first} ({self.why})", *others])
        return f"{line.rstrip('.')}. Better: {self.better}" if self.better else line


async def discovered(settings: Settings, own_port: int = 0) -> Settings:
    """With the servers that run on this machine, where the choice may fall on one, in `llm.local.within_ms`.

    Nothing else looks for them: what is created depends on the settings alone.

    Args:
        own_port: where this process itself serves, and nobody is to be looked for.
    """
    llm = settings.llm
    if llm.provider != AUTO and local.NAME not in (
        [llm.provider] if isinstance(llm.provider, str) else llm.provider
    ):
        return settings
    ports = tuple(port for port in llm.local.ports if port != own_port)
    llm = llm.model_copy(update={"local": llm.local.model_copy(update={"ports": ports})})
    return settings.model_copy(update={"llm": llm, "local_servers": await discover(llm.local)})


async def come_since(chosen: Chosen, settings: Settings) -> Chosen | None:
    """What the mind's stage would be now that servers may have come to this machine, or gone; None: the same.

    One that is at work is not left for another: nothing is looked for while it answers."""
    taken = next((link for link in chosen.each if link.name == local.NAME), None)
    troubles = getattr(chosen.provider, "trouble", {})
    if settings.llm.provider != AUTO or (taken and local.NAME not in troubles):
        return None
    found = await discover(settings.llm.local.model_copy(update={"within_ms": UNHURRIED_MS}))
    settings = settings.model_copy(update={"local_servers": found})
    if local.missing(settings) or (taken and taken.provider.is_among(found)):
        return None
    return choose("llm", settings)


def plugin(stage: Stage, name: str) -> Any:
    """What has `missing` and `create`. Raises ConfigError with the names there are."""
    if name in BUILT_IN[stage]:
        return importlib.import_module(f"pipeline.{stage}.{name}")
    foreign = _foreign(stage)
    if name not in foreign:
        known = ", ".join([*BUILT_IN[stage], *foreign])
        raise ConfigError(f'{stage}.provider = "{name}": there is {known} or "{AUTO}"')
    entry = foreign[name]
    try:
        loaded = entry.load()
    except Exception as error:
        raise _broken(stage, entry, f"cannot be imported: {_words(error)}") from error
    for function in ("missing", "create"):
        if not callable(getattr(loaded, function, None)):
            raise _broken(stage, entry, f"has no function {function}(settings)")
    return loaded


def candidates(stage: Stage, settings: Settings) -> Iterator[Candidate]:
    """All plug-ins there are, the preferred ones first, those of other distributions last."""
    for name in BUILT_IN[stage]:
        yield Candidate(stage, name, plugin(stage, name).missing(settings))
    for name, entry in _foreign(stage).items():
        try:
            lacks = _lacks(stage, name, settings)
        except ConfigError as error:
            lacks = str(error)
        yield Candidate(stage, name, lacks, _source(entry))


def to_add(stage: Stage, language: str, settings: Settings) -> list[str]:
    """What would let the stage know a language, a line for each plug-in that could, the preferred ones first.

    A plug-in that does not know all of them has a function `to_know(settings, language)`: what it lacks for
    that language, in words; None: nothing helps."""
    lines: list[str] = []
    for name in BUILT_IN[stage]:
        module = plugin(stage, name)
        lacks = module.missing(settings) or f'set {stage}.provider = "{AUTO}"'
        if to_know := getattr(module, "to_know", None):
            lacks = to_know(settings, language)
        if lacks:
            lines.append(f"{name}: {lacks}")
    return lines


def choose(stage: Stage, settings: Settings) -> Chosen:
    """Creates what the configuration names; "auto" takes whatever lacks nothing, the best one first.

    Raises ConfigError when a named one lacks something."""
    wanted: str | Sequence[str] = getattr(settings, stage).provider
    if wanted != AUTO:
        names = [wanted] if isinstance(wanted, str) else wanted
        links = [_create(stage, name, settings, "named in the configuration") for name in names]
        return _joined(links, settings)
    links = []
    better: list[str] = []
    # Not what other distributions bring: that one is installed is no consent to its hearing what people say.
    for name in BUILT_IN[stage]:
        lacks = plugin(stage, name).missing(settings)
        if lacks is None:
            why = "embedded" if name == BUILT_IN[stage][-1] else "the best that is there"
            links.append(_create(stage, name, settings, why if not links else "if those before it fail"))
        elif not links:
            better.append(f"{name}: {lacks}")
    if not links:
        raise ConfigError(f"{stage}: nothing can run here ({'; '.join(better)})")
    return _joined(links, settings, "; ".join(better))


def _joined(links: Sequence[Chosen], settings: Settings, better: str = "") -> Chosen:
    first = links[0]
    if len(links) == 1:
        return replace(first, better=better)
    chain = chained(first.stage, links, settings)
    return Chosen(first.stage, first.name, first.why, chain, better, tuple(links))


def _create(stage: Stage, name: str, settings: Settings, why: str) -> Chosen:
    lacks = _lacks(stage, name, settings)
    if lacks:
        raise ConfigError(f'{stage}.provider = "{name}": {lacks}')
    with _blaming(stage, name, "create()"):
        provider = plugin(stage, name).create(settings)
    for part in ("name", "detail", "start", "close", WORK[stage]):
        if not hasattr(provider, part):
            what = f"create() gave a {type(provider).__name__} without {part}"
            raise _broken(stage, _foreign(stage)[name], what)
    return Chosen(stage, name, why, kept(provider, settings) if stage == "tts" else provider)


def _lacks(stage: Stage, name: str, settings: Settings) -> str | None:
    module = plugin(stage, name)
    with _blaming(stage, name, "missing()"):
        lacks: str | None = module.missing(settings)
    return lacks


# ------------------------------------------------------------------ what others bring


def _foreign(stage: Stage) -> dict[str, EntryPoint]:
    """By name. A name of ours is ours."""
    announced = entry_points(group=f"viva.{stage}")
    return {entry.name: entry for entry in announced if entry.name not in BUILT_IN[stage]}


@contextmanager
def _blaming(stage: Stage, name: str, what: str) -> Iterator[None]:
    """Whatever goes wrong in another's plug-in is a ConfigError that names it; in ours it is a bug."""
    try:
        yield
    except ConfigError:
        raise
    except Exception as error:
        if name in BUILT_IN[stage]:
            raise
        raise _broken(stage, _foreign(stage)[name], f"{what} failed: {_words(error)}") from error


def _source(entry: EntryPoint) -> str:
    return f"{entry.dist.name} {entry.dist.version}" if entry.dist else entry.value


def _broken(stage: Stage, entry: EntryPoint, what: str) -> ConfigError:
    return ConfigError(f'the {stage} plug-in "{entry.name}" of {_source(entry)} ({entry.value}) {what}')


def _words(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
