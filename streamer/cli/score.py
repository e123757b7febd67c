"""`streamer score`: scores any CSV or JSONL file without a configuration."""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from streamer.cli.offline_report import (
    BACKENDS,
    FORMATS,
    Destinations,
    Replayed,
    as_json,
    draw,
    tell,
)
from streamer.cli.offline_report import replay as run_replay
from streamer.errors import InputError, StreamerError

if TYPE_CHECKING:
    from streamer.connect.files.infer import Guess
    from streamer.event import ModelRef
    from streamer.offline.score import RowDetector
    from streamer.settings import DetectSettings

SCHEMA = "streamer.score/1"
PRESET_NAMES = ("sensors", "transactions", "metrics", "edge")


@dataclass(frozen=True, slots=True)
class Asked:
    """The options for columns and judging; None: guess, or the default."""

    time: str | None
    values: tuple[str, ...]
    entity: str | None
    separator: str | None
    preset: str | None
    model: Path | None
    backend: str
    fit_rows: int


@click.command("score")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--time", metavar="COL", help="Time column ('': there is none).")
@click.option("--values", metavar="A,B", help="Channels, separated by commas.")
@click.option("--entity", metavar="COL", help="Column that names the entity a row belongs to.")
@click.option("--sep", metavar="CHAR", help="Separator of a CSV.")
@click.option("--preset", type=click.Choice(PRESET_NAMES), help="Settings for a kind of data.")
@click.option(
    "--model",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Model bundle (default: the starter).",
)
@click.option(
    "--backend", type=BACKENDS, default="auto", show_default=True, help="What runs the network."
)
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
def score(
    *,
    files: tuple[Path, ...],
    time: str | None,
    values: str | None,
    entity: str | None,
    sep: str | None,
    preset: str | None,
    model: Path | None,
    backend: str,
    fit_rows: int,
    scores: Path | None,
    alerts: Path | None,
    plot: Path | None,
    form: str,
) -> None:
    """Score every row of FILES with the starter model, without any configuration.

    Time, value and entity columns are guessed where not given, and the guess is printed. The score
    of a row depends on that row and the rows before it, never on later ones. Several FILES are
    scored one after the other; output names then contain the name of the file.
    """
    names = tuple(name.strip() for name in (values or "").split(",") if name.strip())
    asked = Asked(time, names, entity, sep, preset, model, backend, fit_rows)
    outputs = Destinations(scores, alerts, plot)
    failed: list[StreamerError] = []
    for path, name in zip(files, distinct_names(files), strict=True):
        try:
            one = outputs.of(name) if len(files) > 1 else outputs
            _say(*score_file(path, name, asked, one), form, hint=not any(outputs.paths))
        except StreamerError as exc:
            if len(files) == 1:
                raise
            click.echo(f"error: {exc}", err=True)
            failed.append(exc)
    if failed:
        raise InputError(f"{len(failed)} of {len(files)} files could not be scored")


def score_file(
    path: Path, name: str, asked: Asked, outputs: Destinations
) -> tuple[Replayed, list[str]]:
    """Score one file; return the replay and notes on the roles of the columns.

    InputError if the file cannot be understood.
    """
    from streamer.connect.files.infer import guess_fields
    from streamer.connect.files.source import FileSource

    guess = guess_fields(
        path,
        time=asked.time,
        entity=asked.entity,
        channels=asked.values or None,
        separator=asked.separator,
    )
    source = FileSource(
        path,
        guess.fields,
        stream=name,
        form=guess.form,
        separator=guess.separator,
        columns=guess.columns,
    )
    settings = settings_for(name, guess, asked.preset)
    judge, ref = open_judge(settings, asked.model, asked.backend)
    with closing(source):
        replayed = run_replay(
            name,
            source,
            settings,
            judge,
            ref,
            outputs,
            by_time=guess.has_time,
            fit_rows=asked.fit_rows,
        )
    draw(replayed)
    return replayed, list(guess.notes)


def settings_for(name: str, guess: Guess, preset: str | None) -> DetectSettings:
    """Return the settings for one file: the defaults, or a preset's."""
    from streamer.config.load import stream_from

    fields = guess.fields
    body: dict[str, Any] = {
        "name": "score",
        "source": {"kind": "file", "path": name},
        "fields": {"time": fields.time},
    }
    settings = stream_from(body | ({"preset": preset} if preset else {})).detect_settings(
        fields.channels
    )
    return replace(
        settings, stream=name, max_entities=settings.max_entities if fields.entity else 1
    )


def open_judge(
    settings: DetectSettings, model: Path | None, backend: str
) -> tuple[RowDetector, ModelRef]:
    """Return the production detector over the bundle in `model` (None: the starter bundle)."""
    from streamer import artifact
    from streamer.backends import baseline_scorer, open_scorer
    from streamer.detect.pipeline import Detector

    if backend == "baseline" and model is None:
        spec = artifact.ModelSpec()
        scorer = baseline_scorer(spec)
        return Detector(settings, scorer, spec), scorer.ref
    bundle = artifact.load(model or artifact.PRETRAINED)
    scorer = open_scorer(bundle, backend)
    return Detector(settings, scorer, bundle.spec, bundle.calibration), scorer.ref


def distinct_names(files: tuple[Path, ...]) -> list[str]:
    """Return a name for each file: its stem, numbered where several share it."""
    seen: dict[str, int] = {}
    names = []
    for path in files:
        stem = path.name.split(".")[0] or path.name
        seen[stem] = seen.get(stem, 0) + 1
        names.append(stem if seen[stem] == 1 else f"{stem}-{seen[stem]}")
    return names


def _say(replayed: Replayed, notes: list[str], form: str, hint: bool) -> None:
    click.echo(f"{replayed.name}: {'; '.join(notes)}", err=True)
    if form == "json":
        click.echo(json.dumps(as_json(replayed, SCHEMA, guess=notes)))
        return
    click.echo(tell(replayed))
    if hint:
        click.echo("  keep them: --scores OUT.csv, --alerts OUT.jsonl; see them: --plot OUT.png")
