"""`streamer run`: the daemon."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from streamer.cli.options import config_options

if TYPE_CHECKING:
    import threading

    from streamer.app.http_server import HttpServer
    from streamer.app.service import Service
    from streamer.config import Config
    from streamer.http.health import Health


class DurationParam(click.ParamType[float]):
    """`250ms`, `5s`, `2m` as seconds."""

    name = "duration"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        from streamer.config.units import Duration

        try:
            return float(Duration.parse(value))
        except ValueError as exc:
            self.fail(str(exc), param, ctx)


MAX_WORKERS = 256
# a worker closes its clients after its own drain; only after that it is killed
DRAIN_MARGIN_S = 15.0


@click.command()
@config_options
@click.option(
    "--dry-run",
    is_flag=True,
    help="Read and score; alerts go to standard output only, nothing is committed. Of Kafka: all "
    "partitions, from the "
    "group's committed positions on, without joining it; its members lose nothing.",
)
@click.option(
    "--until-idle",
    "until_idle_s",
    type=DurationParam(),
    metavar="DURATION",
    help="Stop once nothing has come for so long, e.g. 5s. Of Kafka: once every partition is "
    "assigned and read to its "
    "end for so long, never while the group is sharing them anew.",
)
@click.option(
    "--workers",
    type=click.IntRange(1, MAX_WORKERS),
    default=1,
    show_default=True,
    metavar="N",
    help="Processes that share the partitions of the Kafka sources. Worker i listens on the HTTP "
    "port + i; {worker} in "
    "the path of a file stands for i.",
)
def run(
    config: Path, sets: tuple[str, ...], dry_run: bool, until_idle_s: float | None, workers: int
) -> int:
    """Run the daemon until its sources end or a signal arrives.

    The first Ctrl-C or SIGTERM drains, the second quits at once.

    With --workers a crashed worker is started again, and the exit code is the highest of the
    workers'.

    Exit codes: 0 drained, 1 something was lost or not delivered (the log says what) or a worker
    could not start, 3 configuration, 5 a server or a backend that is needed is not there, 130
    second signal.
    """
    import threading

    from streamer.app.signals import graceful

    if workers > 1 and dry_run:
        raise click.UsageError("a dry run reads all partitions by itself: leave --workers away")
    if workers > 1:
        return supervise(config, sets, workers, until_idle_s=until_idle_s)
    stop = threading.Event()
    with graceful(stop):
        return serve(config, sets, stop, dry_run=dry_run, until_idle_s=until_idle_s)


def serve(
    path: Path,
    sets: tuple[str, ...],
    stop: threading.Event,
    *,
    dry_run: bool,
    until_idle_s: float | None,
) -> int:
    """Load, build and run; return the exit code."""
    import os
    import time

    from streamer import log
    from streamer.app.assembly import build
    from streamer.app.daemon import Daemon
    from streamer.app.service import Phase
    from streamer.app.worker_config import for_worker, worker_of
    from streamer.config import load_config
    from streamer.http.health import ALIVE_S, Health
    from streamer.lifecycle.retrain_scheduler import command_of
    from streamer.runtime import cpu_affinity

    worker = worker_of(os.environ)
    config = for_worker(load_config(path, sets), worker)
    always = {} if worker is None else {"worker": worker}
    log.setup(
        config.log.level, config.log.format, secrets=filter(None, [_token(config)]), always=always
    )
    cpu_affinity.bind(config.runtime.cores)
    training = () if dry_run else command_of(path, sets)
    service, phase = build(config, dry_run=dry_run, training=training), Phase()
    # a source may wait this long between two attempts
    alive_s = max(ALIVE_S, 2 * float(config.runtime.retry_max))
    server = _server(config, service, Health(service, phase, time.monotonic, alive_s))
    daemon = Daemon(
        service,
        stop,
        phase=phase,
        server=server,
        drain_s=float(config.runtime.drain),
        until_idle_s=until_idle_s,
    )
    return daemon.run()


def supervise(
    path: Path, sets: tuple[str, ...], workers: int, *, until_idle_s: float | None
) -> int:
    """Run N workers of this configuration; return the exit code."""
    import structlog

    from streamer import log
    from streamer.app import supervisor
    from streamer.app.worker_config import listening, refuse_unshared
    from streamer.config import load_config

    config = load_config(path, sets)
    refuse_unshared(config, workers)
    log.setup(config.log.level, config.log.format, secrets=filter(None, [_token(config)]))
    listen = (
        [listening(config.server, i).listen for i in range(workers)]
        if config.server.enabled
        else []
    )
    structlog.get_logger().info("supervisor_started", workers=workers, listen=listen)
    command = worker_command(path, sets, until_idle_s=until_idle_s)
    drain_s = float(config.runtime.drain) + DRAIN_MARGIN_S
    rules = supervisor.Rules(finite=until_idle_s is not None, drain_s=drain_s)
    return supervisor.supervise(lambda number: command, workers, rules)


def worker_command(path: Path, sets: tuple[str, ...], *, until_idle_s: float | None) -> list[str]:
    """Return the command line of one worker: the same flags, without --workers."""
    command = [sys.executable, "-m", "streamer.cli", "run", "-c", str(path)]
    command += [word for setting in sets for word in ("--set", setting)]
    return (
        command
        if until_idle_s is None
        else [*command, "--until-idle", f"{until_idle_s * 1e6:.0f}us"]
    )


def _server(config: Config, service: Service, health: Health) -> HttpServer | None:
    if not config.server.enabled:
        return None
    from streamer.app.http_server import HttpServer
    from streamer.http.api import create_app

    app = create_app(service, health, token=_token(config), loopback=config.server.loopback)
    return HttpServer(app, config.server.host, config.server.port)


def _token(config: Config) -> str | None:
    return config.server.token.get_secret_value() if config.server.token else None
