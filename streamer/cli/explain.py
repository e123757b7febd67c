"""`streamer explain`: one alert as a page for the terminal."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from streamer.event import Alert, ChannelPart, WindowSlice

BAR = 16
SPARK = "▁▂▃▄▅▆▇█"
CHANNELS = 8
STEPS = 10
OTHERS = 8


@click.command("explain")
@click.argument("file", type=click.Path(path_type=Path))
@click.argument("alert", required=False)
@click.option(
    "--format",
    "form",
    type=click.Choice(["human", "json"]),
    default="human",
    show_default=True,
    help="Output.",
)
def explain(file: Path, alert: str | None, form: str) -> None:
    """Explain one ALERT (an id, its beginning, or its line number) of a JSONL FILE of alerts.

    Without ALERT: the gravest one, and a list of the others.
    """
    from rich.console import Console

    alerts = read_alerts(file)
    chosen = pick(alerts, alert, file)
    if form == "json":
        import msgspec

        click.echo(msgspec.json.encode(chosen).decode())
        return
    console = Console(highlight=False, markup=False, soft_wrap=False)
    page(console, chosen)
    if alert is None:
        _others(console, alerts, chosen)


def read_alerts(path: Path) -> list[Alert]:
    """Return all alerts of a JSONL file; InputError names a line that is not one."""
    import msgspec

    from streamer.connect.formats.alert_event import is_model_event
    from streamer.errors import InputError
    from streamer.event import Alert

    try:
        lines = path.read_bytes().splitlines()
    except OSError as exc:
        raise InputError(f"{path}: cannot be read: {exc.strerror or exc}") from exc
    decoder, alerts = msgspec.json.Decoder(Alert), []
    for number, line in enumerate(lines, start=1):
        if line.strip() and not is_model_event(line):
            try:
                alerts.append(decoder.decode(line))
            except (msgspec.DecodeError, UnicodeDecodeError) as exc:
                raise InputError(f"{path}:{number}: is not an alert: {exc}") from exc
    if not alerts:
        raise InputError(f"{path}: holds no alerts")
    return alerts


def pick(alerts: Sequence[Alert], wanted: str | None, path: Path) -> Alert:
    """Return the wanted alert, the gravest by default; InputError if no or several ids match."""
    from streamer.errors import InputError

    if wanted is None:
        return max(alerts, key=lambda alert: (alert.event == "opened", alert.score))
    matches = [alert for alert in alerts if alert.alert_id.startswith(wanted)]
    if not matches and wanted.isascii() and wanted.isdigit() and 1 <= int(wanted) <= len(alerts):
        return alerts[int(wanted) - 1]
    if not matches:
        raise InputError(
            f"{path}: no alert has an id that starts with {wanted!r}; `streamer explain {path}` "
            f"lists them"
        )
    if len({alert.alert_id for alert in matches}) > 1:
        raise InputError(
            f"{path}: {len(matches)} alerts have ids that start with {wanted!r}: {_ids(matches)}"
        )
    return matches[0]


def _ids(alerts: Iterable[Alert]) -> str:
    return ", ".join(alert.alert_id for alert in list(alerts)[:5])


def page(console: Console, alert: Alert) -> None:
    """Print all facts of the alert, its summary first."""
    grave = "bold white on red" if alert.severity == "critical" else "bold black on yellow"
    console.print(f" {plain(alert.severity).upper()} ", style=grave, end=" ")
    console.print(plain(alert.summary), style="bold")
    console.print()
    for name, text in _facts(alert):
        console.print(f"  {name:<10}", style="dim", end="")
        console.print(plain(text))
    console.print()
    console.print(_parts(alert))
    if alert.window is not None:
        _series(console, alert, alert.window)
    _attention(console, alert)


def _facts(alert: Alert) -> list[tuple[str, str]]:
    facts = [
        (
            "alert",
            f"{alert.alert_id} ({alert.event}, "
            f"{alert.status}{', replayed' if alert.replayed else ''})",
        ),
        (
            "where",
            f"{alert.stream} / {alert.entity}"
            + "".join(f" {k}={v}" for k, v in alert.labels.items()),
        ),
        ("when", f"{alert.detected_at}, incident since {alert.started_at}"),
        (
            "score",
            f"{alert.score:.2f}, alarm at {alert.threshold:g}; so strange by chance: "
            f"{alert.p_value:.2g}",
        ),
        ("why", ", ".join(alert.reasons) or "-"),
        (
            "model",
            f"{alert.model.version} on {alert.model.backend}, sha256 {alert.model.sha256[:12]}",
        ),
    ]
    if alert.window is not None:
        w = alert.window
        facts.insert(3, ("log", f"{w.topic}[{w.partition}] {w.first_offset}..{w.last_offset}"))
    return facts


def _parts(alert: Alert) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 2), header_style="dim")
    for name, justify in (
        ("", "left"),
        ("observed", "right"),
        ("expected", "right"),
        ("share", "right"),
        ("", "left"),
    ):
        table.add_column(name, justify=justify)  # type: ignore[arg-type]
    for part in sorted(alert.channels, key=lambda part: -part.share)[:CHANNELS]:
        table.add_row(
            f"  {plain(part.name)}",
            _amount(part.observed, part.unit),
            _band(part),
            *_share(part.share),
        )
    if len(alert.channels) > CHANNELS:
        table.add_row(
            f"  ... and {len(alert.channels) - CHANNELS} channels with less", "", "", "", ""
        )
    if alert.rhythm is not None:
        r = alert.rhythm
        table.add_row(
            "  rhythm (gap)",
            f"{r.gap_s:.4g} s",
            f"{r.low_s:.4g} to {r.high_s:.4g} s",
            *_share(r.share),
        )
    return table


def _share(share: float) -> tuple[str, str]:
    return f"{share:.0%}", bar(share)


def bar(share: float, width: int = BAR) -> str:
    """Return a bar of eighth blocks; a share of 1 has `width` cells."""
    eighths = round(max(0.0, min(share, 1.0)) * width * 8)
    return "█" * (eighths // 8) + ("", "▏", "▎", "▍", "▌", "▋", "▊", "▉")[eighths % 8]


def _amount(value: float | None, unit: str | None) -> str:
    return "missing" if value is None else f"{value:.5g}" + (f" {plain(unit)}" if unit else "")


def _band(part: ChannelPart) -> str:
    if part.low is None or part.high is None:
        return "-" if part.expected is None else f"{part.expected:.5g}"
    return f"{part.low:.5g} to {part.high:.5g}"


def _series(console: Console, alert: Alert, window: WindowSlice) -> None:
    """Print the raw window of the channels with the largest shares, one sparkline each."""
    console.print()
    console.print(f"  the last {window.length} events, {window.start} to {window.end}", style="dim")
    names = [part.name for part in alert.channels]
    ranked = sorted(range(len(names)), key=lambda i: -alert.channels[i].share)[:CHANNELS]
    width = max((len(plain(names[i])) for i in ranked), default=0)
    for i in ranked:
        column = [row[i] if i < len(row) else None for row in window.values]
        known = [value for value in column if value is not None]
        span = f"{min(known):.4g} .. {max(known):.4g}" if known else "all missing"
        console.print(f"  {plain(names[i]):<{width}}  {sparkline(column)}  {span}")


def sparkline(values: Sequence[float | None]) -> str:
    """Return one block per value, scaled to their range; a gap for a missing value."""
    known = [value for value in values if value is not None and math.isfinite(value)]
    low, high = (min(known), max(known)) if known else (0.0, 0.0)
    step = (high - low) / (len(SPARK) - 1) or 1.0
    return "".join(
        " " if value is None or not math.isfinite(value) else SPARK[round((value - low) / step)]
        for value in values
    )


def _attention(console: Console, alert: Alert) -> None:
    if not alert.attention:
        return
    console.print()
    console.print("  what the network listened to (events before this one)", style="dim")
    top = max(step.weight for step in alert.attention) or 1.0
    for step in sorted(alert.attention, key=lambda step: -step.weight)[:STEPS]:
        console.print(f"  {step.offset:>5}  {step.weight:>6.1%}  {bar(step.weight / top)}")


def _others(console: Console, alerts: Sequence[Alert], chosen: Alert) -> None:
    rest = [
        alert for alert in alerts if alert.event == "opened" and alert.alert_id != chosen.alert_id
    ]
    if not rest:
        return
    console.print()
    console.print(f"  {len(rest)} more, the gravest first:", style="dim")
    for alert in sorted(rest, key=lambda alert: -alert.score)[:OTHERS]:
        console.print(
            f"  {alert.alert_id}  {alert.detected_at}  {plain(alert.summary)}",
            overflow="ellipsis",
            no_wrap=True,
        )


def plain(text: str) -> str:
    """Replace control characters, which could control the terminal."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)
