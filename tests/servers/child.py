"""A server as a child of the tests: it dies with them, and can be stopped, killed, paused and
started again.
"""

from __future__ import annotations

import ctypes
import os
import random
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)
# The kernel kills the child when the *thread* that made it ends; this one lives as long as the
# process.
_spawner = ThreadPoolExecutor(1, thread_name_prefix="spawner")
_ports = random.SystemRandom()


class ServerError(Exception):
    """A server did not start or did not answer; the message holds the end of its log."""


def free_port() -> int:
    """A port nobody listens on, below the range of outgoing connections, so that it is still free
    after a restart.
    """
    while True:
        port = _ports.randrange(20_000, 32_000)
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)):
                return port


def wait_until(
    ready: Callable[[], bool], *, timeout_s: float, what: str, every_s: float = 0.05
) -> None:
    """Ask until it is so; ServerError naming `what` after `timeout_s`."""
    end = time.monotonic() + timeout_s
    while not ready():
        if time.monotonic() > end:
            raise ServerError(f"waited {timeout_s:g} s in vain: {what}")
        time.sleep(every_s)


class Child:
    """One process and its log file. Methods do nothing where there is nothing to do."""

    def __init__(
        self, command: Sequence[str], log: Path, env: Mapping[str, str] | None = None
    ) -> None:
        self._command = list(command)
        self._env = None if env is None else dict(env)
        self._process: subprocess.Popen | None = None
        self.log = log

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """Of the running process; ServerError where there is none."""
        if self._process is None:
            raise ServerError(f"{self._command[0]} was never started")
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs and before its first start; -9 after a kill."""
        return None if self._process is None else self._process.poll()

    def start(self) -> None:
        if not self.running:
            self._process = _spawner.submit(self._spawn).result()

    def _spawn(self) -> subprocess.Popen:
        with self.log.open("ab") as log:
            return subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self._env,
                start_new_session=True,
                preexec_fn=_die_with_parent,  # noqa: PLW1509 - one system call, prepared before the fork
            )

    def stop(self, timeout_s: float = 30.0) -> int | None:
        """SIGTERM and wait; SIGKILL if it takes longer. Returns the exit code."""
        self.signal(signal.SIGTERM)
        self.resume()
        try:
            return self.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return self.kill()

    def kill(self) -> int | None:
        self.signal(signal.SIGKILL)
        return self.wait(10.0)

    def wait(self, timeout_s: float) -> int | None:
        """The exit code; subprocess.TimeoutExpired if it does not end."""
        return None if self._process is None else self._process.wait(timeout_s)

    def pause(self) -> None:
        self.signal(signal.SIGSTOP)

    def resume(self) -> None:
        self.signal(signal.SIGCONT)

    def signal(self, number: int) -> None:
        if self.running:
            os.kill(self.pid, number)

    def wait_ready(self, ready: Callable[[], bool], timeout_s: float) -> None:
        """Until `ready`; ServerError with the end of the log if it dies or takes too long."""
        try:
            wait_until(
                lambda: not self.running or ready(), timeout_s=timeout_s, what=self._command[0]
            )
        except ServerError as late:
            raise ServerError(f"{late}\n{self.tail()}") from late
        if not self.running:
            raise ServerError(f"{self._command[0]} ended with {self.exit_code}:\n{self.tail()}")

    def tail(self, lines: int = 30) -> str:
        """The end of the log."""
        return (
            "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])
            if self.log.exists()
            else ""
        )


def _die_with_parent() -> None:
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
