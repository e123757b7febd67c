"""One Kafka and one Redis for a whole run of several pytest workers.

The controller starts a server when the first worker asks for it, and stops it at the end. Workers
ask by a file and read the address from another one.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

from tests.servers.child import ServerError, wait_until

LOOK_S = 0.1
FETCHED_S = 300.0  # a clean clone fetches Apache Kafka before it starts


class Server(Protocol):
    """A server that can be stopped."""

    def close(self) -> None: ...


# Starts a server below a directory. Returns it and its address.
Open = Callable[[Path], tuple[Server, str]]


class SharedServers:
    """The controller's side: a thread waits for the first worker that asks."""

    def __init__(self, directory: Path, kinds: Mapping[str, Open]) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._directory, self._kinds = directory, dict(kinds)
        self._running: list[Server] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="shared-servers", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop all servers that were started."""
        self._stop.set()
        self._thread.join()
        while self._running:
            self._running.pop().close()

    def _run(self) -> None:
        waiting = dict(self._kinds)
        while waiting and not self._stop.wait(LOOK_S):
            for name in [one for one in waiting if _asked(self._directory, one).exists()]:
                self._start(name, waiting.pop(name))

    def _start(self, name: str, open_server: Open) -> None:
        try:
            server, told = open_server(self._directory / name)
        except Exception as broken:  # the worker that asked raises it
            _write(_failed(self._directory, name), f"{type(broken).__name__}: {broken}")
        else:
            self._running.append(server)
            _write(_address(self._directory, name), told)


def address(directory: Path, name: str) -> str:
    """A worker's side: ask for the server and wait for its address. ServerError if it does not
    start.
    """
    ready, broken = _address(directory, name), _failed(directory, name)
    _asked(directory, name).touch()
    wait_until(
        lambda: ready.exists() or broken.exists(), timeout_s=FETCHED_S, what=f"the shared {name}"
    )
    if broken.exists():
        raise ServerError(broken.read_text())
    return ready.read_text()


def _write(path: Path, text: str) -> None:
    """Whole or not at all: a worker may look at any moment."""
    half = path.with_suffix(".half")
    half.write_text(text)
    half.rename(path)


def _asked(directory: Path, name: str) -> Path:
    return directory / f"{name}.asked"


def _address(directory: Path, name: str) -> Path:
    return directory / f"{name}.address"


def _failed(directory: Path, name: str) -> Path:
    return directory / f"{name}.failed"
