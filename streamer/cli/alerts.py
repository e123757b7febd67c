"""`streamer alerts`: the known incidents and their labels."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from streamer.cli.options import config_options, format_option, since_s
from streamer.journal import LabelKind
from streamer.timefmt import plain

if TYPE_CHECKING:
    from streamer.config import Config
    from streamer.journal import Incident, Journal, Label

SCHEMA = "streamer.alerts/1"
KINDS = tuple(kind.value for kind in LabelKind)
TAIL_EVERY_S = 1.0
TAIL_BACK = 10


@click.group()
def alerts() -> None:
    """List incidents, follow them, and label them.

    They are read from the journal beside the snapshots (`store`), which the daemon writes.
    """


@alerts.command("list")
@config_options
@click.option("--since", metavar="-2h|TIME", help="Only what began since then.")
@click.option("--open", "only_open", is_flag=True, help="Only what has not ended.")
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    default=50,
    show_default=True,
    help="How many, the newest.",
)
@format_option("human", "jsonl")
def list_(
    *,
    config: Path,
    sets: tuple[str, ...],
    since: str | None,
    only_open: bool,
    limit: int,
    output: str,
) -> None:
    """List the newest incidents with the newest label of each."""
    with opened(config, sets) as (_, journal):
        said, newest = (
            last_words(journal),
            journal.incidents(since_s=since_s(since, time.time()), limit=limit),
        )
        found = [one for one in newest if not only_open or one.ended_s is None]
        for one in found:
            click.echo(shown(one, said.get(one.alert_id), output))
        if not found and output == "human":
            click.echo("no incidents are known", err=True)


@alerts.command("tail")
@config_options
@format_option("human", "jsonl")
def tail(*, config: Path, sets: tuple[str, ...], output: str) -> None:
    """Print incidents as they open and change, until interrupted."""
    with opened(config, sets) as (_, journal):
        seen: dict[str, Incident] = {}
        while True:
            for one in journal.incidents(limit=1000 if seen else TAIL_BACK):
                if seen.get(one.alert_id) != one:
                    click.echo(shown(one, None, output))
                seen[one.alert_id] = one
            sys.stdout.flush()
            time.sleep(TAIL_EVERY_S)


@alerts.command("label")
@click.argument("alert")
@click.argument("label", type=click.Choice(KINDS))
@config_options
@click.option("--by", default="", metavar="NAME", help="Who says so.")
@click.option("--note", default="", metavar="TEXT", help="Why.")
@format_option("human", "json")
def label_(
    *, alert: str, label: str, config: Path, sets: tuple[str, ...], by: str, note: str, output: str
) -> None:
    """Label ALERT (its id, or the beginning of it), and print what the label will change.

    \b
    confirmed    it was a fault
    expected     it happened, and was planned
    false_alarm  nothing was wrong
    new_normal   from now on this is how it is
    unsure       withdraws what was said before: nobody knows
    """
    from streamer.feedback.labels import LabelMessage, consequence, join
    from streamer.journal import LabelKind

    with opened(config, sets) as (_, journal):
        said = LabelMessage(LabelKind(label), alert_id=alert, by=by, note=note)
        found, incident = join(said, journal, now_s=time.time())
        number = journal.label(found)
    told = {
        "schema": "streamer.label/1",
        "number": number,
        "alert_id": found.alert_id,
        "effect": consequence(found),
    }
    click.echo(
        json.dumps(told)
        if output == "json"
        else f"{incident.summary if incident else ''}\n{told['effect']}"
    )


@contextmanager
def opened(path: Path, sets: tuple[str, ...]) -> Iterator[tuple[Config, Journal]]:
    """Open the journal of a configuration; ConfigError if it keeps none between processes."""
    from streamer.config.load import load_config
    from streamer.connect import open_journal
    from streamer.errors import ConfigError

    config = load_config(path, sets)
    if not config.store.keeps:
        raise ConfigError(
            "store.kind",
            "must be files or redis: with none the journal lives in the daemon's memory",
        )
    journal = open_journal(config)
    try:
        yield config, journal
    finally:
        journal.close()


def last_words(journal: Journal) -> dict[str, Label]:
    """Return the newest label of every incident."""
    return {label.alert_id: label for label in journal.labels(limit=100_000) if label.alert_id}


def shown(one: Incident, label: Label | None, output: str) -> str:
    """Return one line for an incident."""
    if output == "jsonl":
        return json.dumps(
            {"schema": SCHEMA, **asdict(one), "label": None if label is None else label.kind.value}
        )
    return (
        f"{one.alert_id[:12]}  {plain(one.started_s)}  {state(one):<12} {word(label):<12} "
        f"{one.summary}"
    )


def state(one: Incident) -> str:
    return "open" if one.ended_s is None else f"ended +{max(one.ended_s - one.started_s, 0):.0f}s"


def word(label: Label | None) -> str:
    return "-" if label is None else label.kind.value
