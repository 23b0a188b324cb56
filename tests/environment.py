"""The environment of a server that a test starts: nothing of this machine's changes what it takes."""

from __future__ import annotations

import os

OURS = ("VIVA_", "OPENAI_", "DEEPGRAM_", "ASSEMBLYAI_", "ELEVENLABS_")  # how settings and vendors' keys begin


def bare(**settings: str) -> dict[str, str]:
    """Without keys and settings, and blind to servers that happen to run here; with `settings` on top."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
    return {**kept, "VIVA_LLM__LOCAL__PORTS": "[]", **settings}
