"""`streamer backtest`: replays a configured file through the production code."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import click

from streamer.cli.offline_report import FORMATS, Destinations, Replayed, as_json, draw, tell
from streamer.cli.offline_report import replay as run_replay
from streamer.cli.options import config_options
from streamer.errors import ConfigError

if TYPE_CHECKING:
    from streamer.config import Config, Stream

SCHEMA = "streamer.backtest/1"


@click.command("backtest")
@config_options
@click.option("--stream", "name", help="Which stream (default: the only one).")
@click.option(
    "--fit-rows",
    type=click.IntRange(min=0),
    default=0,
    metavar="N",
    help="The first N rows only teach.",
)
@click.option(
    "--scores", type=click.Path(path_type=Path), metavar="OUT.csv", help="Write a line per row."
)
@click.option(
    "--alerts", type=click.Path(path_type=Path), metavar="OUT.jsonl", help="Write every alert."
)
@click.option(
    "--plot",
    type=click.Path(path_type=Path),
    metavar="OUT.png",
    help="Draw series, band, score and alarms.",
)
@click.option("--format", "form", type=FORMATS, default="human", show_default=True, help="Output.")
def backtest(
    *,
    config: Path,
    sets: tuple[str, ...],
    name: str | None,
    fit_rows: int,
    scores: Path | None,
    alerts: Path | None,
    plot: Path | None,
    form: str,
) -> None:
    """Replay a stream's file through the production pipeline and list what would have fired.

    The file is read at full speed whatever its configured pace, and the configured sinks are not
    used. A synthetic stream can be replayed too if it has an end; its plot shows the faults that
    were injected.
    """
    from streamer.app.assembly import detectors
    from streamer.config.load import load_config
    from streamer.connect import open_source
    from streamer.offline.score import Panel
    from streamer.runtime.model import load_configured

    loaded_config = load_config(config, sets)
    stream = unpaced(only_stream(loaded_config, name))
    loaded = load_configured(loaded_config)
    with closing(open_source(stream)) as source:
        judging = detectors(stream, source, loaded)
        replayed = run_replay(
            stream.name,
            source,
            judging[0].settings,
            judging[0] if len(judging) == 1 else Panel(judging),
            loaded.state.ref,
            Destinations(scores, alerts, plot),
            by_time=stream.has_clock,
            fit_rows=fit_rows,
        )
        faults = getattr(source, "faults", ())
    draw(replayed, lambda entity: [(f.start_s, f.end_s) for f in faults if f.entity == entity])
    say(replayed, form)


def only_stream(config: Config, name: str | None) -> Stream:
    """Return the stream of that name, or the only one.

    ConfigError if there are several and no name is given.
    """
    if name is not None:
        return config.stream(name)
    if len(config.streams) > 1:
        known = ", ".join(stream.name for stream in config.streams)
        raise ConfigError("streams", f"there are several, say which with --stream: {known}")
    return config.streams[0]


def unpaced(stream: Stream) -> Stream:
    """Return the stream without its pace; ConfigError if its source has no end."""
    source = stream.source
    if source.ends:
        return stream.model_copy(update={"source": source.flat_out()})
    hint = "; give it an end with `events`" if "events" in type(source).model_fields else ""
    raise ConfigError(
        f"streams.{stream.name}.source",
        f"a {source.kind} source cannot be backtested, it has no end{hint}",
    )


def say(replayed: Replayed, form: str) -> None:
    outcome = replayed.outcome
    if form != "json":
        click.echo(tell(replayed))
        return
    observed = round(len(outcome.opened) / outcome.days, 4) if outcome.days > 0 else None
    rates = {"promised": replayed.settings.budget_per_day, "observed": observed}
    click.echo(
        json.dumps(as_json(replayed, SCHEMA, days=round(outcome.days, 4), alerts_per_day=rates))
    )
