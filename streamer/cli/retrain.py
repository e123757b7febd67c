"""`streamer retrain`: one retrain job if it is due, for a CronJob or the daemon."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from streamer.cli.offline_report import FORMATS
from streamer.cli.options import config_options
from streamer.errors import ConfigError, GateRefused, StreamerError

if TYPE_CHECKING:
    from streamer.config import Config, Retrain
    from streamer.lifecycle.evaluation import Evaluation
    from streamer.lifecycle.retrain_job import Job, Result

SCHEMA = "streamer.retrain/1"


@click.command("retrain")
@config_options
@click.option(
    "--dry-run", is_flag=True, help="Say whether a training is due, and why; change nothing."
)
@click.option(
    "--evaluate",
    is_flag=True,
    help="Judge the champion on what came lately; train and change nothing.",
)
@click.option(
    "--force",
    is_flag=True,
    help="Train whether or not it is due; without --cause also with too few rows.",
)
@click.option(
    "--cause",
    metavar="WORD",
    help="Train for this cause, such as drift, whether or not it is due; min_rows still holds. "
    "The manifest names it.",
)
@click.option("--why", default="", help="The cause in words.")
@click.option(
    "--recorded",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="FILE.npz",
    help="Rows that the daemon recorded, for streams that cannot be read again.",
)
@click.option("--format", "form", type=FORMATS, default="human", show_default=True, help="Output.")
def retrain(
    *,
    config: Path,
    sets: tuple[str, ...],
    dry_run: bool,
    evaluate: bool,
    force: bool,
    cause: str | None,
    why: str,
    recorded: Path | None,
    form: str,
) -> None:
    """Train the champion further on the newest rows, and publish the result as the challenger.

    Nothing happens if neither the schedule nor the age of the champion gives a cause, if history
    has too few rows, or while another process trains. The training runs in its own process under
    the limits of `retrain.limits`.

    Exit codes: 0 published, or not due; 4 the gate refused the result, the report says why; 1 too
    few or constant data, or the training failed; 3 configuration; 5 a server that is needed is not
    there.
    """
    from streamer import log
    from streamer.app.signals import graceful
    from streamer.cli.train import need_tensorflow
    from streamer.config.load import load_config
    from streamer.lifecycle.retrain_job import REQUEST

    if evaluate and (dry_run or force):
        raise click.UsageError(
            "--evaluate trains nothing, and at once: leave --dry-run and --force away"
        )
    loaded = load_config(config, sets)
    log.setup(loaded.log.level, loaded.log.format)
    stop = threading.Event()
    with graceful(stop), opened(loaded, recorded, stop) as job:
        if dry_run:
            verdict = job.look()
            say({"due": verdict.due, "cause": verdict.cause, "why": verdict.why}, verdict.why, form)
            return
        if evaluate:
            tell_evaluation(job.evaluate(cause=cause), form)
            return
        need_tensorflow()
        result = job.run(
            cause=REQUEST if force and cause is None else cause, why=why or "asked for" * force
        )
    tell(result, form)


@contextmanager
def opened(config: Config, recorded: Path | None, stop: threading.Event) -> Iterator[Job]:
    """Open the job of a configuration and everything it needs."""
    from streamer.connect import open_journal, open_registry, open_turns
    from streamer.lifecycle import row_recorder
    from streamer.lifecycle.retrain_job import Job

    section = wanted(config)
    with ExitStack() as stack:
        registry = open_registry(config, create=True)
        assert registry is not None  # guaranteed by a rule of the configuration
        stack.enter_context(closing(registry))
        turns = stack.enter_context(closing(open_turns(config)))
        journal = stack.enter_context(closing(open_journal(config)))
        rows = row_recorder.read(recorded) if recorded is not None else {}
        yield Job(config, section, registry, turns, journal, rows, stop.is_set, heard)


def wanted(config: Config) -> Retrain:
    """Return the section `retrain`; ConfigError without it."""
    if config.retrain is None:
        raise ConfigError(
            "retrain", "is not configured; write retrain: {every: 24h} and model.registry"
        )
    return config.retrain


def heard(event: Mapping[str, Any]) -> None:
    """Log the progress of the training."""
    import structlog

    fields = {
        name: value
        for name, value in event.items()
        if name != "event" and isinstance(value, str | int | float)
    }
    structlog.get_logger().info("retrain_progress", step=event.get("event"), **fields)


def tell(result: Result, form: str) -> None:
    """Print the result, and log it for the daemon that started this process.

    GateRefused or StreamerError if nothing was published for that reason.
    """
    import structlog

    from streamer.lifecycle.retrain_job import REFUSED, STOPPED

    told = {
        "outcome": result.outcome,
        "version": result.version,
        "cause": result.cause,
        "words": result.words,
    }
    structlog.get_logger().info("retrain_ended", **told)
    if result.outcome == REFUSED:
        raise GateRefused(result.words)
    if result.outcome == STOPPED:
        raise StreamerError(result.words)
    say(told, result.words, form)


def tell_evaluation(found: Evaluation, form: str) -> None:
    """Print the evaluation, and log it for the daemon that started this process."""
    import structlog

    told = {"outcome": found.outcome, "words": found.words}
    structlog.get_logger().info("evaluation_ended", **told, report=found.report.get("report"))
    say(told | dict(found.report), found.words, form)


def say(told: Mapping[str, Any], words: str, form: str) -> None:
    click.echo(json.dumps({"schema": SCHEMA} | dict(told)) if form == "json" else words)
