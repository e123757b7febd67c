"""`streamer run` as a process: signals, ends, faults at start."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.integration
START, ROWS = 1_700_000_000, 2000
PLAIN = "source: {kind: file, path: in.csv}"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    rows = [f"{START + i},{(i * 7) % 31},{0.1 * (i % 13)}" for i in range(ROWS)]
    (tmp_path / "in.csv").write_text("\n".join(["ts,a,b", *rows, ""]))
    return tmp_path


def configure(home: Path, source: str = PLAIN, extra: str = "") -> None:
    (home / "config.yaml").write_text(
        f"version: 1\nstreams:\n  - name: s\n    {source}\n"
        + ("    fields: {time: ts, channels: [a, b]}\n" if "kind: file" in source else "")
        + 'server: {listen: "127.0.0.1:0"}\nlog: {format: json}\n'
        + (extra or "sinks: [{kind: file, path: alerts.jsonl}]\nscores: {path: scores.csv}\n")
    )


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "streamer.cli", "run", *arguments]


def finished(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*arguments), cwd=home, capture_output=True, text=True, timeout=120, check=False
    )


@contextmanager
def running(home: Path, *arguments: str) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    """The process and its line `service_ready`."""
    with subprocess.Popen(
        command(*arguments), cwd=home, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process, log_line(process, "service_ready")
        finally:
            process.kill()


def log_line(process: subprocess.Popen[str], event: str) -> dict[str, Any]:
    assert process.stderr is not None
    for line in process.stderr:
        if f'"event":"{event}"' in line:
            return dict(json.loads(line))
    pytest.fail(f"the process ended without logging {event}")


def books(stderr: str) -> dict[str, int]:
    line = next(line for line in stderr.splitlines() if '"service_stopped"' in line)
    return dict(json.loads(line)["conservation"]["s"])


def lines(path: Path) -> int:
    return len(path.read_text().splitlines())


def test_a_file_is_scored_to_its_end_and_every_row_accounted_for(home: Path) -> None:
    configure(home)
    done = finished(home)
    assert done.returncode == 0, done.stderr
    assert books(done.stderr)["in"] == ROWS
    assert books(done.stderr)["in_flight"] == 0
    assert lines(home / "scores.csv") == ROWS + 1


def test_three_runs_give_byte_equal_alerts_and_scores(home: Path) -> None:
    jump = [
        f"{START + i},{(i * 7) % 31 + (90 if i in (700, 1500) else 0)},{0.1 * (i % 13)}"
        for i in range(ROWS)
    ]
    (home / "in.csv").write_text("\n".join(["ts,a,b", *jump, ""]))
    results = set()
    for name in "xyz":
        configure(
            home,
            extra=f"sinks: [{{kind: file, path: {name}.jsonl}}]\nscores: {{path: {name}.csv}}\n",
        )
        assert finished(home).returncode == 0
        results.add((home / f"{name}.jsonl").read_bytes() + (home / f"{name}.csv").read_bytes())
    assert len(results) == 1
    assert b'"event":"opened"' in results.pop()


def test_bad_lines_are_counted_logged_and_stop_nothing(home: Path) -> None:
    rows = (home / "in.csv").read_text().splitlines()
    rows[5:5] = ["not,a", f"{START},high,1", "never,1,1", '"unclosed']
    (home / "in.csv").write_text("\n".join([*rows, ""]))
    configure(home)
    done = finished(home)
    counts = books(done.stderr)
    assert done.returncode == 0
    assert counts["dead_lettered"] > 0
    assert counts["in"] == sum(count for fate, count in counts.items() if fate != "in")
    assert '"event":"records_rejected"' in done.stderr


def test_a_signal_drains_a_synthetic_stream(home: Path) -> None:
    configure(home, "source: {kind: synthetic, world: plant, entities: 4, pace: 60}")
    with running(home) as (process, _):
        process.send_signal(signal.SIGTERM)
        stopped = log_line(process, "service_stopped")
        assert process.wait(60) == 0
    assert stopped["conservation"]["s"]["in_flight"] == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_one_signal_drains_and_what_was_read_is_scored(home: Path, number: signal.Signals) -> None:
    configure(home, "source: {kind: file, path: in.csv, pace: 100}")
    with running(home) as (process, ready):
        get(ready["listen"], "/readyz")
        process.send_signal(number)
        stopped = log_line(process, "service_stopped")
        assert process.wait(60) == 0
    counts = stopped["conservation"]["s"]
    assert stopped["clean"]
    assert 0 < counts["in"] < ROWS
    assert counts["in"] == counts["scored"] + counts["warming"]
    assert lines(home / "scores.csv") == counts["in"] + 1


def test_a_second_signal_quits_a_drain_that_takes_long(home: Path) -> None:
    (home / "in.csv").write_text(
        "\n".join(["ts,a,b", *(f"{START + i},{i % 31},1" for i in range(100_000)), ""])
    )
    configure(
        home,
        "source: {kind: file, path: in.csv, poll_rows: 100000}",
        "runtime: {batch_rows: 100000}\n",
    )
    with running(home) as (process, ready):
        while b'streamer_records_in_flight{stream="s"} 0.0' in get(ready["listen"], "/metrics"):
            pass
        process.send_signal(signal.SIGTERM)
        log_line(process, "service_draining")
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 130


def test_idleness_ends_a_source_that_never_does(home: Path) -> None:
    configure(home, "source: {kind: memory}")
    done = finished(home, "--until-idle", "300ms")
    assert done.returncode == 0, done.stderr


def test_a_dry_run_has_no_workers(home: Path) -> None:
    configure(home)
    done = finished(home, "--dry-run", "--workers", "2")
    assert done.returncode == 2 and "leave --workers away" in done.stderr


def test_a_dry_run_scores_and_leaves_nothing_behind(home: Path) -> None:
    configure(home)
    done = finished(home, "--dry-run")
    assert done.returncode == 0, done.stderr
    assert books(done.stderr)["scored"] > 0
    assert {path.name for path in home.iterdir()} == {"in.csv", "config.yaml"}


def test_an_unusable_model_falls_back_to_the_baseline_and_says_so_everywhere(home: Path) -> None:
    configure(home, "source: {kind: file, path: in.csv, pace: 100}")
    with running(home, "--set", "model.path=nowhere") as (process, ready):
        readiness = json.loads(get(ready["listen"], "/readyz"))
        metrics = get(ready["listen"], "/metrics").decode()
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    model = next(check for check in readiness["checks"] if check["name"] == "model")
    assert "fallback to baseline" in model["detail"]
    assert 'role="fallback",backend="baseline"' in metrics or 'backend="baseline"' in metrics


def test_standard_input_ends_with_its_writer(home: Path) -> None:
    configure(home, 'source: {kind: file, path: "-"}')
    text = (home / "in.csv").read_text()
    done = subprocess.run(
        command(), cwd=home, input=text, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert books(done.stderr)["in"] == ROWS


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("--set", "streams.s.source.path=gone.csv"), 1, "gone.csv"),
        (("--set", "streams.s.nam=x"), 3, "nam"),
        (("--set", "server.listen=0.0.0.0:0"), 3, "server.token"),
        (("--set", "sinks=[{kind: file, path: in.csv/alerts.jsonl}]"), 1, "in.csv/alerts.jsonl"),
        (("--until-idle", "5"), 2, "5s"),
        (("-c", "none.yaml"), 3, "none.yaml"),
    ],
)
def test_a_fault_at_start_ends_at_once_and_says_what(
    home: Path, arguments: tuple[str, ...], code: int, says: str
) -> None:
    configure(home)
    done = finished(home, *arguments)
    assert (done.returncode, says in done.stderr) == (code, True), done.stderr


def test_an_address_in_use_ends_the_start(home: Path) -> None:
    configure(home)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = finished(home, "--set", f"server.listen=127.0.0.1:{taken.getsockname()[1]}")
    assert done.returncode == 3
    assert "in use" in done.stderr


def get(address: str, path: str) -> bytes:
    with urllib.request.urlopen(f"http://{address}{path}", timeout=30) as answer:
        return bytes(answer.read())
