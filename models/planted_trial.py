"""The held-out span as a trial: untouched streams, and copies with planted anomalies.

Every entity comes once untouched and in some copies. Each is a stream of its own that begins with
the same rows before the cut, so that profiles and alarm lines have settled. Copies are further
entities: one pass of the production pipeline judges all of them. Axes: N rows of the log, C
channels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from models.inject import RHYTHM_KINDS, SPAN_ROWS, VALUE_KINDS, Planted, plant
from models.split import LEAST_HELD_ROWS, TrainingSeries
from streamer.event import F32, F64, I32, Bool, EventBatch

# Rows between planted anomalies: an incident of up to 40, a refractory period of 100, and some
# quiet rows.
SPACING_ROWS = 192
MAX_COPIES, MAX_ENTITIES, MAX_ROWS = 12, 64, 500_000
CELLS = 24  # least number of units for resampling, if there are few entities
LABELLED = "labelled"
DAY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class Anomaly:
    """An anomaly to find: its kind, its cell (unit of resampling), its first row in its stream."""

    kind: str
    cell: int
    start: int


@dataclass(frozen=True, slots=True)
class Trial:
    """The log, ordered by row number: the first rows of all streams, then their second ones."""

    keys: tuple[str, ...]
    stream: I32  # (N,) index of the key
    number: I32  # (N,) number of the row in its stream
    time_s: F64
    values: F32  # (N, C)
    clean: Bool  # (N,) held out, untouched, not a known or doubtful anomaly: an alarm here is false
    anomaly: I32  # (N,) number of the anomaly, -1 outside
    cell: I32  # (N,) unit of resampling: an entity, or a stretch of one
    anomalies: tuple[Anomaly, ...]
    entities: int
    days: float  # of held-out time, summed over entities
    rhythm: bool

    @property
    def cells(self) -> int:
        """How many units of resampling there are: at least CELLS, as many of each entity."""
        return self.entities * -(-CELLS // self.entities)

    def batches(self, rows: int = 65_536) -> list[EventBatch]:
        """The log in batches for the pipeline; offsets are row numbers of the log."""
        offset = np.arange(len(self.time_s))
        whole = EventBatch(
            "gate", "held-out", 0, self.keys, self.stream[:, None], self.time_s, self.values, offset
        )
        return [whole.rows(slice(start, start + rows)) for start in range(0, len(offset), rows)]


@dataclass(frozen=True, slots=True)
class _Stream:
    key: str
    series: TrainingSeries  # cut to the judged rows
    entity: int
    planted: tuple[Planted, ...]
    untouched: bool


def build(
    series: Sequence[TrainingSeries], seed: int, *, aimed: int = 300, warm: int = 512
) -> Trial:
    """The trial of a split's series with about `aimed` anomalies, after `warm` rows.

    The same seed gives the same trial.
    """
    rng = np.random.default_rng([seed, 97])
    usable = [s for s in series if int(s.held.sum()) >= LEAST_HELD_ROWS]
    chosen = [usable[i] for i in sorted(rng.permutation(len(usable))[:MAX_ENTITIES])]
    cut = [_cut(s, warm, MAX_ROWS // (2 * len(chosen))) for s in chosen]
    streams = [_Stream(s.entity, s, e, (), True) for e, s in enumerate(cut)]
    for copy in range(_copies(cut, aimed)):
        streams += [_planted(rng, s, e, copy) for e, s in enumerate(cut)]
    return _laid_out(streams, cut)


def _cut(series: TrainingSeries, warm: int, most: int) -> TrainingSeries:
    first = int(np.argmax(series.held))
    rows = slice(max(first - warm, 0), first + max(most - warm, LEAST_HELD_ROWS))
    arrays = {
        name: getattr(series, name)[rows]
        for name in ("values", "time_s", "excluded", "label", "held")
    }
    return replace(series, **arrays)


def _slots(series: TrainingSeries) -> list[int]:
    """First rows of stretches of SPACING_ROWS that are held out and not excluded."""
    first, rows = int(np.argmax(series.held)), len(series)
    space = min(SPACING_ROWS, rows - first)
    return [
        s for s in range(first, rows - space + 1, space) if not series.excluded[s : s + space].any()
    ]


def _copies(series: Sequence[TrainingSeries], aimed: int) -> int:
    """Number of planted copies for the anomalies aimed at, within the bound on rows."""
    each, rows = sum(len(_slots(s)) for s in series), sum(map(len, series))
    wanted = -(-aimed // max(each, 1))
    return max(1, min(wanted, MAX_COPIES, MAX_ROWS // rows - 1))


def _planted(rng: np.random.Generator, series: TrainingSeries, entity: int, copy: int) -> _Stream:
    kinds = [*VALUE_KINDS, *(RHYTHM_KINDS if series.rhythm else ())]
    slots = _slots(series)
    # Every kind as often as the others, in random order.
    drawn = [str(k) for _ in range(len(slots) // len(kinds) + 1) for k in rng.permutation(kinds)][
        : len(slots)
    ]
    room = min(SPACING_ROWS, int(series.held.sum())) - 2 * SPAN_ROWS[1]
    starts = [slot + int(rng.integers(0, max(room, 1))) for slot in slots]
    values, time_s, found = plant(rng, series.values, series.time_s, starts, drawn)
    changed = replace(series, values=values, time_s=time_s)
    return _Stream(f"{series.entity}~{copy}", changed, entity, tuple(found), False)


def _laid_out(streams: Sequence[_Stream], cut: Sequence[TrainingSeries]) -> Trial:
    blocks = -(-CELLS // len(cut))
    anomalies: list[Anomaly] = []
    columns: dict[str, list[np.ndarray]] = {}
    for index, one in enumerate(streams):
        rows = len(one.series)
        number = np.arange(rows, dtype=np.int32)
        cell = one.entity * blocks + _block(one.series, blocks)
        part: dict[str, np.ndarray] = {
            "stream": np.full(rows, index, np.int32),
            "number": number,
            "cell": cell.astype(np.int32),
            "time_s": one.series.time_s,
            "values": one.series.values,
            "clean": one.series.held & ~one.series.excluded & one.untouched,
            "anomaly": _mark(one, cell, anomalies),
        }
        for name, column in part.items():
            columns.setdefault(name, []).append(column)
    whole = {name: np.concatenate(column) for name, column in columns.items()}
    turn = np.lexsort((whole["stream"], whole["number"]))
    return Trial(
        tuple(s.key for s in streams),
        **{name: column[turn] for name, column in whole.items()},
        anomalies=tuple(anomalies),
        entities=len(cut),
        days=sum(float(np.ptp(s.time_s[s.held])) for s in cut) / DAY_S,
        rhythm=any(s.rhythm for s in cut),
    )


def _block(series: TrainingSeries, blocks: int) -> np.ndarray:
    """Stretch 0 .. blocks - 1 of the held-out rows that each row lies in.

    Rows before the cut lie in the first.
    """
    past = np.cumsum(series.held) - 1
    return np.clip(past * blocks // max(int(series.held.sum()), 1), 0, blocks - 1)


def _mark(one: _Stream, cell: np.ndarray, anomalies: list[Anomaly]) -> I32:
    """Mark the rows of a stream with their anomaly's number; append new anomalies."""
    marked = np.full(len(one.series), -1, np.int32)
    found = one.planted if not one.untouched else labelled(one.series)
    for planted in found:
        marked[planted.start : planted.stop] = len(anomalies)
        anomalies.append(Anomaly(planted.kind, int(cell[planted.start]), planted.start))
    return marked


def labelled(series: TrainingSeries) -> tuple[Planted, ...]:
    """The confirmed anomalies of the held-out span."""
    edge = np.flatnonzero(
        np.diff(np.concatenate([[0], (series.label & series.held).astype(np.int8), [0]]))
    )
    return tuple(
        Planted(LABELLED, int(a), int(b)) for a, b in zip(edge[::2], edge[1::2], strict=True)
    )
