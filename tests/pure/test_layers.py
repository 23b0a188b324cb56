"""The house: arrows point down only, and the conversation knows no network. Read off the syntax trees."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

LAYER_0 = {"audio", "errors", "items", "settings", "providers", "events", "languages", "notices"}
NETWORK = {"aiohttp", "aiortc", "aioice", "server", "tests", "bench"}
LONGEST_FILE = 500  # lines; about 400 is the aim


def modules(folder: str) -> list[Path]:
    return sorted((ROOT / folder).rglob("*.py"))


def name_of(file: Path) -> str:
    parts = list(file.relative_to(ROOT).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(file: Path) -> set[str]:
    """Full names of all modules that a file imports, also inside functions."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file} has a relative import"
            found.add(node.module or "")
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def inside(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


@pytest.mark.parametrize("file", modules("pipeline"), ids=name_of)
def test_the_conversation_knows_no_network(file: Path) -> None:
    used = {name.split(".")[0] for name in imports(file)}
    assert not used & NETWORK


@pytest.mark.parametrize("file", modules("pipeline"), ids=name_of)
def test_only_sound_is_taken_from_av_in_the_pipeline(file: Path) -> None:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    used = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "av"
    }
    assert used <= {"AudioFrame", "AudioResampler", "CodecContext", "FFmpegError"}
    if "CodecContext" in used:
        assert name_of(file) == "pipeline.tts.decoding"  # MP3


@pytest.mark.parametrize("file", modules("pipeline"), ids=name_of)
def test_the_lowest_layer_imports_nothing_above_it(file: Path) -> None:
    name = name_of(file)
    if name.removeprefix("pipeline.") not in LAYER_0:
        return
    ours = {used.split(".")[1] for used in imports(file) if used.startswith("pipeline.")}
    assert ours <= LAYER_0


@pytest.mark.parametrize("stage", ["stt", "llm", "tts"])
def test_plug_ins_know_nothing_of_the_conversation_nor_of_each_other(stage: str) -> None:
    above = {"session", "turns", "gate", "playout", "listening", "reply", "dialogue", "answers", "air"}
    others = {"stt", "llm", "tts"} - {stage}
    for file in modules(f"pipeline/{stage}"):
        for used in imports(file):
            part = used.split(".")[1] if used.startswith("pipeline.") else ""
            assert part not in above | others, f"{name_of(file)} imports {used}"


def test_the_contract_is_no_part_of_a_call() -> None:
    for file in [*modules("pipeline"), *modules("server")]:
        if "contract" not in file.parts and file.stem != "contract":
            assert not any(inside(used, "pipeline.contract") for used in imports(file)), file


@pytest.mark.parametrize("pure", ["turns", "patience", "gate", "sentences", "playout", "dialogue"])
def test_what_decides_does_not_wait(pure: str) -> None:
    file = ROOT / "pipeline" / f"{pure}.py"
    tree = ast.parse(file.read_text(encoding="utf-8"))
    waits = [node for node in ast.walk(tree) if isinstance(node, ast.Await | ast.AsyncFor | ast.AsyncWith)]
    if pure != "playout":  # whose writer waits while it is full
        assert not waits
        assert "asyncio" not in imports(file)


def test_only_the_conductor_is_imported_by_the_world() -> None:
    for file in modules("server"):
        for used in imports(file):
            assert not inside(used, "pipeline.turns"), file
            assert not inside(used, "pipeline.playout"), file


def test_the_rooms_of_the_server_know_nothing_of_calls_and_routes() -> None:
    known = {
        "access": ("server.access", "server.config", "server.workers"),
        "media": ("server.media", "server.access"),
        "transport": ("server.transport", "server.workers"),
        "wire": ("server.wire", "server.access.grant"),
    }
    for room, others in known.items():
        for file in modules(f"server/{room}"):
            for used in imports(file):
                fits = not inside(used, "server") or any(inside(used, other) for other in others)
                assert fits, (file, used)


def test_the_interface_of_the_workers_needs_no_web_framework() -> None:
    names = "workers config signaling peer call line websocket allowance issuing access/grant access/door"
    names += " access/limits access/shares access/keys access/address access/client_secrets"
    rooms = [file for room in ("media", "transport", "wire") for file in modules(f"server/{room}")]
    for file in [*rooms, *(ROOT / "server" / f"{name}.py" for name in names.split())]:
        used = {module.split(".")[0] for module in imports(file)}
        assert "aiohttp" not in used, file


@pytest.mark.parametrize("file", [*modules("pipeline"), *modules("server")], ids=name_of)
def test_no_file_is_too_long_to_read(file: Path) -> None:
    assert len(file.read_text(encoding="utf-8").splitlines()) <= LONGEST_FILE
