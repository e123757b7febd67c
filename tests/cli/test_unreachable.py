"""A broker that is away is one error of ours, and nothing before it, whichever command looks for
it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.connect.kafka.conftest import closed_port

FILE = "ts,device,rms\n" + "".join(f"{1_700_000_000 + i},p,{i % 7}\n" for i in range(30))
COMMANDS: dict[str, list[str]] = {
    "run": ["run", "-c", "config.yaml"],
    "run, source only": ["run", "-c", "config.yaml", "--dry-run"],
    "tap": ["tap", "-c", "config.yaml"],
    "init": ["init", "--from", "kafka://{server}/t", "--out", "made.yaml", "-c", "config.yaml"],
    "replay": ["replay", "rows.csv", "-c", "config.yaml"],
    "dlq": ["dlq", "list", "-c", "config.yaml", "--format", "json"],
}
Ended = tuple[int, str, str]


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Ended]:
    """Exit code and output of every command, all begun at once: each waits for a server that never
    comes.
    """
    folder, server = tmp_path_factory.mktemp("away"), closed_port()
    source = {"kind": "kafka", "topic": "t", "group": "g"}
    fields = {"entity": "device", "time": "ts", "channels": ["rms"]}
    config = {
        "version": 1,
        "kafka": {"bootstrap_servers": [server], "request_timeout": "1s"},
        "streams": [{"name": "s", "source": source, "fields": fields}],
        "model": {"backend": "baseline"},
        "sinks": [{"kind": "kafka", "topic": "alerts"}],
        "dead_letters": {"kind": "kafka", "topic": "letters"},
        "server": {"enabled": False},
    }
    (folder / "config.yaml").write_text(json.dumps(config))
    (folder / "rows.csv").write_text(FILE)
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    started = {
        name: subprocess.Popen(
            [sys.executable, "-m", "streamer.cli", *(word.format(server=server) for word in words)],
            cwd=folder,
            env=env,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for name, words in COMMANDS.items()
    }
    try:
        told = {name: process.communicate(timeout=120) for name, process in started.items()}
        return {name: (started[name].returncode, *texts) for name, texts in told.items()}
    finally:
        for process in started.values():
            process.kill()


@pytest.mark.parametrize("name", COMMANDS)
def test_a_broker_that_is_away_is_one_error_and_exit_code_5(
    ended: dict[str, Ended], name: str
) -> None:
    code, out, err = ended[name]
    assert (code, out) == (5, "")
    [line] = err.splitlines()
    assert line.startswith("error: ") and "no broker answers" in line and "start the broker" in line
