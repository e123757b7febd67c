"""Anchored lanes: the state of the network for every entity, always rebuildable from the ring and
the count.

A lane is re-anchored at fixed event counts: the units of measure are taken from the last S raw
events, the state is rebuilt from zero by replaying the last W events in these units, and then steps
on, event by event, until the next anchor. So a judged event has between W and W + stride events of
history, every number is a pure function of (model, last R raw events, count), nothing drifts, and
an entity costs 1 + W / stride steps an event.

Anchors stand at k_min, 2 k_min, ... W and then every `stride` events at a phase of the entity's
own, which spreads the rebuilds of many entities evenly. Axes: N or M rows, C channels, T time.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from streamer.artifact import ModelSpec
from streamer.detect.network import features
from streamer.detect.network.features import Anchor
from streamer.detect.state.ring import Ring
from streamer.event import F32, F64, I64, Bool
from streamer.protocols import Network

REBUILD_ROWS = 1024


@dataclass(frozen=True, slots=True)
class LaneState:
    """What every event steps on, by slot. The arrays are written in place."""

    value: F32  # (slots, C, V) of the network
    rhythm: F32  # (slots, Q) of the network
    last: F32  # (slots, C) last known raw value
    last_log_gap: F32  # (slots,)

    @classmethod
    def of(cls, slots: int, channels: int, scorer: Network) -> LaneState:
        """Of entities without a past."""
        return cls(
            np.zeros((slots, channels, scorer.value_width), np.float32),
            np.zeros((slots, scorer.rhythm_width), np.float32),
            np.zeros((slots, channels), np.float32),
            np.zeros(slots, np.float32),
        )


@dataclass(frozen=True, slots=True)
class _Past:
    """Histories of M lanes side by side, aligned at their ends, in the units of their anchors."""

    x: F32  # (M, T, C, F1)
    r: F32  # (M, T, F2)
    active: Bool  # (M, T) belongs to the history; each row ends active
    anchor: Anchor
    last: F32  # (M, C) last known raw value
    last_log_gap: F32  # (M,)


@dataclass(frozen=True, slots=True)
class Outlook:
    """What was expected of N events before they were seen, in the units of the stream."""

    forecast: F32  # (N, C)
    step: F32  # (N, C) typical size of a step, the unit of a new channel's error
    log_gap: F32  # (N,) observed, in the entity's own unit
    gap_unit_s: F32  # (N,)
    gap: F32  # (N, 3G) density parameters of the log gap
    hour: F32  # (N, 24) logits of the hour of day

    @property
    def sound(self) -> Bool:
        """Rows (N,) whose every number is finite."""
        return np.asarray(
            np.isfinite(self.forecast).all(axis=1) & np.isfinite(self.gap).all(axis=1)
        )

    def rows(self, chosen: Bool) -> Outlook:
        """The chosen rows."""
        return Outlook(*(getattr(self, name)[chosen] for name in self.__slots__))


def next_anchor(count: I64, phase: I64, spec: ModelSpec) -> I64:
    """The first anchor after `count`, all (N,): k_min doubling up to W, then W + phase, then every
    stride.
    """
    growing = np.maximum(spec.k_min, 1) * 2 ** np.ceil(np.log2((count + 1) / spec.k_min)).clip(
        0
    ).astype(np.int64)
    growing = np.minimum(growing, spec.window)
    since = np.maximum(count - spec.window - phase, -1)
    steady = spec.window + phase + (since // spec.stride + 1) * spec.stride
    return np.where(count < spec.window, growing, steady)


def last_anchor(count: I64, phase: I64, spec: ModelSpec) -> I64:
    """The newest anchor at or before `count` (>= k_min), all (N,)."""
    growing = spec.k_min * 2 ** np.floor(
        np.log2(np.maximum(count, spec.k_min) / spec.k_min)
    ).astype(np.int64)
    steady = spec.window + phase + ((count - spec.window - phase) // spec.stride) * spec.stride
    return np.where(
        count < spec.window, growing, np.where(count < spec.window + phase, spec.window, steady)
    )


def forward(gap_s: F64) -> F64:
    """A gap that goes back in time (out of order, or a clock set back) says nothing about the
    rhythm: NaN.
    """
    return np.where(gap_s < 0, np.nan, gap_s)


class Lanes:
    """State, units and next anchor of every slot, over the ring that it was given."""

    def __init__(
        self, scorer: Network, spec: ModelSpec, ring: Ring, *, rhythm: bool = True
    ) -> None:
        slots, channels = len(ring.count), ring.values.shape[2]
        self.scorer, self.spec, self.ring = scorer, spec, ring
        self.rhythm = rhythm and scorer.has_rhythm
        self.phase = np.zeros(slots, np.int64)  # 1..stride, of the entity's name
        self.due = np.full(slots, spec.k_min, np.int64)
        self.state = LaneState.of(slots, channels, scorer)
        self.units = np.ones((slots, 3, channels), np.float32)  # loc, scale, step
        self.gap_unit_s = np.ones(slots, np.float32)
        self.begun = np.zeros(slots, np.int64)  # number of the first event that the state knows
        self.logits = np.zeros(
            (slots, ring.length), np.float32
        )  # of attention, each at its event's place in the ring

    def reset(self, slots: I64, phase: I64) -> None:
        """Make room for new entities; their state is built at their first anchor."""
        self.phase[slots] = phase
        self.due[slots] = self.spec.k_min

    def step(self, slots: I64, values: F32, time_s: F64, previous_s: F64) -> Outlook:
        """Judge one event of each of the distinct slots (each with k_min events behind it) and fold
        it in.
        """
        self.anchor(slots)
        state, units = self.state, self.units[slots]
        anchor = Anchor(units[:, 0], units[:, 1], units[:, 2], self.gap_unit_s[slots])
        last = state.last[slots]
        x, _ = features.value_features(values, last, anchor)
        log_gap = features.log_gap(forward(time_s - previous_s), anchor.gap_s)
        r = self._rhythm(log_gap, state.last_log_gap[slots], time_s)
        out = self.scorer.step(state.value[slots], state.rhythm[slots], x, r)
        # The logit that a step reports is that of the event before it.
        self.logits[slots, (self.ring.count[slots] - 1) % self.ring.length] = out.attention
        state.value[slots] = out.value_state
        state.rhythm[slots] = out.rhythm_state
        state.last[slots] = np.where(np.isnan(values), last, values)
        state.last_log_gap[slots] = log_gap
        origin = last if self.scorer.forecast_from == "last" else anchor.loc
        return Outlook(
            origin + anchor.step * out.delta, anchor.step, log_gap, anchor.gap_s, out.gap, out.hour
        )

    def anchor(self, slots: I64) -> None:
        """Anchor those of the slots whose anchor is due; from then on they are a function of ring
        and count alone.
        """
        due = slots[self.ring.count[slots] >= self.due[slots]]
        if len(due):
            self._rebuild_all(due, self.ring.count[due])

    def gap_outlook(self, slots: I64) -> F32:
        """Density parameters (N, 3G) of the gap that each slot is in now; changes nothing."""
        x = np.zeros((len(slots), self.state.last.shape[1], features.VALUE_FEATURES), np.float32)
        r = np.zeros((len(slots), features.RHYTHM_FEATURES), np.float32)
        return self.scorer.step(self.state.value[slots], self.state.rhythm[slots], x, r).gap

    def restore(self, slots: I64) -> None:
        """Rebuild the lanes of slots from ring and count alone (after a snapshot, or for a new
        model).
        """
        self.due[slots] = self.spec.k_min
        ready = slots[self.ring.count[slots] >= self.spec.k_min]
        self._rebuild_all(ready, last_anchor(self.ring.count[ready], self.phase[ready], self.spec))

    def copy(self, other: Lanes, theirs: I64, mine: I64) -> None:
        """Take over the lanes of another one's slots, of the same network."""
        for my_array, their_array in zip(self._arrays(), other._arrays(), strict=True):
            my_array[mine] = their_array[theirs]

    def attention(self, slot: int) -> tuple[I64, F32]:
        """How much the last event's context listened to its history: (steps back, weights that sum
        to 1).

        Of an event that was judged, before the next one comes.
        """
        newest = self.ring.count[slot] - 1
        number = np.arange(self.begun[slot], newest)
        weights = np.exp(self.logits[slot, number % self.ring.length])
        return number - newest, (weights / max(float(weights.sum()), 1e-12)).astype(np.float32)

    def _empty(self, rows: int) -> tuple[F32, F32]:
        channels = self.state.last.shape[1]
        value_state = np.zeros((rows, channels, self.scorer.value_width), np.float32)
        return value_state, np.zeros((rows, self.scorer.rhythm_width), np.float32)

    def _rebuild_all(self, slots: I64, anchor_at: I64) -> None:
        for start in range(0, len(slots), REBUILD_ROWS):
            part = slice(start, start + REBUILD_ROWS)
            self._rebuild(slots[part], anchor_at[part])

    def _rebuild(self, slots: I64, anchor_at: I64) -> None:
        past = self._past(slots, anchor_at)
        state = self.state
        state.value[slots], state.rhythm[slots], logits = self._replay(past)
        self._remember(slots, past.active, logits)
        self.units[slots] = np.stack([past.anchor.loc, past.anchor.scale, past.anchor.step], axis=1)
        self.gap_unit_s[slots] = past.anchor.gap_s
        state.last[slots], state.last_log_gap[slots] = past.last, past.last_log_gap
        self.due[slots] = next_anchor(anchor_at, self.phase[slots], self.spec)

    def _past(self, slots: I64, anchor_at: I64) -> _Past:
        """The history of a lane anchored at event number `anchor_at` (M,): W events before it and
        all after it.
        """
        spec, count = self.spec, self.ring.count[slots]
        span = int(np.max(count - anchor_at)) + max(spec.scale_window, spec.window)
        values, time_s, _, _ = self.ring.last(slots, span)
        number = count[:, None] + np.arange(-span, 0)  # (M, T) event numbers
        known = (number >= 0) & (number >= (anchor_at - spec.scale_window)[:, None])
        values = np.where(known[:, :, None], values, np.nan).astype(np.float32, copy=False)
        anchor = features.anchor_of(values, known & (number < anchor_at[:, None]), time_s)
        active = known & (number >= (anchor_at - spec.window)[:, None])

        before = features.carry_forward(values, anchor.loc)
        wide = Anchor(*(a[:, None] for a in (anchor.loc, anchor.scale, anchor.step, anchor.gap_s)))
        x, _ = features.value_features(values, before, wide)
        gaps = np.full(time_s.shape, np.nan)
        np.subtract(
            time_s[:, 1:], time_s[:, :-1], out=gaps[:, 1:], where=known[:, 1:] & known[:, :-1]
        )
        log_gaps = features.log_gap(forward(gaps), wide.gap_s)
        r = self._rhythm(
            log_gaps,
            np.concatenate([np.zeros((len(slots), 1), np.float32), log_gaps[:, :-1]], 1),
            time_s,
        )
        return _Past(
            x,
            r,
            active,
            anchor,
            np.where(np.isnan(values[:, -1]), before[:, -1], values[:, -1]),
            log_gaps[:, -1],
        )

    def _remember(self, slots: I64, active: Bool, logits: F32) -> None:
        """Keep the logits (T, M) of a replay: those of a column are of the event before it."""
        span = active.shape[1]
        self.begun[slots] = self.ring.count[slots] - active.sum(axis=1)
        row, column = np.nonzero(active[:, 1:] & active[:, :-1])
        number = self.ring.count[slots[row]] - span + column
        self.logits[slots[row], number % self.ring.length] = logits[column + 1, row]

    def _replay(self, past: _Past) -> tuple[F32, F32, F32]:
        """Final states of rows (M, T, ...) replayed from zero over their active columns, and the
        logits (T, M).
        """
        x, r, active = past.x.swapaxes(0, 1), past.r.swapaxes(0, 1), past.active
        value_state, rhythm_state = self._empty(x.shape[1])
        logits = np.zeros(x.shape[:2], np.float32)
        # Rows begin at different columns, but from the first column that all share they run
        # together.
        together = int(active.all(axis=0).argmax())
        for t in range(int(active.any(axis=0).argmax()), together):
            on = active[:, t]
            run = slice(t, t + 1)
            state = self.scorer.replay(value_state[on], rhythm_state[on], x[run, on], r[run, on])
            value_state[on], rhythm_state[on], logits[t, on] = *state[:2], state[2][0]
        value_state, rhythm_state, logits[together:] = self.scorer.replay(
            value_state, rhythm_state, x[together:], r[together:]
        )
        return value_state, rhythm_state, logits

    def _rhythm(self, log_gaps: F32, previous: F32, time_s: F64) -> F32:
        r = features.rhythm_features(log_gaps, previous, time_s)
        return r if self.rhythm else np.zeros_like(r)

    @property
    def nbytes(self) -> int:
        return sum(array.nbytes for array in self._arrays())

    def _arrays(self) -> tuple[np.ndarray, ...]:
        """All that is remembered, the slot as first axis."""
        state, own = self.state, (self.phase, self.due, self.units, self.gap_unit_s)
        stepped = (state.value, state.rhythm, state.last, state.last_log_gap)
        return (*own, *stepped, self.begun, self.logits)
