"""How good scores are, given labels. Nothing is point-adjusted. Axes: T rows, P = C + 1 parts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bench.quality.run import SubjectScores
from bench.quality.vus import period, vus_pr
from models.suite import LabelledStream, PlantedFault
from streamer.event import F32, U8, Bool

# A false alarm is a block of so many quiet rows with a score above the line: one incident of the
# usual refractory span is one alarm.
BLOCK_ROWS = 100
FALSE_PER_EVENT = 1e-4
# Rows after the end of a fault in which it may still be found: scores are smoothed.
GRACE_ROWS = 10


@dataclass(frozen=True, slots=True)
class Rated:
    """A labelled stream and what a detector said about it."""

    stream: LabelledStream
    verdict: SubjectScores

    @property
    def quiet(self) -> Bool:
        """Rows where an alarm is false, (T,)."""
        return self.stream.quiet & self.verdict.judged


def false_peaks(rated: Rated, column: F32) -> F32:
    """The highest value of every block of quiet rows."""
    rows = np.flatnonzero(rated.quiet)
    if not len(rows):
        return np.zeros(0, np.float32)
    edge = np.flatnonzero(np.diff(rows // BLOCK_ROWS, prepend=-1))
    return np.maximum.reduceat(column[rows], edge)


def line_at(peaks: F32, quiet_rows: int, share: float = FALSE_PER_EVENT) -> float:
    """The line that only `share * quiet_rows` of the peaks exceed."""
    allowed = int(share * quiet_rows)
    if allowed >= len(peaks):
        return 0.0
    return float(np.sort(peaks)[::-1][allowed])


def peak_of(fault: PlantedFault, column: F32) -> float:
    """The highest value in a fault and the few rows after it."""
    return float(column[fault.start : fault.stop + GRACE_ROWS].max())


@dataclass(frozen=True, slots=True)
class Recall:
    """Faults found at a line: pairs (kind, found)."""

    line: float
    found: tuple[tuple[str, bool], ...]

    @property
    def share(self) -> float:
        return float(np.mean([hit for _, hit in self.found])) if self.found else float("nan")

    def of(self, kinds: set[str]) -> float:
        """The share of faults of these kinds that were found."""
        hits = [hit for kind, hit in self.found if kind in kinds]
        return float(np.mean(hits)) if hits else float("nan")


def event_recall(rated: Sequence[Rated], column: str, line: float | None = None) -> Recall:
    """Faults found at the line where one of 10,000 quiet events begins a false alarm, one line for
    all streams; or at a given line, met or exceeded.
    """
    if line is None:
        peaks = [false_peaks(one, getattr(one.verdict, column)) for one in rated]
        quiet = sum(int(np.count_nonzero(one.quiet)) for one in rated)
        line = np.nextafter(np.float32(line_at(np.concatenate(peaks), quiet)), np.float32(np.inf))
    found = [
        (fault.kind, peak_of(fault, getattr(one.verdict, column)) >= line)
        for one in rated
        for fault in one.stream.faults
    ]
    return Recall(float(line), tuple(found))


def vus_of(rated: Rated, kinds: set[str] | None = None) -> float:
    """VUS-PR of the score over the rows that do not only teach; of some kinds only, without the
    rows of the others and what follows them.
    """
    stream = rated.stream
    wanted = [f for f in stream.faults if kinds is None or f.kind in kinds]
    label = np.zeros(len(stream), np.uint8)
    for fault in wanted:
        label[fault.start : fault.stop] = 1
    keep = (stream.quiet | (label > 0)) if len(wanted) < len(stream.faults) else label < 2
    keep &= np.arange(len(stream)) >= stream.taught
    window = period(stream.values[:, 0])
    return vus_pr(label[keep], rated.verdict.score[keep], window)


def mean_vus(rated: Sequence[Rated], kinds: set[str] | None = None) -> float:
    """Mean over the streams that have labels."""
    values = [vus_of(one, kinds) for one in rated]
    return float(np.nanmean(values)) if not np.all(np.isnan(values)) else float("nan")


def culprits(ranked: Sequence[tuple[F32, Sequence[int]]]) -> tuple[float, float]:
    """Share of faults with a culprit among the first three channels, and Hit@100: the share of
    culprits among as many channels as there are. From (channel parts (C,), culprits) of each.
    """
    top, hits = [], []
    for parts, guilty in ranked:
        order = np.argsort(-parts, kind="stable")
        top.append(bool(set(order[:3].tolist()) & set(guilty)))
        hits.append(len(set(order[: len(guilty)].tolist()) & set(guilty)) / len(guilty))
    return (float(np.mean(top)), float(np.mean(hits))) if top else (float("nan"), float("nan"))


def at_peak(verdict: SubjectScores, start: int, stop: int) -> F32:
    """Channel parts (C,) of the row with the highest score in start..stop."""
    row = start + int(np.argmax(verdict.score[start:stop]))
    return verdict.parts[row, :-1]


def found_segments(label: U8, fired: Bool) -> tuple[int, int]:
    """(segments with an alarm, segments)."""
    edge = np.flatnonzero(np.diff(np.concatenate([[0], (label > 0).astype(np.int8), [0]])))
    spans = list(zip(edge[::2], edge[1::2], strict=True))
    return sum(bool(fired[a:b].any()) for a, b in spans), len(spans)
