"""What our scores are set beside: blind ones, and half-space trees.

Axes: T rows, C channels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from bench.quality.run import Subject, SubjectScores
from streamer.event import F32, F64

TREES, DEPTH, WINDOW = 25, 8, 250
# A node with fewer reference rows than this share of a window ends the descent (Tan et al.: 0.1).
SMALL_SHARE = 0.1


def half_space_trees(values: F32, seed: int = 0) -> F64:
    """Anomaly score (T,) by mass profiles of the last full window: Tan, Ting and Liu, "Fast Anomaly
    Detection for Streaming Data", IJCAI 2011. Causal; the first window only teaches.
    """
    rows = np.nan_to_num(values.astype(np.float64))
    low, high = rows[:WINDOW].min(axis=0), rows[:WINDOW].max(axis=0)
    unit = (rows - low) / np.where(high > low, high - low, 1.0)
    feature, split = _grown(np.random.default_rng(seed), unit.shape[1])
    score, mass = np.zeros(len(unit)), None
    for start in range(0, len(unit), WINDOW):
        nodes = _descended(unit[start : start + WINDOW], feature, split)  # (R, TREES, DEPTH + 1)
        if mass is not None:
            score[start : start + len(nodes)] = -_mass_of(nodes, mass)
        if len(nodes) == WINDOW:
            mass = _counted(nodes)
    if len(score) > WINDOW:
        score[:WINDOW] = score[WINDOW:].min()
    return score - score.min()


def _grown(rng: np.random.Generator, channels: int) -> tuple[np.ndarray, F64]:
    """Channel and threshold of each inner node, (TREES, 2^DEPTH - 1), in work ranges of random
    size around 0..1.
    """
    nodes = 2**DEPTH - 1
    feature = rng.integers(0, channels, (TREES, nodes))
    split = np.zeros((TREES, nodes))
    centre = rng.random((TREES, channels))
    reach = 2 * np.maximum(centre, 1 - centre)
    for tree in range(TREES):
        box = {0: (centre[tree] - reach[tree], centre[tree] + reach[tree])}
        for node in range(nodes):
            low, high = box.pop(node)
            axis = feature[tree, node]
            split[tree, node] = middle = (low[axis] + high[axis]) / 2
            left, right = high.copy(), low.copy()
            left[axis] = right[axis] = middle
            box[2 * node + 1], box[2 * node + 2] = (low, left), (right, high)
    return feature, split


def _descended(unit: F64, feature: np.ndarray, split: F64) -> np.ndarray:
    """The node of every depth that each row reaches in each tree, (R, TREES, DEPTH + 1)."""
    tree = np.arange(TREES)
    node = np.zeros((len(unit), TREES), np.int64)
    path = [node]
    for _ in range(DEPTH):
        value = np.take_along_axis(unit, feature[tree, node], axis=1)
        node = 2 * node + 1 + (value >= split[tree, node])
        path.append(node)
    return np.stack(path, axis=2)


def _counted(nodes: np.ndarray) -> F64:
    """Rows that went through each node, (TREES, nodes)."""
    total = 2 ** (DEPTH + 1) - 1
    return np.stack(
        [np.bincount(nodes[:, tree].ravel(), minlength=total) for tree in range(TREES)]
    ).astype(np.float64)


def _mass_of(nodes: np.ndarray, mass: F64) -> F64:
    """Mass times 2^depth where the descent ends, summed over the trees, (R,)."""
    seen = mass[np.arange(TREES)[:, None], nodes]  # (R, TREES, DEPTH + 1)
    small = seen <= SMALL_SHARE * WINDOW
    end = np.where(small.any(axis=2), small.argmax(axis=2), DEPTH)
    at_end = np.take_along_axis(seen, end[..., None], axis=2)[..., 0]
    return np.log1p(at_end * 2.0**end).sum(axis=1)


def random_score(one: Subject) -> F64:
    return np.random.default_rng(7).random(len(one.values))


def row_number(one: Subject) -> F64:
    return np.arange(len(one.values), dtype=np.float64)


RIVALS: dict[str, Callable[[Subject], F64]] = {
    "half_space_trees": lambda one: half_space_trees(one.values),
    "random": random_score,
    "row_number": row_number,
    "null": lambda one: np.zeros(len(one.values)),
}


def judged_by(name: str, subjects: Sequence[Subject]) -> list[SubjectScores]:
    """The verdicts of a rival: its score is also the scale of its alarms."""
    return [_as_verdict(RIVALS[name](one), one) for one in subjects]


def _as_verdict(score: F64, one: Subject) -> SubjectScores:
    rows, channels = one.values.shape
    narrow = score.astype(np.float32)
    judged = np.arange(rows) >= one.taught
    return SubjectScores(narrow, narrow, np.zeros((rows, channels + 1), np.float32), judged)
