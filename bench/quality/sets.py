"""Many channels: asd, smd and smap beside the checkout, and the water loop of skab.

Axes: n and m rows of training and test part, C channels.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bench import data
from bench.data import Series
from bench.quality.found import Found, Scope, Table, row_of
from bench.quality.measures import at_peak, culprits, found_segments
from bench.quality.rivals import RIVALS, judged_by
from bench.quality.run import MODES, Mode, Subject, SubjectScores, judge, limited, say
from bench.quality.vus import period, vus_pr
from streamer.event import F64

STEP_S = {"asd": 300.0, "smd": 60.0, "smap": 60.0}  # smap: not given by its source
DAY_S = 86_400.0
OWN_ROWS = 1_000  # zero-shot, these rows before the test part only teach
PCA = {"anchor": "PCA residual, smoothed"}
PCA_LEVEL = {"asd": 0.281, "smd": 0.494, "smap": 0.351}
COLUMNS = (
    "vus_pr",
    "vus_least",
    "segments_found",
    "segments",
    "false_rows_a_day",
    "alerts_a_day",
    "culprit_top3",
    "culprit_hit100",
)
LOWER = ("false_rows_a_day", "alerts_a_day")


def measure(folder: str, scope: Scope) -> Found:
    """Figures of one set by detector."""
    series = limited(data.arrays(folder), scope.limit)
    found, table = Found(), Table(("detector", *COLUMNS))
    for name, verdicts in _verdicts(folder, series, scope).items():
        values = rated(folder, series, verdicts)
        table.rows.append(row_of(name, values, COLUMNS))
        for key, value in values.items():
            anchor = PCA | {"anchor_value": PCA_LEVEL[folder]} if key == "vus_pr" else {}
            better = "lower" if key in LOWER else "higher"
            found.add(f"{folder}_{name}_{key}", value, "", better, **anchor)
        say(f"{folder} {name}: VUS-PR {values['vus_pr']:.3f}")
    found.tables[folder] = table
    return found


def _verdicts(
    folder: str, series: Sequence[Series], scope: Scope
) -> dict[str, list[SubjectScores]]:
    """By detector, the verdicts on the test rows."""
    found = {}
    for name in scope.modes:
        subjects = [subject(one, MODES[name]) for one in series]
        said = judge(subjects, MODES[name].backend, f"{folder} {name}")
        found[name] = [last(v, len(one.test)) for v, one in zip(said, series, strict=True)]
    plain = [Subject(one.name, one.test, None) for one in series]
    return found | {name: judged_by(name, plain) for name in RIVALS}


def subject(one: Series, mode: Mode) -> Subject:
    """Fitted: the training part teaches first. Zero-shot: only its last rows, as if the stream had
    begun there.
    """
    taught = len(one.train) if mode.fitted else min(OWN_ROWS, len(one.train))
    first = len(one.train) - taught
    clock = None
    if one.train_time is not None and one.test_time is not None:
        clock = np.concatenate([one.train_time[first:], one.test_time])
    return Subject(one.name, np.concatenate([one.train[first:], one.test]), clock, taught)


def last(verdict: SubjectScores, rows: int) -> SubjectScores:
    """The verdict on the last rows."""
    first = len(verdict.score) - rows
    said = [one for one in verdict.said if one.row >= first]
    score, alarm = verdict.score[first:], verdict.alarm[first:]
    return SubjectScores(score, alarm, verdict.parts[first:], verdict.judged[first:], said)


def rated(
    folder: str, series: Sequence[Series], verdicts: Sequence[SubjectScores]
) -> dict[str, float]:
    """All measures of one detector on one set."""
    pairs = list(zip(series, verdicts, strict=True))
    vus = [vus_pr(one.label, v.score, period(one.test[:, 0])) for one, v in pairs]
    values = {"vus_pr": float(np.nanmean(vus)), "vus_least": float(np.nanmin(vus))}
    if not any(v.parts.any() for v in verdicts):
        return values
    segments = [found_segments(one.label, v.alarm >= 1) for one, v in pairs]
    quiet = [(one.label == 0) & (v.alarm >= 1) for one, v in pairs]
    days = sum(len(one.test) for one in series) * STEP_S[folder] / DAY_S
    values |= {
        "segments_found": float(sum(hit for hit, _ in segments)),
        "segments": float(sum(total for _, total in segments)),
        "false_rows_a_day": sum(int(q.sum()) for q in quiet) / days,
        "alerts_a_day": sum(len(v.opened) for v in verdicts) / days,
    }
    blamed = [
        (at_peak(v, int(start), int(stop)), np.flatnonzero(guilty).tolist())
        for one, v in pairs
        for (start, stop), guilty in zip(one.segments, one.culprits, strict=True)
        if guilty.any()
    ]
    if blamed:
        values["culprit_top3"], values["culprit_hit100"] = culprits(blamed)
    return values


# --- skab: F1 at a bounded rate of false alarms ---

FALSE_SHARE = 0.1
SKAB_COLUMNS = ("f1_elsewhere", "false_share", "f1_same_files", "vus_pr")


def measure_skab(scope: Scope) -> Found:
    """F1 where a tenth of the normal rows alarm, the line of each file set on the others."""
    series = limited(data.arrays("skab"), scope.limit)
    found, table = Found(), Table(("detector", *SKAB_COLUMNS))
    for name, verdicts in _verdicts("skab", series, scope).items():
        scores = [v.score.astype(np.float64) for v in verdicts]
        values = skab_figures(series, scores)
        table.rows.append(row_of(name, values, SKAB_COLUMNS))
        found.add_all(f"skab_{name}", values, ("false_share",))
    found.tables["skab"] = table
    return found


def skab_figures(series: Sequence[Series], scores: Sequence[F64]) -> dict[str, float]:
    """F1 with lines from the other files and the false alarms that they really give; F1 with one
    line from the same files.
    """
    labels = [one.label > 0 for one in series]
    fired = []
    for i, score in enumerate(scores):
        others = [
            s[~label] for j, (s, label) in enumerate(zip(scores, labels, strict=True)) if j != i
        ]
        fired.append(score > np.quantile(np.concatenate(others), 1 - FALSE_SHARE))
    label, pooled = np.concatenate(labels), np.concatenate(scores)
    line = np.quantile(pooled[~label], 1 - FALSE_SHARE)
    elsewhere = np.concatenate(fired)
    return {
        "f1_elsewhere": f1(label, elsewhere),
        "false_share": float(elsewhere[~label].mean()),
        "f1_same_files": f1(label, pooled > line),
        "vus_pr": float(
            np.nanmean(
                [
                    vus_pr(one.label, s, period(one.test[:, 0]))
                    for one, s in zip(series, scores, strict=True)
                ]
            )
        ),
    }


def f1(label: np.ndarray, fired: np.ndarray) -> float:
    """Row by row, pooled."""
    hits = np.count_nonzero(label & fired)
    wrong = np.count_nonzero(label ^ fired)
    return float(hits / max(hits + wrong / 2, 1))
