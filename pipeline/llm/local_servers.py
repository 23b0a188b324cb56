"""Servers with language models on this machine, found at the ports where they usually are.

    server      port   `owned_by` of its models   also
    Ollama      11434  the model's namespace      GET /api/tags says what each model can do
    LM Studio   1234   organization_owner         names of embedding models begin with text-embedding-
    vLLM        8000   vllm
    llama.cpp   8080   llamacpp                   the header Server: llama.cpp; GET /props counts its slots

llama.cpp and vLLM also say how much a model reads at once (`meta.n_ctx`, `max_model_len`).

All of them list their models at GET /v1/models as OpenAI does. Other web servers live at these ports too (one
more Viva, for instance): whatever answers in another way is passed over.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping
from http.client import HTTPException, parse_headers
from io import BytesIO
from typing import Any

from pipeline.settings import LocalLlmSettings, LocalServer

HOST = "127.0.0.1"
LARGEST = 1 << 20  # bytes of an answer; a list of a thousand models has 200 kB
OWNERS = {"library": "Ollama", "organization_owner": "LM Studio", "vllm": "vLLM", "llamacpp": "llama.cpp"}
UNKNOWN = "a server"
# Parts of the names of models that are no use in a talk, where the server does not say what they can do.
SPEECHLESS = (
    *("embed", "bge-", "minilm", "gte-", "e5-", "paraphrase-", "rerank", "clip", "bert"),
    *("whisper", "tts", "kokoro", "piper", "bark", "stable-diffusion", "flux", "sdxl", "guard"),
)
LATEST = ":latest"  # what Ollama adds to a name that has no tag
FILE = ".gguf"  # llama.cpp calls a model by the path of its file
ELSEWHERE = ("-cloud", ":cloud")  # Ollama's names of models that run at its maker's, not on this machine


async def discover(settings: LocalLlmSettings) -> tuple[LocalServer, ...]:
    """What there is, in the order of the ports; nothing that takes longer than `within_ms` to say."""
    if not settings.ports:
        return ()
    looking = [asyncio.create_task(_look(port), name=f"look at port {port}") for port in settings.ports]
    try:
        await asyncio.wait(looking, timeout=settings.within_ms / 1000)
    finally:
        for task in looking:
            task.cancel()
        found = await asyncio.gather(*looking, return_exceptions=True)
    return tuple(server for server in found if isinstance(server, LocalServer))


async def _look(port: int) -> LocalServer | None:
    answer = await _get(port, "/v1/models")
    if answer is None:
        return None
    headers, listing = answer
    listed = _entries(listing, "data", "id")
    if not listed:
        return None
    kind = next((OWNERS[owner] for owner in map(_owner, listed.values()) if owner in OWNERS), UNKNOWN)
    if headers.get("server", "").startswith("llama.cpp"):
        kind = "llama.cpp"
    if kind in ("Ollama", UNKNOWN):  # every model of an Ollama may be somebody's, and none of its library
        _, tags = await _get(port, "/api/tags") or ({}, None)
        told = {name: entry for name, entry in _entries(tags, "models", "name").items() if name in listed}
        kind = "Ollama" if told else kind
        listed |= told
    models = tuple(name for name, entry in listed.items() if _talks(name, entry))
    contexts = {name: tokens for name in models if (tokens := _context(listed[name]))}
    slots = 0
    if kind == "llama.cpp":
        _, properties = await _get(port, "/props") or ({}, None)
        slots = _count(properties.get("total_slots")) if isinstance(properties, dict) else 0
    return LocalServer(kind=kind, port=port, models=models, contexts=contexts, slots=slots)


def _entries(listing: Any, key: str, name: str) -> dict[str, Mapping[str, Any]]:
    """What a listing says of each model, by its name; {}: this is no such listing."""
    entries = listing.get(key) if isinstance(listing, dict) else None
    return {
        entry[name]: entry
        for entry in (entries if isinstance(entries, list) else ())
        if isinstance(entry, dict) and isinstance(entry.get(name), str) and entry[name]
    }


def _owner(entry: Mapping[str, Any]) -> str:
    return str(entry.get("owned_by", ""))


def _context(entry: Mapping[str, Any]) -> int:
    """Tokens that a model reads at once, as its server runs it; 0: it does not say."""
    meta = entry.get("meta")
    return _count(entry.get("max_model_len") or (meta.get("n_ctx") if isinstance(meta, dict) else 0))


def _count(told: Any) -> int:
    """0: it is none."""
    return told if isinstance(told, int) and told > 0 else 0


def shown(model: str) -> str:
    """Its name for a person: without Ollama's ":latest", and without the folders of a file."""
    name = model.removesuffix(LATEST)
    if name.endswith(FILE) or name.startswith("/"):
        name = re.split(r"[/\\]", name)[-1].removesuffix(FILE)
    return name


def _talks(name: str, entry: Mapping[str, Any]) -> bool:
    """Whether it can hold a conversation, on this machine."""
    if name.endswith(ELSEWHERE) or entry.get("remote_host"):
        return False
    capabilities = entry.get("capabilities")  # Ollama's newer ones
    if isinstance(capabilities, list) and capabilities:
        return "completion" in capabilities
    details = entry.get("details")
    family = details.get("family") if isinstance(details, dict) else ""
    return not any(part in f"{name} {family}".lower() for part in SPEECHLESS)


async def _get(port: int, path: str) -> tuple[Mapping[str, str], Any] | None:
    """Headers and JSON of a 200; None: there is nobody, or somebody else."""
    try:
        reader, writer = await asyncio.open_connection(HOST, port, limit=LARGEST)
    except OSError:
        return None
    try:
        # 1.0: an answer in one piece, and the end of it is the end of the connection
        writer.write(
            f"GET {path} HTTP/1.0\r\nHost: {HOST}:{port}\r\nAccept: application/json\r\n\r\n".encode()
        )
        head = BytesIO(await reader.readuntil(b"\r\n\r\n"))
        status = head.readline().split()
        headers = parse_headers(head)
        if len(status) < 2 or not status[0].startswith(b"HTTP/1.") or status[1] != b"200":
            return None
        length = int(headers.get("content-length", LARGEST))
        body = b""
        while len(body) < min(length, LARGEST) and (more := await reader.read(LARGEST)):
            body += more
        return {name.lower(): value for name, value in headers.items()}, json.loads(body)
    except (OSError, EOFError, asyncio.LimitOverrunError, HTTPException, ValueError, RecursionError):
        return None
    finally:
        writer.close()
