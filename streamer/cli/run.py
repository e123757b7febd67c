"""`streamer run`: the daemon."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from streamer.cli.options import config_options

if TYPE_CHECKING:
    import threading

    from streamer.config import Config
    from streamer.service.health import Health
    from streamer.service.parts import Parts
    from streamer.service.server import HttpServer


class DurationParam(click.ParamType[float]):
    """`250ms`, `5s`, `2m` as seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        from streamer.config.units import Duration

        try:
            return float(Duration.parse(value))
        except ValueError as exc:
            self.fail(str(exc), param, ctx)


@click.command()
@config_options
@click.option(
    "--dry-run", is_flag=True, help="Read and score; alerts go to standard output only, nothing is committed."
)
@click.option(
    "--until-idle", "until_idle_s", type=DurationParam(), metavar="DURATION",
    help="Stop once nothing has come for so long, e.g. 5s.",
)  # fmt: skip
def run(config: Path, sets: tuple[str, ...], dry_run: bool, until_idle_s: float | None) -> int:
    """Run the daemon until its sources end or a signal comes. Ctrl-C or SIGTERM once drains, twice quits.

    Exit codes: 0 drained, 1 something was lost or not delivered (the log says what), 3 configuration, 5 a backend that
    was asked for is not installed, 130 second signal.
    """
    import threading

    from streamer.service.signals import graceful

    stop = threading.Event()
    with graceful(stop):
        return serve(config, sets, stop, dry_run=dry_run, until_idle_s=until_idle_s)


def serve(
    path: Path, sets: tuple[str, ...], stop: threading.Event, *, dry_run: bool, until_idle_s: float | None
) -> int:
    """Load, wire, run; returns the exit code."""
    import time

    from streamer import log
    from streamer.config import load_config
    from streamer.service.daemon import Daemon
    from streamer.service.health import ALIVE_S, Health
    from streamer.service.parts import Phase
    from streamer.service.wiring import build

    config = load_config(path, sets)
    log.setup(config.log.level, config.log.format, secrets=filter(None, [_token(config)]))
    parts, phase = build(config, dry_run=dry_run), Phase()
    alive_s = max(ALIVE_S, 2 * float(config.runtime.retry_max))  # a source may rest that long between two attempts
    server = _server(config, parts, Health(parts, phase, time.monotonic, alive_s))
    daemon = Daemon(
        parts, stop, phase=phase, server=server, drain_s=float(config.runtime.drain), until_idle_s=until_idle_s
    )
    return daemon.run()


def _server(config: Config, parts: Parts, health: Health) -> HttpServer | None:
    if not config.server.enabled:
        return None
    from streamer.service.api import create_app
    from streamer.service.server import HttpServer

    app = create_app(parts, health, token=_token(config), loopback=config.server.loopback)
    return HttpServer(app, config.server.host, config.server.port)


def _token(config: Config) -> str | None:
    return config.server.token.get_secret_value() if config.server.token else None
