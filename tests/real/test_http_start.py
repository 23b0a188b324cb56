"""How it is started and stopped, as a person or a service manager does it: as a process."""

from __future__ import annotations

import asyncio
import re
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import pytest

from pipeline.choice import BUILT_IN
from server import __version__
from tests.environment import bare
from tests.real.served import Caller, Served
from tests.vendors.openai_server import OpenAIServer

pytestmark = pytest.mark.real

ROOT = Path(__file__).parents[2]
STARTS_WITHIN_S = 20.0  # on a busy machine; `make bench` measures it
ENDS_WITHIN_S = 60.0  # what is to end by itself, `--check` too


def environment(**more: str) -> dict[str, str]:
    return bare(PYTHONPATH=str(ROOT), **more)


async def run(folder: Path, *options: str, **more: str) -> tuple[int, str, str]:
    """Exit status, stdout and stderr of one that is to end by itself."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "server",
        *options,
        cwd=folder,
        env=environment(**more),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        out, err = await asyncio.wait_for(process.communicate(), ENDS_WITHIN_S)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return process.returncode or 0, out.decode(), err.decode()


async def refused(folder: Path, *options: str, said: str, **more: str) -> None:
    status, out, err = await run(folder, *options, **more)
    assert status == 2, (out, err)
    assert said in err
    assert err.count("\n") == 1, err
    assert "Traceback" not in err
    assert out == ""


@asynccontextmanager
async def running(
    folder: Path, **more: str
) -> AsyncIterator[tuple[asyncio.subprocess.Process, list[str], str]]:
    """The process, the lines it printed, and its address."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "server",
        "--port",
        "0",
        cwd=folder,
        env=environment(**more),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert process.stdout is not None
    try:
        lines = []
        for _ in range(4):
            lines.append(
                (await asyncio.wait_for(process.stdout.readline(), STARTS_WITHIN_S)).decode().rstrip()
            )
        address = re.search(r"http://127\.0\.0\.1:\d+", lines[0])
        assert address, lines
        yield process, lines, address[0]
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def looking_at(found: OpenAIServer) -> dict[str, str]:
    """Settings with which that server of this machine is found."""
    return {
        "VIVA_LLM__LOCAL__PORTS": f"[{urlsplit(found.base_url).port}]",
        "VIVA_LLM__LOCAL__WITHIN_MS": "5000",
    }


async def test_version(tmp_path: Path) -> None:
    assert await run(tmp_path, "--version") == (0, f"viva {__version__}\n", "")


async def test_a_wrong_option_is_one_line(tmp_path: Path) -> None:
    await refused(tmp_path, "--prot", "8", said="--prot")
    await refused(tmp_path, "--port", "many", said="many")
    await refused(tmp_path, "--port", "70000", said="70000")


async def test_a_broken_config_is_one_line_that_names_the_place(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("[server]\nprot = 1\n")
    await refused(tmp_path, said='config.toml: server.prot: no such setting; did you mean "port"?')
    await refused(tmp_path, "--config", "nowhere.toml", said="nowhere.toml: no such file")
    (tmp_path / "config.toml").write_text("[server")
    await refused(tmp_path, said="not valid TOML")


async def test_a_provider_that_cannot_run_here_is_one_line(tmp_path: Path) -> None:
    await refused(tmp_path, said="OPENAI_API_KEY", VIVA_LLM__PROVIDER="openai")
    await refused(tmp_path, said='llm.provider = "gpt"', VIVA_LLM__PROVIDER="gpt")


async def test_a_port_in_use_is_one_line(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        await refused(tmp_path, "--port", port, said=f"port {port} of 127.0.0.1 is in use")


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.2", "example.com"])
async def test_a_host_that_others_could_reach_is_refused(tmp_path: Path, host: str) -> None:
    await refused(tmp_path, "--host", host, said=f'server.host = "{host}": other machines could reach it')


async def test_others_are_let_in_with_a_key_or_because_somebody_said_so(tmp_path: Path) -> None:
    for said, more in (
        ("anybody who reaches it is let in", {"VIVA_AUTH__OPEN": "true"}),
        ("asks for a key: school", {"VIVA_API_KEYS": f"school={'k' * 24}"}),
    ):
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "server", "--port", "0", "--host", "0.0.0.0"),
            cwd=tmp_path,
            env=environment(**more),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        assert process.stdout is not None
        try:
            lines = [await asyncio.wait_for(process.stdout.readline(), STARTS_WITHIN_S) for _ in range(5)]
            assert said in lines[4].decode()
            assert "k" * 24 not in b"".join(lines).decode()
        finally:
            process.kill()
            await process.wait()


async def test_a_certificate_is_made_by_one_command(tmp_path: Path) -> None:
    status, out, _ = await run(tmp_path, "--make-cert", "certs", "--name", "viva.local")
    assert status == 0
    assert 'certificate = "certs/cert.pem"' in out
    await refused(tmp_path, "--make-cert", "certs", said="is there already")


async def test_it_starts_anywhere_prints_who_answers_and_ends_well_on_sigterm(tmp_path: Path) -> None:
    async with running(tmp_path) as (process, lines, url):
        assert [line.split()[0] for line in lines[1:]] == ["ears", "mind", "voice"]
        assert "pocketsphinx" in lines[1]
        assert "OPENAI_API_KEY" in lines[1]
        assert "scripted" in lines[2]
        assert "espeak" in lines[3]
        async with aiohttp.ClientSession() as http, http.get(url) as response:
            assert response.status == 200
            assert "<title>" in await response.text()
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 10) == 0


async def test_a_secret_of_the_env_file_is_used_and_printed_nowhere(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("OPENAI_API_KEY=sk-very-secret\nVIVA_STT__PROVIDER=pocketsphinx\n")
    async with OpenAIServer() as found, running(tmp_path, **looking_at(found)) as (_, lines, url):
        assert "pocketsphinx" in lines[1]
        assert lines[2].split()[1] == "openai:"
        assert "then local: gpt-4o-mini on a server at 127.0.0.1:" in lines[2]
        assert "then scripted: " in lines[2]
        async with aiohttp.ClientSession() as http, http.get(f"{url}/v1/viva/about") as response:
            assert "very-secret" not in await response.text()
        assert "very-secret" not in "".join(lines)


async def test_a_call_may_go_on_after_sigterm_and_a_second_signal_ends_it(tmp_path: Path) -> None:
    async with (
        running(tmp_path, VIVA_SERVER__DRAIN_S="60") as (process, _, url),
        aiohttp.ClientSession() as http,
    ):
        one = Caller(Served(url, 0, None, None, http))  # type: ignore[arg-type]  # it lives elsewhere
        await one.connect()
        await one.until("session.created")
        process.send_signal(signal.SIGTERM)
        assert process.stdout is not None
        said = await asyncio.wait_for(process.stdout.readline(), 5)
        assert b"1 call" in said
        assert process.returncode is None
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 10) == 0
        await one.close()


async def test_the_check_lists_what_there_is_and_does_one_turn_with_the_embedded_stages(
    tmp_path: Path,
) -> None:
    status, out, err = await run(tmp_path, "--check", VIVA_BUDGET__DAY="2")
    assert status == 0, (out, err)
    listed, timed = [], []
    for line in out.splitlines():
        (timed if " ms " in line else listed).append(line)
    assert [line for line in listed if not line.startswith(" ")] == [
        "ears",
        "mind",
        "voice",
        "budget: 2 USD a day",
    ]
    for stage, names in BUILT_IN.items():
        *others, embedded = names
        assert any(line.startswith(f"  takes  {embedded}: ") for line in listed), stage
        for name in others:
            assert any(re.match(rf"  lacks  {name}: .*\w", line) for line in listed), (stage, name)
    steps = [line.split("  ")[0].strip() for line in timed]
    assert sorted(steps[:3]) == ["load ears", "load mind", "load voice"]
    assert any("load ears" in line and "pocketsphinx: US English" in line for line in timed)
    assert steps[3:] == ["speak", "listen", "think", "answer", "all"]
    assert " words)" not in out, "a count of words would look like a fault of the recogniser's"
    assert "shows only that it listens" in out
