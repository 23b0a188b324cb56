"""What `pip install .` takes along."""

from __future__ import annotations

import tomllib
from fnmatch import fnmatch
from pathlib import Path

from server import __version__

ROOT = Path(__file__).parents[2]
SETUPTOOLS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]


def test_every_file_that_the_server_needs_is_installed() -> None:
    folders = {**{name.replace(".", "/"): name for name in SETUPTOOLS["packages"]}}
    folders |= {folder: name for name, folder in SETUPTOOLS["package-dir"].items()}
    kinds = [*SETUPTOOLS["package-data"]["*"], "*.py", "*.md"]  # .md: for those who work on it
    for top in ("server", "pipeline", "static"):
        for file in (ROOT / top).rglob("*"):
            if file.is_file() and "__pycache__" not in file.parts:
                assert str(file.parent.relative_to(ROOT)) in folders, f"{file}: its folder is no package"
                assert any(fnmatch(file.name, kind) for kind in kinds), f"{file}: that kind is left out"


def test_the_version_is_said_in_one_place() -> None:
    assert SETUPTOOLS["dynamic"]["version"] == {"attr": "server.__version__"}
    assert __version__.count(".") == 2
