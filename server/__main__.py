"""`python -m server`, or `viva`: options and configuration to a running server."""

from __future__ import annotations

import argparse
import asyncio
import errno
import logging
import signal
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NoReturn

from dotenv import load_dotenv

from pipeline.errors import ConfigError
from server import __version__
from server.config import Config, ServerSettings, load

if TYPE_CHECKING:
    from server.engines import Engines

WRONG = 2  # exit status: the way it was started is wrong, and one line on stderr says how


class Options(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """One line, without the usage in front."""
        self.exit(WRONG, f"viva: {message} (viva --help lists the options)\n")


def options() -> Options:
    parser = Options(prog="viva", description="Talk with an AI that listens, thinks and answers in a voice.")
    parser.add_argument("--config", metavar="PATH", help="settings (else VIVA_CONFIG, else ./config.toml)")
    parser.add_argument("--host", help="loopback address to listen on (server.host)")
    parser.add_argument("--port", type=int, help="port to listen on, 0: any free one (server.port)")
    parser.add_argument("--check", action="store_true", help="try every stage once, with sound, and exit")
    parser.add_argument("--version", action="version", version=f"viva {__version__}")
    return parser


def configure(argv: Sequence[str] | None) -> tuple[Config, bool]:
    """(settings, whether to check only). Raises ConfigError."""
    given = options().parse_args(argv)
    load_dotenv(".env")  # does not override what is set
    config = load(given.config)
    server = config.server.model_dump()
    server |= {key: value for key in ("host", "port") if (value := getattr(given, key)) is not None}
    try:
        return replace(config, server=ServerSettings.model_validate(server)), given.check
    except ValueError:
        raise ConfigError(f"--port {given.port}: a port is 0 to 65535") from None


def main(argv: Sequence[str] | None = None) -> int:
    """The exit status: 0 ended as asked, 1 a check failed, 2 wrongly started."""
    try:
        config, check_only = configure(argv)
        logging.basicConfig(
            level=config.server.log_level.upper(), format="%(asctime)s %(levelname).1s %(name)s: %(message)s"
        )
        for chatty in ("aioice", "aiortc", "aiohttp.access", "httpx", "openai", "faster_whisper"):
            logging.getLogger(chatty).setLevel(logging.WARNING)
        if check_only:
            logging.getLogger().setLevel(logging.WARNING)  # its own lines say it all
            from server.check import check

            return asyncio.run(check(config))
        from server.guard import refuse_open_door

        refuse_open_door(config.server.host)
        return asyncio.run(serve(config))
    except ConfigError as error:
        print(f"viva: {error}", file=sys.stderr)
        return WRONG
    except KeyboardInterrupt:
        return 130


async def serve(config: Config, engines: Engines | None = None) -> int:
    """Serves until SIGTERM or SIGINT; then lets calls end, at most `drain_s` long, or until a second one.

    `engines`: instead of what the configuration names."""
    from aiohttp import web

    from server.app import application
    from server.engines import STAGES, WORDS, Engines
    from server.guard import Guard
    from server.signaling import MediaWorker

    engines = engines or Engines(config.pipeline)
    worker = MediaWorker(config, engines)
    guard = Guard(config.server.allowed_hosts, config.server.allowed_origins)
    runner = web.AppRunner(application(config, engines, worker, guard), access_log=None)
    await runner.setup()
    try:
        await _listen(web.TCPSite(runner, config.server.host, config.server.port), config.server)
        host, port = runner.addresses[0][:2]
        guard.listen_on(port)
        print(f"Viva {__version__} at http://{f'[{host}]' if ':' in host else host}:{port}")
        for stage in STAGES:
            chosen = engines.stages[stage].chosen
            print(f"  {WORDS[stage]:6} {chosen.name}: {chosen.provider.detail} ({chosen.why})")
        sys.stdout.flush()
        stop = _signals()
        engines.start()
        await stop.get()
        draining = asyncio.create_task(worker.drain(config.server.drain_s), name="drain")
        impatient = asyncio.create_task(stop.get(), name="second signal")
        if calls := worker.load().calls:
            print(f"Waiting up to {config.server.drain_s:g} s for {calls} call(s); Ctrl-C again ends them.")
        await asyncio.wait({draining, impatient}, return_when=asyncio.FIRST_COMPLETED)
        if not draining.done():
            await worker.drain(0)
        for task in (draining, impatient):
            task.cancel()
        await asyncio.gather(draining, impatient, return_exceptions=True)
    finally:
        await engines.close()
        await runner.cleanup()
    return 0


async def _listen(site: object, server: ServerSettings) -> None:
    try:
        await site.start()  # type: ignore[attr-defined]
    except OSError as error:
        why = {
            errno.EADDRINUSE: "is in use: stop what listens there, or choose another with --port",
            errno.EACCES: "needs more rights: choose one above 1023 with --port",
        }.get(error.errno or 0, f"cannot be listened on ({error.strerror or error})")
        raise ConfigError(f"port {server.port} of {server.host} {why}") from None


def _signals() -> asyncio.Queue[int]:
    """Each SIGTERM and SIGINT from now on; bounded, since the second already ends everything."""
    caught: asyncio.Queue[int] = asyncio.Queue(maxsize=8)
    loop = asyncio.get_running_loop()

    def catch(number: int) -> None:
        if not caught.full():
            caught.put_nowait(number)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, catch, number)
    return caught


if __name__ == "__main__":
    sys.exit(main())
