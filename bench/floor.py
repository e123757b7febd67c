"""Lower bounds of the detector's time: the network's step, and its matrix products.

python -m bench.floor (one JSON object on stdout)
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from bench.flow import one_core
from streamer import artifact
from streamer.artifact import Bundle
from streamer.backends import open_scorer
from streamer.protocols import Network

ROWS, CHANNELS = 4096, 4
SECONDS = 2.0


def rate(work: Callable[[], object], per_call: int) -> tuple[float, float, float]:
    """Events/s of the median, slowest and fastest call made in SECONDS.

    The first call is not counted; slowest and fastest are the 90th and 10th percentile of the time.
    """
    work()
    times, end = [], time.perf_counter() + SECONDS
    while time.perf_counter() < end:
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    slow, middle, fast = np.percentile(times, [90, 50, 10])
    return per_call / float(middle), per_call / float(slow), per_call / float(fast)


def step_of(scorer: Network, bundle: Bundle, rows: int) -> Callable[[], object]:
    """Return a function that runs one step for `rows` entities."""
    rng, spec = np.random.default_rng(7), bundle.spec
    value = np.zeros((rows, CHANNELS, scorer.value_width), np.float32)
    rhythm = np.zeros((rows, scorer.rhythm_width), np.float32)
    x = rng.standard_normal((rows, CHANNELS, spec.value_features)).astype(np.float32)
    r = rng.standard_normal((rows, spec.rhythm_features)).astype(np.float32)
    return lambda: scorer.step(value, rhythm, x, r)


def products(bundle: Bundle, rows: int) -> Callable[[], object]:
    """Return a function that computes every matrix product of a step in float32."""
    rng = np.random.default_rng(7)
    per_channel = {"value_kernel", "value_recurrent", "head_value", "value_out"}
    pairs = []
    for name, weight in bundle.weights.items():
        if weight.ndim == 2:
            n = rows * (CHANNELS if name in per_channel else 1)
            pairs.append((rng.standard_normal((n, weight.shape[0])).astype(np.float32), weight))

    def work() -> None:
        for left, right in pairs:
            np.matmul(left, right)

    return work


def main() -> None:
    one_core()
    bundle = artifact.load(artifact.PRETRAINED)
    found = {}
    for name in ("litert", "litert-int8", "numpy"):
        found[name] = rate(step_of(open_scorer(bundle, name, threads=1), bundle, ROWS), ROWS)
    found["one_event"] = rate(step_of(open_scorer(bundle, "litert", threads=1), bundle, 1), 1)
    found["sgemm"] = rate(products(bundle, ROWS), ROWS)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
