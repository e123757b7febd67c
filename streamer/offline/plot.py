"""The plot of a scored series: observed and expected values, score, alarms.

Needs matplotlib (the [console] extra), loaded only when a plot is drawn. Colours are those of Okabe
and Ito (2008), which colour-blind readers can distinguish.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from streamer.errors import BackendError, SinkError
from streamer.event import F32, F64, I64, Fate
from streamer.offline.plot_data import (
    Picture,
    alert_rows,
    blamed_rows,
    bucket_edges,
    envelope,
    group_mean,
    group_peaks,
    involved_channels,
    x_axis,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MARGIN = 0.025  # fraction of the width, left of all text
WIDTH, HEIGHT, DPI = 16.0, 9.0, 100  # 1600 x 900 pixels
TALL = 3  # up to this many channels, a panel has room for all its ticks
SENTENCES = 3
NAME = 20  # characters of a channel's name
THINNEST = 0.003  # fraction of the width
NUMBERS_EVERY = 0.018  # fraction of the width: numbers closer than this would overlap

INK, FAINT, GRID = "#22303c", "#7b8794", "#e6eaee"
LINE, BAND, SCORE, ALARM, WARMING = "#22303c", "#56b4e9", "#0072b2", "#d55e00", "#c9d1d9"
LABEL, LABEL_EDGE = "#f0e442", "#e6b800"

STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 10.5,
    "axes.edgecolor": GRID,
    "axes.labelcolor": FAINT,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "axes.axisbelow": True,
    "text.color": INK,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "axes.formatter.useoffset": False,
    "figure.facecolor": "white",
    "text.parse_math": False,
}


def draw(picture: Picture, path: Path) -> None:
    """Write the plot in the format of the suffix of `path`.

    BackendError without matplotlib, SinkError if it cannot be written.
    """
    with _matplotlib():
        figure = _figure(picture)
        try:
            figure.savefig(path, dpi=DPI)
        except (OSError, ValueError) as exc:
            raise SinkError(f"{path}: the plot cannot be written: {exc}") from exc


@contextmanager
def _matplotlib() -> Iterator[None]:
    try:
        import matplotlib as mpl
    except ImportError as exc:
        raise BackendError("a plot needs matplotlib: pip install 'streamer[console]'") from exc
    with mpl.rc_context(STYLE):
        yield


def _figure(picture: Picture) -> Figure:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    shown = involved_channels(picture.track)
    figure = Figure(figsize=(WIDTH, HEIGHT))
    FigureCanvasAgg(figure)
    said = min(len(picture.alerts), SENTENCES)
    ratios = [1.0] * len(shown) + [max(0.55, 0.2 * len(shown)), max(0.4, 0.15 * len(shown))]
    left = MARGIN + 0.0062 * max(13, *(min(len(picture.track.channels[i]), NAME) for i in shown))
    panels = figure.subplots(
        len(ratios),
        1,
        sharex=True,
        gridspec_kw={
            "height_ratios": ratios,
            "left": left,
            "right": 0.945,
            "top": 0.87,
            "bottom": 0.105 + 0.026 * said,
            "hspace": 0.09,
        },
    )
    x = x_axis(picture)
    for panel, channel in zip(panels[:-2], shown, strict=True):
        _channel(panel, picture, x, channel)
    _score(panels[-2], picture, x)
    _alarm(panels[-1], picture, x)
    rows = alert_rows(picture.track, picture.alerts)
    for panel in panels:
        _ticks(panel, tall=len(shown) <= TALL)
        _spans(panel, picture)
        for row in rows:
            panel.axvline(x[row], color=ALARM, linewidth=0.8, alpha=0.4, zorder=2)
    _numbers(panels[0], x, rows)
    _words(figure, picture, shown)
    _time_axis(panels[-1], picture, x)
    return figure


def _channel(panel: Axes, picture: Picture, x: F64, channel: int) -> None:
    track = picture.track
    edges = bucket_edges(x)
    low, high = (group_mean(side[:, channel], edges) for side in (track.low, track.high))
    panel.fill_between(x[edges], low, high, color=BAND, alpha=0.38, linewidth=0, zorder=1)
    _line(panel, x, track.values[:, channel], edges)
    fired = np.flatnonzero(track.alarm >= 1)
    blamed = fired[blamed_rows(track, fired, channel)]
    panel.plot(
        x[blamed],
        track.values[blamed, channel],
        "o",
        color=ALARM,
        ms=6,
        mec="white",
        mew=1.0,
        zorder=5,
    )
    _limits(panel, track.values[:, channel], low, high)
    _name(panel, track.channels[channel])


def _name(panel: Axes, name: str, note: str = "") -> None:
    """Write the panel's name into the left margin, and move its ticks to the right."""
    lines: list[tuple[str, int, dict[str, Any]]] = [
        (name, 7 if note else 0, {"fontsize": 10.5, "fontweight": "bold", "color": INK})
    ]
    lines += [(note, -7, {"fontsize": 9, "color": FAINT})] if note else []
    for text, up, look in lines:
        panel.annotate(
            _shortened(text, NAME),
            (0, 0.5),
            xycoords="axes fraction",
            xytext=(-8, up),
            textcoords="offset points",
            ha="right",
            va="center",
            annotation_clip=False,
            **look,
        )
    panel.yaxis.tick_right()


def _ticks(panel: Axes, *, tall: bool) -> None:
    """Set few ticks; in a low panel none at the edges, where they would overlap."""
    from matplotlib.ticker import MaxNLocator

    panel.yaxis.set_major_locator(
        MaxNLocator(nbins=5) if tall else MaxNLocator(nbins=3, prune="both", min_n_ticks=1)
    )


def _line(panel: Axes, x: F64, y: F32, edges: I64) -> None:
    panel.plot(*envelope(x, y, edges), color=LINE, linewidth=0.9, zorder=3, solid_joinstyle="round")
    alone = ~np.isnan(y) & np.isnan(np.r_[np.nan, y[:-1]]) & np.isnan(np.r_[y[1:], np.nan])
    if alone.any():  # a value between two gaps has no line
        panel.plot(x[alone], y[alone], ".", color=LINE, ms=2.5, zorder=3)


def _limits(panel: Axes, y: F32, low: F64, high: F64) -> None:
    """Scale the panel by the series.

    The expected band may leave the panel, so that it does not flatten the series.
    """
    known = y[~np.isnan(y)]
    if not known.size:
        panel.set_ylim(0, 1)
        return
    bottom, top = float(known.min()), float(known.max())
    room = 0.25 * max(top - bottom, 1e-9)
    with np.errstate(all="ignore"):
        inner = [
            value
            for value in (np.nanmin(low, initial=np.inf), np.nanmax(high, initial=-np.inf))
            if np.isfinite(value)
        ]
    if inner:
        bottom, top = (
            max(bottom - room, min(bottom, inner[0])),
            min(top + room, max(top, inner[-1])),
        )
    pad = 0.06 * max(top - bottom, 1e-3 * max(abs(top), abs(bottom), 1e-9))
    panel.set_ylim(bottom - pad, top + pad)


def _score(panel: Axes, picture: Picture, x: F64) -> None:
    """Draw the continuous score, which has no alarm line."""
    edges = bucket_edges(x)
    peaks = group_peaks(picture.track.score, edges)
    panel.fill_between(x[edges], 0, peaks, color=SCORE, alpha=0.18, linewidth=0, zorder=1)
    panel.plot(x[edges], peaks, color=SCORE, linewidth=1.0, zorder=3)
    panel.set_ylim(0, 1.15 * max(float(picture.track.score.max(initial=0)), 1e-3))
    _name(panel, "score", "continuous")


def _alarm(panel: Axes, picture: Picture, x: F64) -> None:
    """Draw the alarm scale and the line at which it fires."""
    edges, alarm = bucket_edges(x), picture.track.alarm
    panel.fill_between(
        x[edges],
        0,
        group_peaks(alarm, edges),
        color=ALARM,
        alpha=0.35,
        linewidth=0.6,
        step="mid",
        zorder=1,
    )
    fired = np.flatnonzero(alarm >= 1)
    panel.plot(x[fired], alarm[fired], "o", color=ALARM, ms=6, mec="white", mew=1.0, zorder=5)
    panel.axhline(1.0, color=ALARM, linewidth=1.0, linestyle=(0, (5, 4)), zorder=2)
    panel.set_ylim(0, max(1.5, 1.25 * float(alarm.max(initial=0))))
    _name(panel, "alarm", "fires at 1.0")


def _spans(panel: Axes, picture: Picture) -> None:
    """Draw labelled windows, with a minimum width, and the rows before the first score."""
    x, scale = x_axis(picture), 86_400.0 if picture.by_time else 1.0
    thinnest = THINNEST * scale * (float(np.ptp(x)) if len(x) else 0.0)
    for begin, finish in picture.windows:
        room = max(thinnest - (finish - begin), 0.0) / 2
        start, end = begin - room, finish + room
        panel.axvspan(start / scale, end / scale, color=LABEL, alpha=0.22, linewidth=0, zorder=0)
        panel.axvspan(
            start / scale, end / scale, 0.0, 0.03, color=LABEL_EDGE, linewidth=0, zorder=4
        )
    judged = np.flatnonzero(picture.track.fate == Fate.SCORED)
    if judged.size and judged[0] > 0:
        panel.axvspan(x[0], x[judged[0]], color=WARMING, alpha=0.35, linewidth=0, zorder=0)


def _numbers(panel: Axes, x: F64, rows: Sequence[int]) -> None:
    """Write the number of each alert above the first panel, unless numbers would overlap."""
    span, last = max(float(np.ptp(x)) if len(x) else 0.0, 1e-12), -np.inf
    for number, row in enumerate(rows, start=1):
        if (x[row] - last) / span < NUMBERS_EVERY:
            continue
        last = float(x[row])
        panel.annotate(
            str(number),
            (last, 1.0),
            xycoords=("data", "axes fraction"),
            xytext=(0, 4),
            textcoords="offset points",
            ha="center",
            va="bottom",
            fontsize=9.5,
            color="white",
            fontweight="bold",
            bbox={"boxstyle": "round,pad=0.22", "facecolor": ALARM, "edgecolor": "none"},
            annotation_clip=False,
        )


def _words(figure: Figure, picture: Picture, shown: Sequence[int]) -> None:
    figure.text(
        MARGIN,
        0.955,
        _shortened(picture.title, 60),
        fontsize=17,
        fontweight="bold",
        color=INK,
        va="center",
    )
    figure.text(
        MARGIN,
        0.918,
        _shortened(_subtitle(picture, len(shown))),
        fontsize=10.5,
        color=FAINT,
        va="center",
    )
    _legend(figure, picture)
    strongest = sorted(range(len(picture.alerts)), key=lambda i: -picture.alerts[i].score)[
        :SENTENCES
    ]
    for line, index in enumerate(sorted(strongest)):
        y = 0.042 + 0.026 * (len(strongest) - 1 - line)
        figure.text(
            MARGIN,
            y,
            str(index + 1),
            fontsize=10,
            fontweight="bold",
            color=ALARM,
            va="center",
            ha="right",
        )
        figure.text(
            MARGIN + 0.008,
            y,
            _shortened(picture.alerts[index].summary),
            fontsize=10,
            color=INK,
            va="center",
        )
    figure.text(MARGIN, 0.016, _shortened(picture.footer), fontsize=9.5, color=FAINT, va="center")


def _subtitle(picture: Picture, shown: int) -> str:
    total = len(picture.track.channels)
    named = bool(picture.track.entity) and picture.track.entity not in picture.title
    parts = [f"entity {picture.track.entity}"] if named else []
    parts.append(f"{len(picture.track.row):,} rows")
    parts.append(
        f"the {shown} most involved of {total} channels"
        if shown < total
        else _plural(total, "channel")
    )
    parts.append(_plural(len(picture.alerts), "alert"))
    return "   ·   ".join(parts)


def _plural(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def _shortened(text: str, limit: int = 190) -> str:
    clean = "".join(char if char.isprintable() else "?" for char in text)
    return clean if len(clean) <= limit else clean[: limit - 1] + "…"


def _legend(figure: Figure, picture: Picture) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles: list[Any] = [
        Line2D([], [], color=LINE, linewidth=1.4, label="observed"),
        Patch(facecolor=BAND, alpha=0.45, label="expected"),
        Line2D([], [], color=SCORE, linewidth=1.6, label="score"),
        Line2D(
            [], [], marker="o", color=ALARM, linestyle=(0, (5, 4)), mec="white", ms=8, label="alarm"
        ),
    ]
    if picture.windows:
        handles.append(Patch(facecolor=LABEL_EDGE, alpha=0.8, label="labelled"))
    figure.legend(
        handles=handles,
        loc="center right",
        bbox_to_anchor=(0.987, 0.945),
        ncols=len(handles),
        frameon=False,
        fontsize=10,
    )


def _time_axis(panel: Axes, picture: Picture, x: F64) -> None:
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    if picture.by_time:
        locator = AutoDateLocator(minticks=5, maxticks=12)
        panel.xaxis.set_major_locator(locator)
        panel.xaxis.set_major_formatter(ConciseDateFormatter(locator))
    else:
        panel.set_xlabel("row")
    if len(x):
        room = 0.004 * max(float(x[-1] - x[0]), 1e-9)
        panel.set_xlim(float(x[0]) - room, float(x[-1]) + room)
