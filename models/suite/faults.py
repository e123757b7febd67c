"""Faults planted into a draft of a stream: each changes one ingredient in its own rows only.

Axes: T rows, C channels. Every function returns the strength of what it did.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from models.suite.ingredients import MUTE, Ingredients, Timeline
from models.suite.stream import Parameters
from streamer.event import F64, Bool

Span = tuple[int, int]


@dataclass(slots=True)
class Draft:
    """A stream that is not yet put together."""

    timeline: Timeline
    made: Ingredients
    time_s: F64  # (T,)
    unit: F64  # (C,) spread of each channel before it is finished
    position: F64 = field(init=False)  # (T,) where the season is read
    form: F64 = field(init=False)  # (T,) in which form
    keep: Bool = field(init=False)  # (T,) rows that arrive
    held: list[tuple[Span, tuple[int, ...]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        rows = self.timeline.rows
        self.position, self.form = np.arange(rows, dtype=np.float64), np.zeros(rows)
        self.keep = np.ones(rows, np.bool_)

    def values(self) -> F64:
        """What is seen, (T, C), with the spans that are held."""
        seen = self.made.values(self.position, self.form)
        for (start, stop), channels in self.held:
            seen[start:stop, list(channels)] = seen[start - 1, list(channels)]
        return seen


def spread(made: Ingredients, rows: int) -> F64:
    """Usual spread of each channel before it is finished, (C,): robust, but never far below the
    deviation, since a pattern is part of it.
    """
    plain = made.level + made.season(np.arange(rows, dtype=np.float64), 0) + made.noise
    off = np.abs(plain - np.median(plain, axis=0))
    return np.maximum(1.48 * np.median(off, axis=0), 0.3 * plain.std(axis=0)) + 1e-9


# --- values ---


def spike(draft: Draft, draw: Parameters, span: Span, channels: list[int]) -> float:
    """One to three wild values upwards."""
    size = draw.log_between("spike", 5, 14)
    _raise(draft, span, channels, size * draft.made.rarity)
    return size


def dip(draft: Draft, draw: Parameters, span: Span, channels: list[int]) -> float:
    """A few values far too low."""
    size = draw.log_between("dip", 4, 10)
    _raise(draft, span, channels, -size)
    return size


def shift(draft: Draft, draw: Parameters, span: Span, channels: list[int]) -> float:
    """Another level, up or down."""
    size, up = draw.log_between("shift", 2.5, 8), draw.between("shift_up", 0, 1) < 0.6
    _raise(draft, span, channels, size * draft.made.rarity**0.5 * (1 if up else -1))
    return size


def drift(draft: Draft, draw: Parameters, span: Span, channels: list[int]) -> float:
    """A slow departure that ends at once."""
    size, up = draw.log_between("drift", 3, 8), draw.between("drift_up", 0, 1) < 0.6
    way = np.linspace(0, size * (1 if up else -1), span[1] - span[0])
    _raise(draft, span, channels, way[:, None])
    return size


def _raise(draft: Draft, span: Span, channels: list[int], by: F64 | float) -> None:
    rows = slice(*span)
    draft.made.level[rows, channels] += by * draft.unit[channels]


def noisier(draft: Draft, draw: Parameters, span: Span, channels: list[int]) -> float:
    """Much more noise; larger demands where there is no noise."""
    factor = draw.log_between("noisier", 2.5, 6)
    _scale(draft, span, channels, factor)
    return factor


def calmer(draft: Draft, draw: Parameters, span: Span, channels: list[int]) -> float:
    """Much less noise."""
    factor = draw.log_between("calmer", 3, 8)
    _scale(draft, span, channels, 1 / factor)
    return factor


def _scale(draft: Draft, span: Span, channels: list[int], factor: float) -> None:
    part = draft.made.noise if draft.made.noise.any() else draft.made.level
    part[slice(*span), channels] *= factor


def stuck(draft: Draft, draw: Parameters, span: Span, channels: list[int]) -> float:
    """The last value for ever; where something adds up, nothing is added."""
    draft.held.append((span, tuple(channels)))
    return 1.0


def form(draft: Draft, draw: Parameters, span: Span, channels: list[int]) -> float:
    """Another pattern of the same size and length."""
    draft.form[slice(*span)] = 1
    return 1.0


def missing_season(draft: Draft, draw: Parameters, span: Span, channels: list[int]) -> float:
    """The pattern does not come."""
    draft.form[slice(*span)] = MUTE
    return 1.0


def frequency(draft: Draft, draw: Parameters, span: Span, channels: list[int]) -> float:
    """The pattern runs faster or slower, or the resonance moves."""
    factor = draw.log_between("frequency", 1.4, 2.6)
    factor = 1 / factor if draw.between("frequency_down", 0, 1) < 0.4 else factor
    rows = slice(*span)
    draft.position[rows] = span[0] + factor * np.arange(span[1] - span[0])
    if draft.made.other is not None:
        draft.made.noise[rows] = draft.made.other[rows]
    return factor


def decoupled(draft: Draft, draw: Parameters, span: Span, channels: list[int]) -> float:
    """Some channels follow other causes than before; each by itself looks as ever."""
    assert draft.made.other is not None
    rows = slice(*span)
    draft.made.level[rows, channels] = draft.made.other[rows][:, channels]
    return 1.0


def missed_run(draft: Draft, draw: Parameters, span: Span, channels: list[int]) -> float:
    """The job does not run; the span is where it should have."""
    assert draft.made.job is not None
    draft.made.job[slice(*span)] = 0
    return float(draft.made.job.max())


def odd_hour(draft: Draft, draw: Parameters, span: Span, channels: list[int]) -> float:
    """The same load at another hour."""
    assert draft.made.job is not None
    draft.made.job[slice(*span)] = draft.made.job.max()
    return float(draft.made.job.max())


# --- the clock ---


def silence(draft: Draft, draw: Parameters, span: Span, channels: list[int]) -> float:
    """Nothing arrives; the row after it tells."""
    draft.keep[slice(*span)] = False
    return float(span[1] - span[0])


def slowed(draft: Draft, draw: Parameters, span: Span, channels: list[int]) -> float:
    """Only every second to sixth row arrives."""
    each = 2 + int(draw.between("slowed", 0, 4.9))
    draft.keep[slice(*span)] = np.arange(span[1] - span[0]) % each == each - 1
    return float(each)


def irregular(draft: Draft, draw: Parameters, span: Span, channels: list[int]) -> float:
    """As many rows as ever, at random moments."""
    start, stop = span
    begin, end = draft.time_s[start - 1], draft.time_s[stop]
    draft.time_s[start:stop] = np.sort(draft.timeline.rng.uniform(begin, end, stop - start))
    return 1.0


def faster(draft: Draft, draw: Parameters, span: Span, channels: list[int]) -> float:
    """Rows follow each other several times as fast."""
    factor = draw.log_between("faster", 2.5, 8)
    _hurry(draft, span, factor)
    return factor


def burst(draft: Draft, draw: Parameters, span: Span, channels: list[int]) -> float:
    """A crowd of rows within a moment."""
    factor = draw.log_between("burst", 10, 40)
    _hurry(draft, span, factor)
    return factor


def _hurry(draft: Draft, span: Span, factor: float) -> None:
    gaps = np.diff(draft.time_s, prepend=draft.time_s[0])
    gaps[slice(*span)] /= factor
    draft.time_s[:] = draft.time_s[0] + np.cumsum(gaps)


Planter = Callable[[Draft, Parameters, Span, list[int]], float]


@dataclass(frozen=True, slots=True)
class FaultKind:
    """How a kind is planted and for how many rows, at least and at most (0: half of its room)."""

    plant: Planter
    least: int
    most: int = 0
    rhythm: bool = False
    everywhere: bool = False  # changes all channels
    may_last: bool = False  # until the end of the stream


FAULT_KINDS: dict[str, FaultKind] = {
    "spike": FaultKind(spike, 1, 3),
    "dip": FaultKind(dip, 3, 12),
    "shift": FaultKind(shift, 30, may_last=True),
    "drift": FaultKind(drift, 80),
    "noisier": FaultKind(noisier, 30),
    "calmer": FaultKind(calmer, 60),
    "stuck": FaultKind(stuck, 40),
    "form": FaultKind(form, 60, everywhere=True),
    "missing_season": FaultKind(missing_season, 60, everywhere=True),
    "frequency": FaultKind(frequency, 50, everywhere=True),
    "decoupled": FaultKind(decoupled, 60),
    "missed_run": FaultKind(missed_run, 1),
    "odd_hour": FaultKind(odd_hour, 1),
    "silence": FaultKind(silence, 20, 200, rhythm=True),
    "slowed": FaultKind(slowed, 60, 600, rhythm=True),
    "irregular": FaultKind(irregular, 60, 600, rhythm=True),
    "faster": FaultKind(faster, 40, 400, rhythm=True),
    "burst": FaultKind(burst, 30, 100, rhythm=True),
}
