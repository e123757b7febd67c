"""The daemon as a process of its own: started, killed, asked, and read by its log."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from tests.integration.history import Books
from tests.servers.child import Child, free_port, wait_until

ASK_S = 2.0


class Daemon:
    """One place where the daemon runs, again and again, with one configuration; each run has a log
    of its own.
    """

    def __init__(
        self, directory: Path, config: Mapping[str, Any], *, words: Sequence[str] = ()
    ) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.place = directory.name
        self.port = free_port()
        own = {
            "server": {"listen": f"127.0.0.1:{self.port}"},
            "log": {"level": "info", "format": "json"},
        }
        self.config = directory / "config.yaml"
        self.config.write_text(yaml.safe_dump({"version": 1, **config, **own}))
        self._directory, self._words = directory, tuple(words)
        self._numbers = itertools.count(1)
        self._child: Child | None = None
        self._began_s = 0.0  # monotonic, of this run

    def start(self, **env: str) -> Daemon:
        """A new run; `env` are variables of it alone, such as STREAMER_FAILPOINT."""
        assert not self.running, "it runs already"
        command = [
            sys.executable,
            "-m",
            "streamer.cli",
            "run",
            "-c",
            str(self.config),
            *self._words,
        ]
        log = self._directory / f"run-{next(self._numbers)}.log"
        # One thread for arithmetic: the machine is shared with brokers and pumps.
        self._child = Child(command, log, {**os.environ, "OMP_NUM_THREADS": "1", **env})
        self._began_s = time.monotonic()
        self._child.start()
        return self

    @property
    def child(self) -> Child:
        assert self._child is not None, "it was never started"
        return self._child

    @property
    def started(self) -> bool:
        return self._child is not None

    @property
    def running(self) -> bool:
        return self._child is not None and self._child.running

    def kill(self) -> None:
        """As the kernel does when memory runs out."""
        self.child.kill()

    def ask_to_stop(self) -> None:
        self.child.signal(signal.SIGTERM)

    def terminate(self, timeout_s: float = 45.0) -> int:
        """SIGTERM; the exit code, -9 if it had to be killed."""
        return self.child.stop(timeout_s) or 0

    def wait(self, timeout_s: float) -> int:
        """The exit code of a run that ends by itself; AssertionError with its log if it
        does not.
        """
        try:
            return self.child.wait(timeout_s) or 0
        except subprocess.TimeoutExpired:
            raise AssertionError(
                f"still running after {timeout_s:g} s\n{self.child.tail()}"
            ) from None

    def logged(self, event: str | None = None) -> list[dict[str, Any]]:
        """Lines of this run's log, or those of one event; what is not JSON has the event `raw`."""
        lines = [_parsed(line) for line in self.child.log.read_text(errors="replace").splitlines()]
        return [line for line in lines if event in (None, line["event"])]

    @property
    def problems(self) -> list[dict[str, Any]]:
        """Everything above info."""
        return [
            line for line in self.logged() if line.get("level") in {"warning", "error", "critical"}
        ]

    def account(self, stream: str) -> dict[str, int]:
        """The books of this run, which must have ended by itself."""
        stopped = self.logged("service_stopped")
        assert stopped, f"it did not close its books:\n{self.child.tail()}"
        return stopped[-1]["conservation"][stream]

    def books(self, stream: str, moved: int | None = None) -> Books:
        return Books(self.account(stream), moved)

    def ready(self) -> tuple[bool, dict[str, str]]:
        """Whether /readyz says so, and the reasons of the checks that say no. Nothing there counts
        as not ready.
        """
        status, body = self.get("/readyz")
        if not body:
            return False, {"http": "no answer"}
        checks = json.loads(body).get("checks", [])
        return status == 200, {
            check["name"]: check["detail"] for check in checks if not check["ok"]
        }

    def wait_ready(self, timeout_s: float) -> float:
        """Until /readyz says yes; returns the seconds it took. AssertionError with its last
        reasons.
        """
        started = time.monotonic()
        while not (look := self.ready())[0]:
            assert time.monotonic() < started + timeout_s, (
                f"not ready after {timeout_s:g} s: {look[1]}"
            )
            time.sleep(0.1)
        return time.monotonic() - started

    def checks(self) -> dict[str, str]:
        """The details of all checks of /readyz; none if nobody answers."""
        _, body = self.get("/readyz")
        return (
            {check["name"]: check["detail"] for check in json.loads(body).get("checks", [])}
            if body
            else {}
        )

    def get(self, path: str) -> tuple[int, bytes]:
        """Status and body; 0 and nothing if nobody answers in time."""
        try:
            with urllib.request.urlopen(
                f"http://127.0.0.1:{self.port}{path}", timeout=ASK_S
            ) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as refused:
            return refused.code, refused.read()
        except OSError:
            return 0, b""

    def rows(self, name: str) -> list[tuple[dict[str, str], float]]:
        """Labels and value of every row of a metric; none if nobody answers."""
        return [(one.labels, one.value) for one in self._samples(name)]

    def _samples(self, *names: str) -> list[Sample]:
        """Of these metrics alone: reading all of them takes a core of its own where it is asked ten
        times a second.
        """
        _, body = self.get("/metrics")
        lines = (line for line in body.decode().splitlines() if line.startswith(names))
        families = text_string_to_metric_families("\n".join(lines) + "\n")
        return [one for family in families for one in family.samples if one.name in names]

    def metric(self, name: str, **labels: str) -> float:
        """The sum of a metric over all its rows with these labels; 0 if nobody answers or there is
        none.
        """
        return sum(value for own, value in self.rows(name) if labels.items() <= own.items())

    @property
    def scored(self) -> float:
        """Events that this run judged, or took in too young to be judged; what it only read again
        is none of them.
        """
        samples = self._samples("streamer_events_scored_total", "streamer_events_skipped_total")
        return sum(one.value for one in samples if one.labels.get("reason", "warming") == "warming")

    def wait_scored(self, events: float = 1, *, timeout_s: float) -> None:
        """Until this run has judged so many events."""
        wait_until(
            lambda: self._alive() and self.scored >= events,
            timeout_s=timeout_s,
            what=f"{events} events scored",
            every_s=0.1,
        )

    def wait_started(self, timeout_s: float = 90.0) -> float:
        """Until all parts of this run are open; returns the seconds since its start, which tell of
        the machine.
        """
        self.wait_log("service_ready", timeout_s=timeout_s)
        return time.monotonic() - self._began_s

    def wait_log(self, event: str, *, timeout_s: float) -> dict[str, Any]:
        """The first line of that event in this run's log."""
        wait_until(
            lambda: self._alive() and bool(self.logged(event)), timeout_s=timeout_s, what=event
        )
        return self.logged(event)[0]

    def _alive(self) -> bool:
        assert self.running, f"it ended with {self.child.exit_code}:\n{self.child.tail()}"
        return True


def _parsed(line: str) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except ValueError:
        found = None
    return (
        found
        if isinstance(found, dict) and "event" in found
        else {"event": "raw", "level": "raw", "line": line}
    )
