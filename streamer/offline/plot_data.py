"""The data of a plot: which channels and rows it shows, and their reduction to pixel columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from streamer.event import F32, F64, I64, Alert, Bool
from streamer.offline.score import Track
from streamer.timefmt import seconds

MAX_PANELS = 8
COLUMNS = 1400  # more points than this are drawn as their envelope


@dataclass(frozen=True, slots=True)
class Picture:
    """The contents of a plot.

    `windows` are labelled spans on the time axis, `footer` is one line of counts.
    """

    title: str
    track: Track
    alerts: tuple[Alert, ...] = ()  # opened alerts of the track's entity, in order
    by_time: bool = True  # False if the x axis is the row number
    windows: tuple[tuple[float, float], ...] = ()
    footer: str = ""


def involved_channels(track: Track, limit: int = MAX_PANELS) -> list[int]:
    """The channels with most of the score of alarm rows, in the file's order.

    If no alarm fired, of all rows.
    """
    count = len(track.channels)
    if count <= limit:
        return list(range(count))
    fired = track.alarm >= 1
    weight = np.nansum(track.parts[fired] if fired.any() else track.parts, axis=0)[:count]
    return sorted(np.argsort(-weight, kind="stable")[:limit].tolist())


def x_axis(picture: Picture) -> F64:
    if picture.by_time:
        return picture.track.time_s / 86_400.0  # matplotlib counts days since 1970
    return picture.track.row.astype(np.float64)


def bucket_edges(x: F64, columns: int = COLUMNS) -> I64:
    """First row of each of at most `columns` groups of adjacent rows.

    With few rows, every row is a group.
    """
    if len(x) <= 2 * columns:
        return np.arange(len(x))
    return np.unique(np.linspace(0, len(x), columns, endpoint=False).astype(np.int64))


def envelope(x: F64, y: F32, edges: I64) -> tuple[F64, F64]:
    """A line through the lowest and highest value of each group, so no spike is lost.

    NaN if a group has no value.
    """
    if len(edges) == len(x):
        return x, y.astype(np.float64)
    low = np.fmin.reduceat(y, edges)
    high = np.fmax.reduceat(y, edges)
    return np.repeat(x[edges], 2), np.column_stack([low, high]).ravel().astype(np.float64)


def group_mean(y: F32, edges: I64) -> F64:
    """Mean of each group without NaN; NaN if a group has no value."""
    known = ~np.isnan(y)
    total = np.add.reduceat(np.where(known, y, 0).astype(np.float64), edges)
    count = np.add.reduceat(known.astype(np.float64), edges)
    mean: F64 = np.divide(total, count, out=np.full(len(edges), np.nan), where=count > 0)
    return mean


def group_peaks(y: F32, edges: I64) -> F32:
    return y if len(edges) == len(y) else np.maximum.reduceat(y, edges)


def blamed_rows(track: Track, fired: I64, channel: int) -> Bool:
    """Whether the channel carries at least a tenth of the score, per alarm row."""
    total = np.maximum(track.score[fired], 1e-12)
    return np.asarray(track.parts[fired, channel] >= 0.1 * total)


def alert_rows(track: Track, alerts: Sequence[Alert]) -> list[int]:
    """Index into the track of the row that raised each alert (the nearest row kept)."""
    if not len(track.row):
        return [0 for _ in alerts]
    rows = [_row_of(track, alert) for alert in alerts]
    return [int(np.clip(row, 0, len(track.row) - 1)) for row in rows]


def _row_of(track: Track, alert: Alert) -> int:
    if alert.window is not None:
        return int(np.searchsorted(track.row, alert.window.last_offset))
    when = seconds(alert.detected_at)
    return int(np.searchsorted(track.time_s, when))
