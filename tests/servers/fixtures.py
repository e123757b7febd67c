"""Servers as fixtures. Where one cannot run its tests skip, with a loud count at the end; in CI
that is a failure.

STREAMER_TEST_KAFKA=host:port and STREAMER_TEST_REDIS=redis://... name running servers: tests that
stop none use these, and need nothing installed; those of faults, of logins and of TLS start their
own all the same.

Under pytest-xdist the controller starts one Kafka and one Redis, and every worker uses them. Topics,
groups and keys are named after the process and the test, so that workers do not meet.
"""

from __future__ import annotations

import itertools
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest

from tests.servers import jars
from tests.servers.admin import Kafka
from tests.servers.cluster import KafkaCluster
from tests.servers.redis_server import RedisServer, RunningRedis, redis_missing
from tests.servers.secured import SecuredKafka
from tests.servers.shared import SharedServers, address

C = TypeVar("C", bound=KafkaCluster)

_NO_SERVER = "no server here: "
_MISSING: dict[str, Callable[[], str | None]] = {
    "needs_kafka": jars.missing,
    "needs_redis": redis_missing,
}
_RUNNING = {"needs_kafka": "STREAMER_TEST_KAFKA", "needs_redis": "STREAMER_TEST_REDIS"}
_SHARED = "shared_servers"  # the folder that the controller names to its workers
_numbers = itertools.count(1)
_of_controller = pytest.StashKey[tuple[Path, SharedServers]]()


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "needs_kafka: an Apache Kafka, a running one if it is named")
    config.addinivalue_line("markers", "needs_redis: a Redis, a running one if it is named")


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Of the controller, for each of its workers (pytest-xdist)."""
    if _of_controller not in node.config.stash:
        directory = Path(tempfile.mkdtemp(prefix="streamer-servers-"))
        servers = SharedServers(directory, {"kafka": _open_kafka, "redis": _open_redis})
        node.config.stash[_of_controller] = (directory, servers)
    node.workerinput[_SHARED] = str(node.config.stash[_of_controller][0])


def pytest_unconfigure(config: pytest.Config) -> None:
    if _of_controller in config.stash:
        directory, servers = config.stash[_of_controller]
        servers.close()
        shutil.rmtree(directory, ignore_errors=True)


def _open_kafka(directory: Path) -> tuple[KafkaCluster, str]:
    cluster = KafkaCluster(directory).start()
    return cluster, cluster.bootstrap


def _open_redis(directory: Path) -> tuple[RedisServer, str]:
    server = RedisServer(directory).start()
    return server, server.url


def _shared(config: pytest.Config) -> Path | None:
    """Where the controller tells of its servers; None in a run of a single process."""
    told = getattr(config, "workerinput", {}).get(_SHARED)
    return None if told is None else Path(told)


def pytest_runtest_setup(item: pytest.Item) -> None:
    for mark, running in _RUNNING.items():
        if item.get_closest_marker(mark) and not os.environ.get(running):
            _require(mark)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reports = terminalreporter.stats.get("skipped", [])
    reasons = [str(report.longrepr) for report in reports if _NO_SERVER in str(report.longrepr)]
    for missing in _MISSING.values():
        reason = missing()
        count = sum(reason in told for told in reasons) if reason else 0
        if count:
            terminalreporter.write_line(f"{count} TESTS DID NOT RUN: {reason}", red=True, bold=True)


def _require(mark: str) -> None:
    """Skip the test that asks where its server cannot run; fail it in CI."""
    reason = _MISSING[mark]()
    if reason and os.environ.get("CI"):
        pytest.fail(f"{_NO_SERVER}{reason}; in CI this may not be skipped")
    if reason:
        pytest.skip(_NO_SERVER + reason)


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Iterator[Kafka]:
    """One broker for the whole run, or the running one. Nobody stops it: tests that do start
    their own.
    """
    running = os.environ.get(_RUNNING["needs_kafka"])
    if running:
        yield Kafka(running)
        return
    _require("needs_kafka")
    if shared := _shared(pytestconfig):
        yield Kafka(address(shared, "kafka"))
    else:
        yield from _cluster(KafkaCluster(tmp_path_factory.mktemp("kafka")))


@pytest.fixture(scope="module")
def kafka_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaCluster]:
    """Three nodes of our own, for tests that stop some; each test leaves all of them running."""
    _require("needs_kafka")
    yield from _cluster(KafkaCluster(tmp_path_factory.mktemp("kafka-three"), nodes=3))


@pytest.fixture(scope="module")
def kafka_alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaCluster]:
    """One node of our own, for tests that stop it; each test leaves it running."""
    _require("needs_kafka")
    yield from _cluster(KafkaCluster(tmp_path_factory.mktemp("kafka-alone")))


@pytest.fixture(scope="session")
def secured_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredKafka]:
    """One node with TLS, SASL and rules. Nobody stops it."""
    _require("needs_kafka")
    yield from _cluster(SecuredKafka(tmp_path_factory.mktemp("kafka-secured")))


def _cluster(cluster: C) -> Iterator[C]:
    try:
        yield cluster.start()
    finally:
        cluster.close()


@pytest.fixture
def topic(request: pytest.FixtureRequest) -> str:
    """A fresh name for a topic; the test creates it."""
    return f"{request.node.originalname.removeprefix('test_')[:60]}-{os.getpid()}-{next(_numbers)}"


@pytest.fixture(scope="session")
def redis_server(
    tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config
) -> Iterator[RedisServer | RunningRedis]:
    """One Redis for the whole run, or the running one. Nobody stops it: tests that do start
    their own.
    """
    running = os.environ.get(_RUNNING["needs_redis"])
    if running:
        yield RunningRedis(running)
        return
    _require("needs_redis")
    if shared := _shared(pytestconfig):
        yield RunningRedis(address(shared, "redis"))
        return
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    try:
        yield server.start()
    finally:
        server.close()


@pytest.fixture(scope="session")
def own_redis() -> None:
    """For tests that make a RedisServer themselves: a running one will not do."""
    _require("needs_redis")


@pytest.fixture
def redis_alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A Redis of the test's own, to be stopped, paused and filled."""
    _require("needs_redis")
    directory = tmp_path_factory.mktemp("redis-alone")
    server = RedisServer(directory)
    try:
        yield server.start()
    finally:
        server.close()
        shutil.rmtree(directory, ignore_errors=True)
