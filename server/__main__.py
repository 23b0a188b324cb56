"""`python -m server`, or `viva`: options and configuration to a running server."""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
import signal
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from dotenv import load_dotenv

from pipeline.errors import ConfigError
from server import __version__
from server.config import Config, ServerSettings, load
from server.logs import log_to_stderr

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
    parser.add_argument("--host", help="address to listen on; if others reach it, with a key (server.host)")
    parser.add_argument("--port", type=int, help="port to listen on, 0: any free one (server.port)")
    parser.add_argument("--open", action="store_true", help="let in whoever reaches the port (auth.open)")
    parser.add_argument(
        "--make-cert", metavar="DIR", type=Path, help="make a self-signed certificate and exit"
    )
    parser.add_argument(
        "--name",
        action="append",
        default=[],
        help="with --make-cert: a further host name of this machine",
    )
    parser.add_argument("--check", action="store_true", help="try every stage once, with sound, and exit")
    parser.add_argument(
        "--contract", metavar="STAGE:NAME", help="try what a plug-in owes (stt:, llm: or tts:), and exit"
    )
    parser.add_argument(
        "--vendor", metavar="MODULE:FACTORY", help="with --contract: a stand-in of the plug-in's vendor"
    )
    parser.add_argument("--version", action="version", version=f"viva {__version__}")
    return parser


def configure(given: argparse.Namespace) -> Config:
    """The settings. Raises ConfigError."""
    load_dotenv(".env")  # does not override what is set
    config = load(given.config)
    server = config.server.model_dump()
    server |= {key: value for key in ("host", "port") if (value := getattr(given, key)) is not None}
    auth = config.auth.model_copy(update={"open": config.auth.open or given.open})
    try:
        return replace(config, server=ServerSettings.model_validate(server), auth=auth)
    except ValueError:
        raise ConfigError(f"--port {given.port}: a port is 0 to 65535") from None


def main(argv: Sequence[str] | None = None) -> int:
    """The exit status: 0 ended as asked, 1 a check failed, 2 wrongly started."""
    try:
        given = options().parse_args(argv)
        if given.make_cert:
            return make_cert(given.make_cert, given.name)
        config = configure(given)
        log_to_stderr(config.server.log_level, config.server.log_format)
        if given.check:
            logging.getLogger().setLevel(logging.WARNING)  # its own lines say it all
            from server.check import check

            return asyncio.run(check(config))
        if given.contract:
            logging.getLogger().setLevel(logging.ERROR)  # it has failures by the dozen, all of them wanted
            from server.contract import contract

            return asyncio.run(contract(config.pipeline, given.contract, given.vendor))
        from server.access.auth import refuse_open_door

        refuse_open_door(config)
        return asyncio.run(serve(config))
    except ConfigError as error:
        print(f"viva: {error}", file=sys.stderr)
        return WRONG
    except KeyboardInterrupt:
        return 130


def make_cert(folder: Path, names: Sequence[str]) -> int:
    """Writes a certificate and says how it is used. Raises ConfigError."""
    from server.access.self_signed import make_certificate

    certificate, key = make_certificate(folder, names)
    print(f"{certificate} and {key} are written; in config.toml:")
    print(f'\n[tls]\ncertificate = "{certificate}"\nkey = "{key}"')
    return 0


async def serve(config: Config, engines: Engines | None = None) -> int:
    """Serves until SIGTERM or SIGINT; then lets calls end, at most `drain_s` long, or until a second one.

    `engines`: instead of what the configuration names."""
    from pipeline.choice import discovered
    from server.access.guard import Guard
    from server.access.listening import Listening
    from server.app import application
    from server.costs import budget_line
    from server.engines import STAGES, WORDS, Engines
    from server.signaling import MediaWorker

    engines = engines or Engines(await discovered(config.pipeline, config.server.port))
    worker = MediaWorker(config, engines)
    settings = config.server
    guard = Guard(settings.allowed_hosts, settings.allowed_origins, hsts_s=config.tls.hsts_s)
    listening = Listening(application(config, engines, worker, guard), config, guard)
    settling: asyncio.Task[None] | None = None
    try:
        await listening.start()
        print(f"Viva {__version__} at {listening.url}")
        for stage in STAGES:
            print(f"  {WORDS[stage]:6} {engines.stages[stage].chosen}")
        if door := _door(config):
            print(f"  door   {door}")
        links = [link.provider for stage in STAGES for link in engines.stages[stage].chosen.each]
        if budget := budget_line(config.prices, config.budget, links):
            print(f"  budget {budget}")
        sys.stdout.flush()
        stop = _signals()
        if listening.certificate is not None:
            asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, listening.certificate.reload)
        engines.start()
        settling = asyncio.create_task(settle(engines), name="settle")
        await worker.take_over()
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
        if settling is not None:
            settling.cancel()
        await engines.close()
        await listening.close()
    return 0


async def settle(engines: Engines) -> None:
    """Once all is loaded, the collector of garbage no longer looks through it: 160,000 objects hold the event
    loop, and with it every call's sound, for 100 ms each time."""
    await engines.loaded()
    gc.collect()
    gc.freeze()


def _door(config: Config) -> str:
    """Who is let in, in a line; "" where that is this machine alone."""
    from server.access.address import is_loopback
    from server.access.auth import is_open

    if is_open(config):
        return "" if is_loopback(config.server.host) else "anybody who reaches it is let in (auth.open)"
    who = [key.label for key in config.keys]
    who += [f"users of {config.auth.user_header}"] if config.auth.user_header else []
    who += [f"users of {config.auth.oidc_issuer}"] if config.auth.oidc_issuer else []
    note = "" if config.signing else "; client secrets end with this process (VIVA_SIGNING_SECRET keeps them)"
    return f"asks for a key: {', '.join(who)}{note}"


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
