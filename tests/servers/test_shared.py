"""One server for several workers: started when the first one asks, and never twice."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from tests.servers.child import ServerError
from tests.servers.redis_server import RedisServer
from tests.servers.shared import Server, SharedServers, address


class Counted:
    """Counts how often a server was started and closed."""

    def __init__(self) -> None:
        self.started = self.closed = 0

    def open(self, directory: Path) -> tuple[Server, str]:
        self.started += 1
        return self, f"localhost:{self.started}"

    def close(self) -> None:
        self.closed += 1


@pytest.fixture
def counted() -> Counted:
    return Counted()


@pytest.fixture
def servers(tmp_path: Path, counted: Counted) -> Iterator[SharedServers]:
    with closing(SharedServers(tmp_path, {"kafka": counted.open, "other": counted.open})) as made:
        yield made


def test_all_who_ask_get_the_address_of_one_server(
    tmp_path: Path, counted: Counted, servers: SharedServers
) -> None:
    with ThreadPoolExecutor(4) as workers:
        told = list(workers.map(lambda _: address(tmp_path, "kafka"), range(4)))
    servers.close()
    assert (set(told), counted.started, counted.closed) == ({"localhost:1"}, 1, 1)


def test_a_server_that_nobody_asks_for_is_never_started(
    counted: Counted, servers: SharedServers
) -> None:
    servers.close()
    assert (counted.started, counted.closed) == (0, 0)


def test_a_server_that_does_not_start_is_an_error_of_whoever_asks(tmp_path: Path) -> None:
    def broken(directory: Path) -> tuple[Server, str]:
        raise ServerError("no room for its log")

    with (
        closing(SharedServers(tmp_path, {"kafka": broken})),
        pytest.raises(ServerError, match="no room for its log"),
    ):
        address(tmp_path, "kafka")


def test_a_real_server_answers_at_the_address(tmp_path: Path, own_redis: None) -> None:
    started: list[RedisServer] = []

    def opened(directory: Path) -> tuple[Server, str]:
        started.append(RedisServer(directory).start())
        return started[0], started[0].url

    with closing(SharedServers(tmp_path, {"redis": opened})):
        assert address(tmp_path, "redis") == started[0].url
        assert started[0].running
    assert not started[0].running
