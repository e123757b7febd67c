"""A real redis-server from the machine's packages."""

from __future__ import annotations

import shutil
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from tests.servers.child import Child, free_port


def redis_missing() -> str | None:
    """What must be installed before Redis can run here; None where nothing is missing."""
    if shutil.which("redis-server") is None:
        instead = (
            "or name a running Redis in STREAMER_TEST_REDIS (its faults, logins and TLS are "
            "then left out)"
        )
        return f"no redis-server: install it (Debian: apt install redis-server), {instead}"
    return None


@dataclass(frozen=True)
class RunningRedis:
    """One that somebody else runs."""

    url: str


class RedisServer:
    """`settings` are redis.conf's, with underscores: RedisServer(d, maxmemory="8mb",
    maxmemory_policy="noeviction").
    """

    def __init__(self, directory: Path, *, password: str | None = None, **settings: object) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self.password = password
        self._child = Child(self._command(directory, settings), directory / "redis.log")

    @property
    def url(self) -> str:
        """With the password, if there is one."""
        secret = f":{self.password}@" if self.password else ""
        return f"redis://{secret}127.0.0.1:{self.port}/0"

    @property
    def running(self) -> bool:
        return self._child.running

    def start(self) -> Self:
        self._child.start()
        self._child.wait_ready(self._answers, 30.0)
        return self

    def stop(self) -> None:
        self._child.stop()

    def kill(self) -> None:
        self._child.kill()

    def pause(self) -> None:
        self._child.pause()

    def resume(self) -> None:
        self._child.resume()

    def close(self) -> None:
        self._child.kill()

    def _command(self, directory: Path, settings: dict[str, object]) -> list[str]:
        ours: dict[str, object] = {
            "port": self.port,
            "bind": "127.0.0.1",
            "dir": directory,
            "save": "",
        }
        if self.password:
            ours["requirepass"] = self.password
        told = {key.replace("_", "-"): value for key, value in (ours | settings).items()}
        return [
            "redis-server",
            *(word for key, value in told.items() for word in (f"--{key}", str(value))),
        ]

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), 1.0) as asked:
                asked.sendall(b"PING\r\n")
                return asked.recv(16).startswith((b"+PONG", b"-NOAUTH"))
        except OSError:
            return False
