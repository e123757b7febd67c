"""Detection quality of the shipped bundle and the default settings on public data: `make quality`.

    python -m bench.quality [--backend B] [--sets nab,asd,smd,skab,smap]      writes
    bench/results/quality.json

NAB by its published scoring function: alarms as they are (threshold frozen at 1.0), the fitted
threshold as the upper limit. VUS-PR of the continuous score on many channels. Causal throughout:
where a set has a training part, its rows are streamed first and only teach. The data was used in
development: these are figures of progress, not of generalisation.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from bench import data
from bench.figures import Figure, rounded, table, write
from streamer import artifact
from streamer.backends import open_scorer
from streamer.detect.pipeline import Detector
from streamer.event import F32, F64
from streamer.settings import DetectSettings

SETS = ("nab", "asd", "smd", "skab", "smap")
# Published levels (see the README of the reference scorers): what a good detector of its kind
# reaches there.
NAB_ANCHOR = ("Numenta HTM, fitted threshold", 70.6)
PCA = "PCA residual, smoothed"
VUS_ANCHORS = {
    "asd": (PCA, 0.281),
    "smd": (PCA, 0.494),
    "smap": (PCA, 0.351),
    "skab": ("share of labelled rows", 0.537),
}
LARGEST = 1.0  # the scorer of NAB wants 0..1


@dataclass(frozen=True, slots=True)
class Judged:
    """Scores of the judged rows of one series (m,)."""

    name: str
    score: F32
    alarm: F32
    seconds: float
    rows: int


@dataclass(frozen=True, slots=True)
class Job:
    """One series to score. `taught` rows at the start raise nothing."""

    name: str
    values: F32
    time_s: F64 | None
    taught: int
    backend: str


def score(job: Job) -> Judged:
    """The series through the production detector, one row after the other."""
    bundle = artifact.load(artifact.PRETRAINED)
    channels = tuple(f"c{i}" for i in range(job.values.shape[1]))
    settings = DetectSettings(
        stream=job.name, channels=channels, max_entities=1, rhythm=job.time_s is not None
    )
    detector = Detector(
        settings, open_scorer(bundle, job.backend, threads=1), bundle.spec, bundle.calibration
    )
    batch = data.batch_of(job.name, job.values, job.time_s)
    began = time.perf_counter()
    detector.process(batch.rows(slice(0, job.taught)))
    judged = detector.process(batch.rows(slice(job.taught, None))).scores
    seconds = time.perf_counter() - began
    return Judged(job.name, judged.score, judged.alarm, seconds, len(job.values))


def scored(jobs: Iterable[Job], label: str) -> list[Judged]:
    """All jobs, on all cores, with a word on stderr."""
    todo = list(jobs)
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        done = []
        for judged in pool.map(score, todo):
            done.append(judged)
            print(f"{label} {len(done)}/{len(todo)} {judged.name}", file=sys.stderr)
    return done


def nab_figures(backend: str) -> tuple[list[Figure], dict[str, Any]]:
    """Alarms of every NAB file, rated by the published scoring function."""
    rate = data.reference("nab_score")
    files = list(data.nab())
    jobs = [Job(name, values, seconds_of(times), 0, backend) for name, times, values in files]
    results = {}
    for (name, times, _), judged in zip(files, scored(jobs, "nab"), strict=True):
        results[name] = (times, as_detections(judged.alarm))
    frozen = rate.score(results, data.windows(), threshold=LARGEST)
    fitted = rate.score(results, data.windows())
    seen = frozen["groups"]["all"]
    figures = [
        _nab(f"nab_{short}_frozen", frozen["profiles"][name]["score"], short == "standard")
        for short, name in (
            ("standard", "standard"),
            ("low_fp", "reward_low_FP_rate"),
            ("low_fn", "reward_low_FN_rate"),
        )
    ]
    figures += [
        _nab("nab_standard_fitted", fitted["profiles"]["standard"]["score"], True),
        Figure("nab_caught", seen["caught"], f"of {seen['windows']} windows"),
        Figure("nab_false_rows", seen["false_alarms"], "rows", "lower"),
    ]
    return figures, dict(frozen["files"])


def _nab(name: str, value: float, anchored: bool) -> Figure:
    anchor, level = NAB_ANCHOR if anchored else (None, None)
    return Figure(name, rounded(value), "points of 100", anchor=anchor, anchor_value=level)


def as_detections(alarm: F32) -> F64:
    """The decision's scale squeezed into 0..1, with 1.0 exactly where an alarm fires."""
    return np.minimum(np.nan_to_num(alarm.astype(np.float64)), LARGEST)


def seconds_of(times: np.ndarray) -> F64:
    return times.astype("datetime64[us]").astype(np.int64) / 1e6


def vus_figures(folder: str, backend: str) -> tuple[list[Figure], dict[str, Any]]:
    """Mean VUS-PR of the continuous score over the series of a set; beside it a random score and
    the row number.
    """
    vus_pr, period = vus_functions()
    series = list(data.arrays(folder))
    jobs = [
        Job(one.name, np.concatenate([one.train, one.test]), clock_of(one), len(one.train), backend)
        for one in series
    ]
    ours, blind, late, alarms = {}, [], [], 0
    for one, judged in zip(series, scored(jobs, folder), strict=True):
        window = period(one.test[:, 0])
        ours[one.name] = vus_pr(one.label, judged.score, window)
        blind.append(vus_pr(one.label, np.random.default_rng(7).random(len(one.label)), window))
        late.append(vus_pr(one.label, np.arange(len(one.label), dtype=float), window))
        alarms += int(np.count_nonzero(judged.alarm >= 1))
    anchor, level = VUS_ANCHORS[folder]
    known = [value for value in ours.values() if not np.isnan(value)]
    figures = [
        Figure(
            f"{folder}_vus_pr",
            rounded(float(np.mean(known))),
            "",
            low=rounded(min(known)),
            high=rounded(max(known)),
            anchor=anchor,
            anchor_value=level,
        ),
        Figure(
            f"{folder}_vus_pr_random",
            rounded(float(np.nanmean(blind))),
            "",
            anchor="a random score",
        ),
        Figure(
            f"{folder}_vus_pr_row_number",
            rounded(float(np.nanmean(late))),
            "",
            anchor="the row number as score",
        ),
        Figure(
            f"{folder}_alarm_rows",
            alarms,
            f"rows of {sum(len(one.test) for one in series):,}",
            "lower",
        ),
    ]
    return figures, {name: rounded(value) for name, value in ours.items()}


def vus_functions() -> tuple[Callable[..., float], Callable[..., int]]:
    """The reference scorer and its window; without scipy and statsmodels the window is our own, see
    `period`.
    """
    module = data.reference("vus_pr")
    if all(importlib_has(name) for name in ("scipy", "statsmodels")):
        return module.vus_pr, module.period
    print(
        "scipy or statsmodels is missing: VUS-PR with windows by our own autocorrelation",
        file=sys.stderr,
    )
    return module.vus_pr, period


def importlib_has(name: str) -> bool:
    import importlib.util

    return importlib.util.find_spec(name) is not None


def period(x: F32) -> int:
    """The benchmark's window: the highest peak of the autocorrelation of 20,000 rows at lags
    3..300, else 125.
    """
    y = np.asarray(x, np.float64)[:20_000]
    y = y - y.mean()
    if not y.any():
        return 125
    size = 1 << (2 * len(y) - 1).bit_length()
    power = np.abs(np.fft.rfft(y, size)) ** 2
    corr = np.fft.irfft(power, size)[: min(401, len(y))][3:]
    corr = corr / (y @ y)
    peaks = np.flatnonzero((corr[1:-1] > corr[:-2]) & (corr[1:-1] > corr[2:])) + 1
    if not peaks.size:
        return 125
    best = int(peaks[np.argmax(corr[peaks])])
    return best + 3 if 3 <= best <= 300 else 125


def clock_of(one: data.Series) -> F64 | None:
    if one.train_time is None or one.test_time is None:
        return None
    return np.concatenate([one.train_time, one.test_time])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--backend", default="auto")
    parser.add_argument("--sets", default="nab,asd,smd,skab", help=f"of {','.join(SETS)}")
    args = parser.parse_args()
    data.require()
    figures: list[Figure] = []
    detail: dict[str, Any] = {}
    for name in args.sets.split(","):
        try:
            found, detail[name] = (
                nab_figures(args.backend) if name == "nab" else vus_figures(name, args.backend)
            )
        except ImportError as exc:
            print(f"{name} is left out: {exc}", file=sys.stderr)
            continue
        figures += found
        print(table(found), flush=True)
    path = write("quality", figures, detail=detail)
    print(f"written: {path.name}")


if __name__ == "__main__":
    main()
