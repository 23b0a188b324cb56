"""What `pip install` leaves of somebody's distribution, without pip: modules, metadata and entry points."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path


def install(
    site: Path, name: str, modules: Mapping[str, str], entry_points: str, version: str = "1.2"
) -> None:
    """Into a folder that stands, or will stand, on the path.

    Args:
        modules: source by file name.
        entry_points: as `entry_points.txt` has them.
    """
    for file, source in modules.items():
        (site / file).write_text(source, encoding="utf-8")
    told = site / f"{name.replace('-', '_')}-{version}.dist-info"
    told.mkdir()
    (told / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    (told / "entry_points.txt").write_text(entry_points)
