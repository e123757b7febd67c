"""`streamer window suggest`: suggests how many events a window has to hold."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path

import click

from streamer.cli.backtest import only_stream, unpaced
from streamer.cli.options import config_options, format_option


@click.group()
def window() -> None:
    """Suggest how much of its past an event is judged by."""


@window.command("suggest")
@config_options
@click.option("--stream", "name", help="Which stream (default: the only one).")
@format_option("human", "json")
def suggest(*, config: Path, sets: tuple[str, ...], name: str | None, output: str) -> None:
    """Read the stream's file and suggest the length of a window.

    It holds 90 % of the information of the past, for 95 % of entities and channels.
    """
    from streamer.config.load import load_config
    from streamer.connect import open_source
    from streamer.offline import window_size
    from streamer.offline.series import read_batches, series_of

    stream = unpaced(only_stream(load_config(config, sets), name))
    with closing(open_source(stream)) as source:
        found = window_size.suggest(series_of(read_batches(source)))
    if output == "json":
        told = {"schema": "streamer.window/1", "window": found.window, "kept": round(found.kept, 4)}
        click.echo(json.dumps(told | {"series": len(found.needs), "silent": found.silent}))
        return
    click.echo(
        f"a window of {found.window} events holds {found.kept:.0%} of what the past says of the "
        f"next value"
    )
    click.echo(
        f"(median of {len(found.needs)} series of an entity and channel; {found.silent} more say "
        f"nothing about "
        "themselves: too short, constant, or noise)"
    )
