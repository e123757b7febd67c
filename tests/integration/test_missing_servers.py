"""Where a server cannot run, nobody may believe that its tests did."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.servers.admin import Kafka
from tests.servers.redis_server import RedisServer, RunningRedis

ROOT = Path(__file__).parents[2]


def _run(test: str, **env: str) -> subprocess.CompletedProcess[str]:
    """One test of test_servers.py, on a machine without any command."""
    bare = {
        key: value
        for key, value in os.environ.items()
        if key != "CI" and not key.startswith("STREAMER_TEST")
    }
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        f"tests/integration/test_servers.py::{test}",
    ]
    return subprocess.run(
        command,
        env=bare | {"PATH": "/nonexistent"} | env,
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize(
    ("test", "fix"),
    [
        ("test_what_goes_in_comes_out", "default-jre-headless"),
        ("test_redis_keeps_what_it_is_given", "redis-server"),
    ],
)
def test_a_missing_server_is_a_loud_skip_and_in_ci_a_failure(test: str, fix: str) -> None:
    skipped = _run(test)
    assert skipped.returncode == 0
    assert "1 TESTS DID NOT RUN: no " in skipped.stdout and fix in skipped.stdout
    refused = _run(test, CI="true")
    assert refused.returncode == 1
    assert "in CI this may not be skipped" in refused.stdout


@pytest.mark.needs_kafka
def test_a_running_kafka_that_is_named_needs_nothing_installed(kafka: Kafka) -> None:
    done = _run("test_what_goes_in_comes_out", STREAMER_TEST_KAFKA=kafka.bootstrap, CI="true")
    assert done.returncode == 0 and "1 passed" in done.stdout


@pytest.mark.needs_redis
def test_a_running_redis_that_is_named_needs_nothing_installed_but_where_tests_want_their_own(
    redis_server: RedisServer | RunningRedis,
) -> None:
    done = _run(
        "test_redis_keeps_what_it_is_given", STREAMER_TEST_REDIS=redis_server.url, CI="true"
    )
    assert done.returncode == 0 and "1 passed" in done.stdout
    wants_more = _run("test_a_paused_redis_hangs_and_goes_on", STREAMER_TEST_REDIS=redis_server.url)
    assert (
        wants_more.returncode == 0 and "1 TESTS DID NOT RUN: no redis-server" in wants_more.stdout
    )
