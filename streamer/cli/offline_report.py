"""Shared by `score` and `backtest`: a replay, its output files and its report."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import click

from streamer.settings import Backend
from streamer.timefmt import DAY_S, span

if TYPE_CHECKING:
    from streamer.event import Alert, EventBatch, Fate, ModelRef, Scores
    from streamer.offline.score import ReplayResult, RowDetector, TrackRecorder
    from streamer.protocols import Source
    from streamer.settings import DetectSettings

    TakeRows = Callable[[EventBatch, Scores], None]

SENTENCES = 20
FORMATS = click.Choice(["human", "json"])
BACKENDS = click.Choice(get_args(Backend))


@dataclass(frozen=True, slots=True)
class Destinations:
    """The paths of the results; None: not written."""

    scores: Path | None = None
    alerts: Path | None = None
    plot: Path | None = None

    def of(self, name: str) -> Destinations:
        """Return the paths for one of several inputs.

        In a directory it is NAME.ext, else STEM-NAME.ext beside the given path.
        """
        return Destinations(
            *(_named(path, name, ext) for path, ext in zip(self.paths, _EXTENSIONS, strict=True))
        )

    @property
    def paths(self) -> tuple[Path | None, Path | None, Path | None]:
        return self.scores, self.alerts, self.plot

    def written(self) -> list[str]:
        return [str(path) for path in self.paths if path is not None]


_EXTENSIONS = (".csv", ".jsonl", ".png")


def _named(path: Path | None, name: str, extension: str) -> Path | None:
    if path is None:
        return None
    if path.is_dir():
        return path / f"{name}{extension}"
    return path.with_name(f"{path.stem}-{name}{path.suffix or extension}")


@dataclass(frozen=True, slots=True)
class Replayed:
    """One finished replay."""

    name: str
    settings: DetectSettings
    outcome: ReplayResult
    recorder: TrackRecorder | None
    model: ModelRef
    by_time: bool
    destinations: Destinations


def replay(
    name: str,
    source: Source,
    settings: DetectSettings,
    judge: RowDetector,
    model: ModelRef,
    destinations: Destinations,
    *,
    by_time: bool,
    fit_rows: int = 0,
) -> Replayed:
    """Run the source to its end through the production detector.

    Rows and alerts are written to their files at once.
    """
    from streamer.offline import score

    recorder = score.TrackRecorder(settings.channels) if destinations.plot else None
    with ExitStack() as stack:
        takers = [] if recorder is None else [recorder.take]
        on_rows = (*takers, *_score_file(stack, destinations.scores, settings.channels, by_time))
        on_alert = _alert_file(stack, destinations.alerts)
        progress = stack.enter_context(progress_rows(name))
        outputs = score.Outputs(
            lambda batch, scores: _each(on_rows, batch, scores), on_alert, progress
        )
        outcome = score.replay(source, judge, outputs, clock=time.perf_counter, fit_rows=fit_rows)
    return Replayed(name, settings, outcome, recorder, model, by_time, destinations)


def _each(calls: Sequence[TakeRows], batch: EventBatch, scores: Scores) -> None:
    for call in calls:
        call(batch, scores)


def _score_file(
    stack: ExitStack, path: Path | None, channels: tuple[str, ...], by_time: bool
) -> list[TakeRows]:
    if path is None:
        return []
    from streamer.connect.files.scores import ScoreCsv

    sink = ScoreCsv(path, channels, clock=by_time)
    stack.callback(sink.close)
    return [lambda batch, scores: sink.write(batch, scores, 0)]


def _alert_file(stack: ExitStack, path: Path | None) -> Callable[[Alert], None]:
    if path is None:
        return lambda alert: None
    from streamer.connect.files.append import AppendFile
    from streamer.connect.formats.alert_event import alert_json

    file = AppendFile(path, append=False)
    stack.callback(file.close)
    return lambda alert: file.write(alert_json(alert) + b"\n")


@contextmanager
def progress_rows(name: str) -> Iterator[Callable[[int], None]]:
    """Yield a function that counts rows on a terminal's stderr; it does nothing elsewhere."""
    if not sys.stderr.isatty():
        yield lambda rows: None
        return
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}  {task.completed:,.0f} rows"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(name.replace("[", r"\["), total=None)
        yield lambda rows: progress.advance(task, rows)


def draw(
    replayed: Replayed, known: Callable[[str], Sequence[tuple[float, float]]] = lambda entity: ()
) -> None:
    """Draw the plot, if requested, of the entity with the most alerts.

    `known` returns its labelled windows.
    """
    if replayed.destinations.plot is None or replayed.recorder is None:
        return
    from streamer.errors import InputError
    from streamer.offline.plot import draw as draw_picture
    from streamer.offline.plot_data import Picture

    alarms = replayed.recorder.entities()
    if not alarms:
        raise InputError(f"{replayed.name}: nothing to plot, no row could be read")
    opened = Counter(alert.entity for alert in replayed.outcome.opened)
    entity = max(alarms, key=lambda name: (opened[name], alarms[name]))
    alerts = tuple(alert for alert in replayed.outcome.opened if alert.entity == entity)
    track = replayed.recorder.track(entity)
    title = replayed.name if len(alarms) == 1 else f"{replayed.name}: {entity}"
    footer = account(replayed)
    if len(alarms) > 1:
        footer += f"   ·   1 of {len(alarms)} entities, the one with the most alerts"
    if replayed.recorder.full:
        footer += f"   ·   the first {replayed.recorder.rows:,} rows"
    draw_picture(
        Picture(title, track, alerts, replayed.by_time, tuple(known(entity)), footer),
        replayed.destinations.plot,
    )


def account(replayed: Replayed) -> str:
    """Return one line: rows by fate, and the model."""
    from streamer.event import Fate

    outcome = replayed.outcome
    fates = [f"{outcome.fates[fate]:,} {_fate(fate)}" for fate in Fate if outcome.fates[fate]]
    return "   ·   ".join(
        [f"{outcome.rows:,} rows: {', '.join(fates) or 'none'}", f"{_model(replayed.model)}"]
    )


def _fate(fate: Fate) -> str:
    """Return a fate in a word: an undecodable row is called rejected, as in the score file."""
    return "rejected" if fate.name == "DEAD_LETTERED" else fate.name.lower()


def _model(ref: ModelRef) -> str:
    return (
        "baseline (no model)"
        if ref.backend == "baseline"
        else f"model {ref.version} on {ref.backend}"
    )


def tell(replayed: Replayed) -> str:
    """Return the report of one replay for a person."""
    outcome, channels = replayed.outcome, len(replayed.settings.channels)
    lines = [
        click.style(replayed.name, bold=True),
        f"  {account(replayed)}",
        f"  {_count(channels, 'channel')}, {_alarm_line(replayed)}",
        *(
            f"  {i:>3}  {_told(alert, replayed.by_time)}"
            for i, alert in enumerate(outcome.opened[:SENTENCES], start=1)
        ),
    ]
    if len(outcome.opened) > SENTENCES:
        lines.append(
            f"       ... and {len(outcome.opened) - SENTENCES} more; --alerts FILE keeps them all"
        )
    if outcome.first_rejected is not None:
        first = outcome.first_rejected
        reasons = ", ".join(
            f"{count} {reason}" for reason, count in sorted(outcome.reasons.items())
        )
        lines.append(f"  rejected: {reasons}; the first is row {first.offset}: {first.detail}")
    lines.append(f"  {outcome.seconds:.1f} s, {outcome.rows_per_s:,.0f} rows/s")
    if written := replayed.destinations.written():
        lines.append(f"  written: {', '.join(written)}")
    return "\n".join(lines)


def _alarm_line(replayed: Replayed) -> str:
    outcome = replayed.outcome
    told = f"{_count(outcome.alarms, 'alarm row')}, {_count(len(outcome.opened), 'alert')}"
    if not replayed.by_time or outcome.days <= 0:
        return told
    if outcome.days < 1:  # a rate from less than a day would be a guess
        return f"{told} in {span(outcome.days * DAY_S)}"
    budget = replayed.settings.budget_per_day
    return (
        f"{told} in {outcome.days:.1f} days ({len(outcome.opened) / outcome.days:.2f} a day, "
        f"budget {budget:g} a day)"
    )


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'s' * (number != 1)}"


def _told(alert: Alert, by_time: bool) -> str:
    from streamer.cli.explain import plain

    at = (
        f"row {alert.window.last_offset:>7,}"
        if alert.window is not None and not by_time
        else alert.detected_at
    )
    return f"{at}  {alert.severity:<8}  {plain(alert.summary)}"


def as_json(replayed: Replayed, schema: str, **extra: Any) -> dict[str, Any]:
    """Return the same report for a machine."""
    from streamer.event import Fate

    outcome = replayed.outcome
    return {
        "schema": schema,
        "name": replayed.name,
        "rows": outcome.rows,
        "alarms": outcome.alarms,
        "alerts": len(outcome.opened),
        "seconds": round(outcome.seconds, 4),
        "rows_per_s": round(outcome.rows_per_s, 1),
        "channels": list(replayed.settings.channels),
        "fates": {fate.name.lower(): int(outcome.fates[fate]) for fate in Fate},
        "rejected": outcome.reasons,
        "model": {
            "version": replayed.model.version,
            "backend": replayed.model.backend,
            "sha256": replayed.model.sha256,
        },
        "written": replayed.destinations.written(),
        **extra,
    }
