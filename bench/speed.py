"""The promised speed figures, each measured in a process of its own: `make bench`.

python -m bench.speed (writes bench/results/speed.json and prints the table)
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import psutil

from bench.figures import ROOT, Figure, rounded, table, write

PYTHON = sys.executable
READY_LIMIT_S = 60.0
RESIDENT_AFTER_S = 10.0
# A measurement with a smaller share of its core was disturbed by other programs and is repeated.
ALONE, TRIES = 0.95, 4
CONFIG = """version: 1
streams:
  - {{name: plant, source: {{kind: synthetic, world: plant, entities: 8, seed: 7, pace: 100}}}}
sinks: [{{kind: file, path: "{folder}/alerts.jsonl"}}]
server: {{listen: "127.0.0.1:{port}"}}
"""


def child(*words: str) -> dict[str, Any]:
    """Run a module with one thread and return the JSON object that it prints."""
    env = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(
        [PYTHON, "-m", *words], cwd=ROOT, env=env, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(words)} failed:\n{done.stderr}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def undisturbed(*words: str) -> dict[str, Any]:
    """One measurement of the flow, the least disturbed of up to TRIES."""
    found: list[dict[str, Any]] = []
    while len(found) < TRIES and (not found or found[-1]["cpu_share"] < ALONE):
        found.append(child("bench.flow", *words))
    return max(found, key=lambda one: one["cpu_share"])


def flow_figures() -> list[Figure]:
    """Figures from decoding to alert: 10,000 entities, 4 channels, one core."""
    step = child("bench.floor")
    lean, full = undisturbed("--profile", "lean"), undisturbed("--profile", "full")
    small = undisturbed("--profile", "lean", "--rows", "256", "--measured", "8")
    anchor, floor = "the step alone, 4096 rows", rounded(step["litert"][0])
    return [
        _flow("flow_lean", lean, 60_000, anchor, floor),
        _flow("flow_full", full, 25_000, anchor, floor),
        *(
            Figure(
                f"{name}_per_cpu_s",
                rounded(found["events_per_s"] / found["cpu_share"]),
                "events per CPU second",
            )
            for name, found in (("flow_lean", lean), ("flow_full", full))
        ),
        Figure(
            "batch_256_lean_p99",
            rounded(small["p99_ms"]),
            "ms",
            "lower",
            rounded(small["p50_ms"]),
            rounded(small["max_ms"]),
            must=6.0,
        ),
        Figure("batch_256_lean_p99_cpu", rounded(small["cpu_p99_ms"]), "ms", "lower"),
        Figure("batch_256_lean_p50", rounded(small["p50_ms"]), "ms", "lower"),
        Figure("memory_lean", rounded(lean["bytes_per_entity"] / 1024), "KiB/entity", "lower"),
        Figure("memory_full", rounded(full["bytes_per_entity"] / 1024), "KiB/entity", "lower"),
        Figure(
            "core_share",
            rounded(min(lean["cpu_share"], full["cpu_share"], small["cpu_share"])),
            "of the clock",
            anchor="well below 1: other programs disturbed the worst of these runs",
        ),
        *step_figures(step),
    ]


def _flow(name: str, found: dict[str, Any], must: float, anchor: str, floor: float) -> Figure:
    value, low, high = (rounded(found[key]) for key in ("events_per_s", "low", "high"))
    return Figure(name, value, "events/s", "higher", low, high, anchor, floor, must)


def step_figures(step: dict[str, list[float]]) -> list[Figure]:
    """The network's step in events/s by backend, against its matrix products."""
    floor = rounded(step["sgemm"][0])
    figures = []
    for name in ("litert", "litert-int8", "numpy"):
        middle, low, high = map(rounded, step[name])
        figures.append(
            Figure(
                f"step_{name}",
                middle,
                "events/s",
                "higher",
                low,
                high,
                "its matrix products",
                floor,
            )
        )
    figures.append(Figure("step_one_event", rounded(1e6 / step["one_event"][0]), "us", "lower"))
    return figures


def import_figures() -> list[Figure]:
    """Milliseconds of `import streamer` and `streamer --help`, best of five.

    An empty interpreter is the anchor.
    """
    nothing = best_ms("-c", "pass")
    return [
        Figure(
            "import_streamer",
            rounded(best_ms("-c", "import streamer")),
            "ms",
            "lower",
            anchor="python alone",
            anchor_value=rounded(nothing),
            must=150,
        ),
        Figure(
            "streamer_help",
            rounded(best_ms("-m", "streamer.cli", "--help")),
            "ms",
            "lower",
            anchor="python alone",
            anchor_value=rounded(nothing),
            must=250,
        ),
    ]


def best_ms(*words: str, runs: int = 5) -> float:
    times = []
    for _ in range(runs):
        began = time.perf_counter()
        subprocess.run([PYTHON, *words], cwd=ROOT, capture_output=True, check=True)
        times.append(time.perf_counter() - began)
    return 1e3 * min(times)


def daemon_figures() -> list[Figure]:
    """`streamer run` on LiteRT: seconds until /readyz, and resident memory while streaming."""
    with tempfile.TemporaryDirectory() as folder:
        port = free_port()
        config = Path(folder) / "config.yaml"
        config.write_text(CONFIG.format(folder=folder, port=port))
        log = Path(folder) / "log"
        began = time.perf_counter()
        command = [PYTHON, "-m", "streamer.cli", "run", "-c", str(config)]
        with log.open("wb") as errors:
            process = subprocess.Popen(command, cwd=ROOT, stderr=errors)
        try:
            ready_s = ready_after(port, process, began)
            time.sleep(RESIDENT_AFTER_S)
            resident = psutil.Process(process.pid).memory_info().rss / 2**20
            if process.poll() is not None or not resident:
                raise SystemExit(f"streamer run ended by itself:\n{log.read_text()}")
        finally:
            process.terminate()
            process.wait(timeout=30)
    return [
        Figure("run_ready", rounded(ready_s), "s", "lower", must=2.0),
        Figure("run_resident", rounded(resident), "MiB", "lower", must=120),
    ]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def ready_after(port: int, process: subprocess.Popen[bytes], began: float) -> float:
    while time.perf_counter() - began < READY_LIMIT_S and process.poll() is None:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=1):
                return time.perf_counter() - began
        except (urllib.error.URLError, OSError):
            time.sleep(0.02)
    raise SystemExit(
        f"streamer run was not ready after {READY_LIMIT_S:.0f} s (exit code {process.poll()})"
    )


def main() -> None:
    figures = [*import_figures(), *daemon_figures(), *flow_figures()]
    path = write("speed", figures)
    print(table(figures))
    print(f"written: {path.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
