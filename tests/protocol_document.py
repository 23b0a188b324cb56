"""docs/protocol.md, read: its tables, and its examples."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

DOCUMENT = Path(__file__).resolve().parents[1] / "docs" / "protocol.md"

TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "object": (dict,),
    "array": (list,),
    "null": (type(None),),
}


@cache
def document() -> str:
    return DOCUMENT.read_text(encoding="utf-8")


def section(title: str) -> str:
    """What stands under a heading, up to the next one of its level or above."""
    found = re.search(rf"^(#+) {re.escape(title)}$", document(), re.MULTILINE)
    assert found, f"docs/protocol.md has no section {title!r}"
    rest = document()[found.end() :]
    end = re.search(rf"^#{{1,{len(found[1])}}} ", rest, re.MULTILINE)
    return rest[: end.start()] if end else rest


def rows(text: str) -> list[list[str]]:
    """The cells of a Markdown table, without its head; code marks are taken off the first one."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [[row[0].strip("`"), *row[1:]] for row in cells if not set(row[0]) <= {"-", ":"}][1:]


@dataclass(frozen=True)
class Fields:
    """The fields of one of our own objects: name -> (types, whether it may be absent)."""

    place: str
    fields: dict[str, tuple[tuple[type, ...], bool]]

    def check(self, given: dict[str, Any]) -> None:
        unknown = given.keys() - self.fields.keys()
        assert not unknown, f"docs/protocol.md knows no {sorted(unknown)} of {self.place}"
        for name, (kinds, optional) in self.fields.items():
            if name not in given:
                assert optional, f"{self.place} lacks {name}, which docs/protocol.md promises"
                continue
            value = given[name]
            fits = type(value) in kinds or (type(value) is int and float in kinds)
            assert fits, f"{self.place}: {name} is {value!r}, docs/protocol.md says otherwise"


def fields(title: str) -> Fields:
    """The table `| field | type | meaning |` of a section; a type is "string", "integer or null", with
    ", optional" behind it where the field may be absent, and a unit behind that."""
    found = {}
    for name, kind, *_ in rows(section(title)):
        names, *more = kind.split(", ")
        found[name] = (sum((TYPES[one] for one in names.split(" or ")), ()), "optional" in more)
    return Fields(title.strip("`"), found)


@cache
def own_events() -> dict[str, Fields]:
    """Our own server events by type."""
    titles = re.findall(r"^#### (`viva\.\w+`)$", section("Events of ours"), re.MULTILINE)
    return {title.strip("`"): fields(title) for title in titles}


@cache
def server_events() -> frozenset[str]:
    """OpenAI's server events that are sent, by type."""
    return frozenset(row[0] for row in rows(section("Server events")))


@cache
def own_settings() -> Fields:
    """What a client may write into `session.viva`."""
    return fields("session.viva")


def examples(language: str) -> list[str]:
    """The code blocks of a language, in the order of the document."""
    return re.findall(rf"^```{language}\n(.*?)^```$", document(), re.MULTILINE | re.DOTALL)
