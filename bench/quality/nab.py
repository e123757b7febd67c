"""NAB by its published scoring function, from the data and the scorer beside the checkout."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bench import data
from bench.quality.found import BUDGET_PER_DAY, Found, Scope, Table, row_of
from bench.quality.rivals import RIVALS, judged_by
from bench.quality.run import MODES, Subject, SubjectScores, judge, limited
from bench.quality.vus import period, vus_pr
from streamer.event import F32, F64

LARGEST = 1.0  # the scorer of NAB wants 0..1
ANCHOR = {"anchor": "Numenta HTM, fitted threshold", "anchor_value": 70.6}
DAY_S = 86_400.0
PROFILES = {"standard": "standard", "low_fp": "reward_low_FP_rate", "low_fn": "reward_low_FN_rate"}
# Of these, VUS-PR is published for other detectors; a label is start < time <= end, row 0 dropped.
VUS_FILES = (
    "nyc_taxi",
    "art_load_balancer_spikes",
    "TravelTime_451",
    "exchange-3_cpm_results",
    "ambient_temperature_system_failure",
    "ec2_cpu_utilization_5f5533",
    "Twitter_volume_FB",
)
FITTED = tuple(f"{short}_fitted" for short in PROFILES)
FROZEN = tuple(f"{short}_frozen" for short in PROFILES)
COLUMNS = (*FITTED, *FROZEN, "caught", "false_rows", "vus_pr", "over_budget_days")
File = tuple[str, np.ndarray, F32]


def measure(scope: Scope) -> Found:
    """Figures of NAB by detector; ImportError or SystemExit where the data are missing."""
    files = limited(data.nab(), scope.limit)
    subjects = [subject(*one) for one in files]
    found, table = Found(), Table(("detector", *COLUMNS))
    for name, verdicts in _verdicts(subjects, scope).items():
        values = rated(files, verdicts, decides=name not in RIVALS)
        table.rows.append(row_of(name, values, COLUMNS))
        for key in COLUMNS:
            anchor = ANCHOR if key == "standard_fitted" else {}
            better = "lower" if key in ("false_rows", "over_budget_days") else "higher"
            found.add(f"nab_{name}_{key}", values.get(key, np.nan), "", better, **anchor)
    found.tables["nab"] = table
    return found


def _verdicts(subjects: Sequence[Subject], scope: Scope) -> dict[str, list[SubjectScores]]:
    modes = [name for name in ("zero_shot", "int8", "baseline") if name in scope.modes]
    found = {name: judge(subjects, MODES[name].backend, f"nab {name}") for name in modes}
    return found | {name: judged_by(name, subjects) for name in RIVALS}


def subject(name: str, times: np.ndarray, values: F32) -> Subject:
    return Subject(name, values, seconds_of(times))


def rated(
    files: Sequence[File], verdicts: Sequence[SubjectScores], *, decides: bool
) -> dict[str, float]:
    """All measures of one detector on these files. Who does not decide has no frozen line."""
    pairs = list(zip(files, verdicts, strict=True))
    results = {
        name: (times, one.alarm if decides else one.score) for (name, times, _), one in pairs
    }
    values = nab_scores(results, frozen=decides)
    known = [vus_of(name, times, data_, one.score) for (name, times, data_), one in pairs]
    values["vus_pr"] = float(np.nanmean(known)) if not np.isnan(known).all() else float("nan")
    if decides:
        values["over_budget_days"] = float(np.mean([over_budget(f[1], one) for f, one in pairs]))
    return values


def nab_scores(results: Mapping[str, Any], *, frozen: bool) -> dict[str, float]:
    """The three profiles with a fitted threshold and with the line as it is, from (times, scores on
    any scale) of each file.
    """
    rate = data.reference("nab_score")
    spread = {name: (times, spread_out(score)) for name, (times, score) in results.items()}
    windows = {name: spans for name, spans in data.windows().items() if name in results}
    fitted = rate.score(spread, windows)
    found = {f"{s}_fitted": fitted["profiles"][long]["score"] for s, long in PROFILES.items()}
    if frozen:
        decided = {name: (times, as_detections(score)) for name, (times, score) in results.items()}
        shipped = rate.score(decided, windows, threshold=LARGEST)
        seen = shipped["groups"]["all"]
        found |= {f"{s}_frozen": shipped["profiles"][long]["score"] for s, long in PROFILES.items()}
        found |= {"caught": seen["caught"], "false_rows": seen["false_alarms"]}
    return {name: float(value) for name, value in found.items()}


def vus_of(name: str, times: np.ndarray, values: F32, score: F32) -> float:
    """VUS-PR as published for these files; NaN for the others."""
    if not any(one in name for one in VUS_FILES):
        return float("nan")
    label = np.zeros(len(times), np.uint8)
    for start, end in data.windows()[name]:
        label[(times > np.datetime64(start)) & (times <= np.datetime64(end))] = 1
    return vus_pr(label[1:], score[1:], period(values[1:, 0]))


def over_budget(times: np.ndarray, one: SubjectScores) -> float:
    """Share of the days with more alerts than the budget allows."""
    days = ((seconds_of(times) - seconds_of(times).min()) / DAY_S).astype(int)
    opened = np.bincount(days[one.opened], minlength=days.max() + 1)
    return float(np.mean(opened > BUDGET_PER_DAY))


def as_detections(alarm: F32) -> F64:
    """The decision's scale squeezed into 0..1, with 1.0 exactly where an alarm fires."""
    return np.minimum(np.nan_to_num(alarm.astype(np.float64)), LARGEST)


def spread_out(score: F32) -> F64:
    """A score on any scale squeezed into 0..1, its order kept."""
    return np.asarray(score.astype(np.float64) / (1 + score.astype(np.float64)))


def seconds_of(times: np.ndarray) -> F64:
    return times.astype("datetime64[us]").astype(np.int64) / 1e6


# --- copies ---


def measure_copies(scope: Scope) -> Found:
    """The points that are lost on copies of the files, and what another name changes."""
    files = limited(data.nab(), scope.limit)
    found, table = Found(), Table(("copy", *FITTED, "standard_frozen"))
    plain = judge([subject(*one) for one in files], "auto", "nab copies, as they are")
    before = nab_scores(_results(files, plain), frozen=True)
    table.rows.append(row_of("as it is", before, table.columns[1:]))
    for name, copy in COPIES.items():
        copies = [copy(*one) for one in files]
        verdicts = judge([one[2] for one in copies], "auto", f"nab copies, {name}")
        after = nab_scores(_results([c[:2] for c in copies], verdicts), frozen=True)
        table.rows.append(row_of(name, after, table.columns[1:]))
        gained = after["standard_fitted"] - before["standard_fitted"]
        found.add(f"nabcopies_{name.replace(' ', '_')}_gain", gained, "points of 100")
    found.tables["nabcopies"] = table
    return found


def _results(files: Sequence[Any], verdicts: Sequence[SubjectScores]) -> dict[str, Any]:
    return {one[0]: (one[1], v.alarm) for one, v in zip(files, verdicts, strict=True)}


Copied = tuple[str, np.ndarray, Subject]


def _affine(name: str, times: np.ndarray, values: F32) -> Copied:
    return name, times, subject(name, times, (7.3 * values - 40).astype(np.float32))


def _every_second(name: str, times: np.ndarray, values: F32) -> Copied:
    return name, times[::2], subject(name, times[::2], values[::2])


def _noisy(name: str, times: np.ndarray, values: F32) -> Copied:
    noise = np.random.default_rng(5).standard_normal(values.shape)
    more = (values + 0.01 * values.std() * noise).astype(np.float32)
    return name, times, subject(name, times, more)


def _warped(name: str, times: np.ndarray, values: F32) -> Copied:
    """Gaps 2.7 times as long for the detector; labels stay where they are."""
    seconds = seconds_of(times)
    return name, times, Subject(name, values, seconds[0] + 2.7 * (seconds - seconds[0]))


def _renamed(name: str, times: np.ndarray, values: F32) -> Copied:
    return name, times, subject(f"other name of {name}", times, values)


COPIES = {
    "affine": _affine,
    "every second row": _every_second,
    "1 percent noise": _noisy,
    "gaps times 2.7": _warped,
    "renamed": _renamed,
}
