"""`streamer eval`: rates the alarms of a scored file against labels."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from streamer.timefmt import span

if TYPE_CHECKING:
    from streamer.offline.quality import Quality

SCHEMA = "streamer.eval/1"


@click.command("eval")
@click.option(
    "--scores",
    required=True,
    type=click.Path(path_type=Path),
    help="CSV written by `streamer score --scores`.",
)
@click.option(
    "--labels",
    required=True,
    type=click.Path(path_type=Path),
    help="JSON windows, or a CSV of 0 and 1.",
)
@click.option("--column", help="Label column of a CSV (default: guessed by name).")
@click.option("--name", help="Which file's windows, where the JSON holds those of many.")
@click.option(
    "--threshold",
    type=click.FloatRange(min=0, min_open=True),
    default=1.0,
    show_default=True,
    help="A row with `alarm` at or above this is an alarm.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["human", "json"]),
    default="human",
    show_default=True,
    help="Output.",
)
def evaluate(
    scores: Path, labels: Path, column: str | None, name: str | None, threshold: float, form: str
) -> None:
    """Rate a scored file against labels.

    Event-wise recall, false alarms a day and delay describe the alarms. Average precision describes
    the continuous score; a random score reaches the share of labelled rows. Nothing is
    point-adjusted.
    """
    from streamer.offline.label_files import read_scores, read_windows
    from streamer.offline.quality import judge

    scored = read_scores(scores)
    windows = read_windows(labels, scored, name=name or scores.name, column=column)
    quality = judge(scored.axis, scored.score, scored.alarm >= threshold, windows)
    click.echo(
        json.dumps(as_json(quality, threshold))
        if form == "json"
        else sentences(quality, scored.by_time)
    )


def as_json(quality: Quality, threshold: float) -> dict[str, Any]:
    rates = {
        name: getattr(quality, name) for name in ("recall", "precision", "false_alarms_per_day")
    }
    return {"schema": SCHEMA, "threshold": threshold, **asdict(quality), **rates}


def sentences(quality: Quality, by_time: bool) -> str:
    """Return the figures as plain lines."""
    q = quality
    lines = [
        f"{q.rows:,} rows, {q.windows} labelled windows ({q.base_rate:.1%} of the rows)",
        f"caught        {q.caught} of {q.windows}"
        + (f" (recall {q.recall:.0%})" if q.windows else ""),
        f"alarms        {q.alarms}, of them false {q.false_alarms}"
        + (f" (precision {q.precision:.0%})" if q.alarms else ""),
    ]
    if by_time and q.false_alarms_per_day is not None:
        lines.append(
            f"false a day   {q.false_alarms_per_day:.2f} over {q.days:.1f} days outside the windows"
        )
    if q.median_delay_s is not None:
        lines.append(
            f"median delay  {span(q.median_delay_s) if by_time else f'{q.median_delay_s:.0f} rows'}"
        )
    if q.average_precision is not None:
        lines.append(
            f"ranking       average precision {q.average_precision:.3f} (a random score: "
            f"{q.base_rate:.3f})"
        )
    return "\n".join(lines)
