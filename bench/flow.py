"""Decode to alert in process, on one core; one JSON object on stdout.

    python -m bench.flow --profile lean

bench.speed runs it in a process of its own, so that memory and threads are not shared.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import time
from dataclasses import asdict

os.environ.setdefault("OMP_NUM_THREADS", "1")

from streamer import artifact
from streamer.backends import open_scorer
from streamer.offline.capacity import Load, measure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--profile", choices=["lean", "full"], default="lean")
    parser.add_argument("--backend", default="auto")
    for name, default in (
        ("entities", 10_000),
        ("channels", 4),
        ("warm", 96),
        ("measured", 16),
        ("rows", 4096),
    ):
        parser.add_argument(f"--{name}", type=int, default=default)
    args = parser.parse_args()
    one_core()
    bundle = artifact.load(artifact.PRETRAINED)
    scorer = open_scorer(bundle, args.backend, threads=1)
    load = Load(args.entities, args.channels, args.warm, args.measured, args.rows, args.profile)
    carried = measure(
        load, scorer, bundle.spec, bundle.calibration, time.perf_counter, time.process_time
    )
    rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps(asdict(carried) | {"backend": scorer.ref.backend, "rss_mib": rss}))


def one_core() -> None:
    """Stay on one core, if the system supports it."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


if __name__ == "__main__":
    main()
