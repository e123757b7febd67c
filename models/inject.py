"""Known anomalies put into normal streams, so that a detector can be measured where nobody labelled
anything.

Every kind changes rows [start, start + length) of an entity's values (L, C) or times (L,), in units
of the stream itself, and leaves all rows before `start` untouched. Times stay ascending.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from models.dataset import History
from streamer.event import F32, F64

Rng = np.random.Generator
SPAN_ROWS = (5, 40)


def inject(
    rng: Rng, history: History, after: int, kinds: tuple[str, ...] = ()
) -> tuple[History, list[str]]:
    """A copy with one anomaly per entity at a random row >= `after`, marked in `anomaly`; and the
    kind of each.
    """
    known = kinds or (*VALUE_KINDS, *RHYTHM_KINDS)
    values, time_s, anomaly = history.values.copy(), history.time_s.copy(), history.anomaly.copy()
    names = [str(name) for name in rng.choice(known, len(values))]
    rows = values.shape[1]
    for e, name in enumerate(names):
        length = int(rng.integers(*SPAN_ROWS))
        start = int(rng.integers(after, max(after + 1, rows - length)))
        if name in VALUE_KINDS:
            channel = int(rng.integers(values.shape[2]))
            _change_values(rng, values[e, :, channel], start, length, VALUE_KINDS[name])
        else:
            time_s[e] = RHYTHM_KINDS[name](rng, time_s[e], start, length)
        anomaly[e, start : start + length] = True
    return replace(history, values=values, time_s=time_s, anomaly=anomaly), names


@dataclass(frozen=True, slots=True)
class Planted:
    """An anomaly of a series: its kind and rows start <= row < stop."""

    kind: str
    start: int
    stop: int


def plant(
    rng: Rng, values: F32, time_s: F64, starts: Sequence[int], kinds: Sequence[str]
) -> tuple[F32, F64, list[Planted]]:
    """Copies of one series, values (L, C) and times (L,), with an anomaly of each kind at each
    start, and where.

    `starts` ascend and are further apart than SPAN_ROWS. A value changes in one channel, of those
    that vary.
    """
    new, clock, found = values.copy(), time_s, []
    varying = np.flatnonzero(
        np.nanmax(values, axis=0, initial=-np.inf) > np.nanmin(values, axis=0, initial=np.inf)
    )
    for start, kind in zip(starts, kinds, strict=True):
        length = int(rng.integers(*SPAN_ROWS))
        if kind in VALUE_KINDS:
            channel = int(rng.choice(varying if len(varying) else values.shape[1]))
            _change_values(rng, new[:, channel], start, length, VALUE_KINDS[kind])
        else:
            clock = RHYTHM_KINDS[kind](rng, clock, start, length)
        found.append(Planted(kind, start, min(start + length, len(values))))
    return new, clock, found


# (rows to change, last value before, typical spread) -> new rows
ValueFault = Callable[[Rng, F32, float, float], F32]
RhythmFault = Callable[[Rng, F64, int, int], F64]


def _change_values(rng: Rng, column: F32, start: int, length: int, fault: ValueFault) -> None:
    past = column[:start][~np.isnan(column[:start])]
    spread = float(np.std(past[-256:])) if len(past) else 1.0
    last = float(past[-1]) if len(past) else 0.0
    column[start : start + length] = fault(rng, column[start : start + length], last, spread or 1.0)


def _size(rng: Rng, low: float, high: float) -> float:
    return float(rng.uniform(low, high) * rng.choice([-1, 1]))


def spike(rng: Rng, rows: F32, last: float, spread: float) -> F32:
    """One to three wild values."""
    out = rows.copy()
    out[: int(rng.integers(1, 4))] += _size(rng, 5, 12) * spread
    return out


def shift(rng: Rng, rows: F32, last: float, spread: float) -> F32:
    """Another level."""
    return (rows + _size(rng, 3, 8) * spread).astype(np.float32)


def drift(rng: Rng, rows: F32, last: float, spread: float) -> F32:
    """A slow departure."""
    return (rows + np.linspace(0, _size(rng, 4, 10) * spread, len(rows))).astype(np.float32)


def stuck(rng: Rng, rows: F32, last: float, spread: float) -> F32:
    """The last value for ever."""
    return np.full_like(rows, last)


def noisy(rng: Rng, rows: F32, last: float, spread: float) -> F32:
    """Much more noise."""
    return (rows + rng.uniform(3, 6) * spread * rng.standard_normal(len(rows))).astype(np.float32)


def mirrored(rng: Rng, rows: F32, last: float, spread: float) -> F32:
    """The shape upside down: levels stay credible, the pattern does not."""
    return (
        (2 * np.nanmean(rows) - rows).astype(np.float32)
        if not np.isnan(rows).all()
        else rows.copy()
    )


def _with_gaps(time_s: F64, start: int, gaps: F64) -> F64:
    """Times whose gaps from row `start` on are replaced; what follows moves along."""
    new = np.diff(time_s, prepend=time_s[:1])
    new[start : start + len(gaps)] = gaps
    return time_s[0] + np.cumsum(new) - new[0]


def _gaps(time_s: F64, start: int, length: int) -> F64:
    return np.diff(time_s, prepend=time_s[:1])[start : start + length]


def burst(rng: Rng, time_s: F64, start: int, length: int) -> F64:
    """Ten to a hundred times too fast."""
    return _with_gaps(time_s, start, _gaps(time_s, start, length) / rng.uniform(10, 100))


def slowdown(rng: Rng, time_s: F64, start: int, length: int) -> F64:
    """Two to five times too slow."""
    return _with_gaps(time_s, start, _gaps(time_s, start, length) * rng.uniform(2, 5))


def pause(rng: Rng, time_s: F64, start: int, length: int) -> F64:
    """One long silence."""
    gaps = _gaps(time_s, start, length)
    gaps[0] += rng.uniform(20, 60) * np.median(np.diff(time_s))
    return _with_gaps(time_s, start, gaps)


def metronome(rng: Rng, time_s: F64, start: int, length: int) -> F64:
    """A machine at work: all gaps equal."""
    gaps = _gaps(time_s, start, length)
    return _with_gaps(time_s, start, np.full(len(gaps), max(float(np.median(gaps)), 1e-3)))


VALUE_KINDS: dict[str, ValueFault] = {
    "spike": spike,
    "shift": shift,
    "drift": drift,
    "stuck": stuck,
    "noisy": noisy,
    "mirrored": mirrored,
}
RHYTHM_KINDS: dict[str, RhythmFault] = {
    "burst": burst,
    "slowdown": slowdown,
    "pause": pause,
    "metronome": metronome,
}
