"""The life of the service: start, watch, drain, stop.

It has one reader thread per stream, one scoring thread and one for HTTP.
"""

from __future__ import annotations

import gc
import sys
import threading
import time
from collections.abc import Callable
from functools import partial

import structlog

from streamer.app.http_server import HttpServer
from streamer.app.service import Phase, Service
from streamer.protocols import Clock

log = structlog.get_logger()

# At the default of 5 ms a busy reader starves the scorer: 1.18 M events/s fall to 46 k; between
# 0.05 and 0.5 ms they do not. In that range the p99 from event to alert does not depend on it, as
# long as reading waits for judging.
SWITCH_INTERVAL_S = 0.0002
WATCH_S = 0.1
# Longest waits at the end: for a source's last commit and leave, for the last snapshots, for
# background tasks.
READER_S, KEEP_S, ATTENDANT_S = 10.0, 5.0, 3.0


class DaemonThread(threading.Thread):
    """A named daemon thread; an error is logged, stored in `error`, and calls `on_error`."""

    def __init__(self, name: str, work: Callable[[], None], on_error: Callable[[], None]) -> None:
        super().__init__(name=name, daemon=True)
        self.error: Exception | None = None
        self._work, self._on_error = work, on_error

    def run(self) -> None:
        try:
            self._work()
        # the outermost edge of a thread: the service must drain and report any error
        except Exception as exc:
            self.error = exc
            log.exception("thread_crashed", thread=self.name)
            self._on_error()


class DaemonThreads:
    """The threads of a service. An error in a thread of the flow sets `stop`."""

    def __init__(self, service: Service, score: Callable[[], None], stop: threading.Event) -> None:
        self.drained = threading.Event()  # everything is judged and delivered
        self.kept = threading.Event()  # the last snapshots are written
        self.scoring = DaemonThread("scorer", score, stop.set)
        self.readers = [
            DaemonThread(
                f"reader:{reader.stream}", partial(reader.run, stop, self.drained), stop.set
            )
            for reader in service.readers
        ]
        self.keepers = [
            DaemonThread("keeper", partial(writer.run, self.kept), stop.set)
            for writer in service.snapshot_writers
        ]
        self.beside = [
            DaemonThread(
                one.name, partial(one.run, self.drained), partial(service.crashed.append, one.name)
            )
            for one in service.background_tasks
        ]

    def start(self) -> None:
        for thread in (*self.readers, self.scoring, *self.keepers, *self.beside):
            thread.start()

    def problems(self) -> list[str]:
        """Return the readers and the scorer that crashed or did not stop, in words."""
        threads = (*self.readers, self.scoring)
        crashed = [f"{one.name} crashed: {one.error}" for one in threads if one.error is not None]
        return [*crashed, *(f"{one.name} did not stop" for one in threads if one.is_alive())]


class Daemon:
    """Runs the service until the stop event, the end of all sources or idleness; then drains."""

    def __init__(
        self,
        service: Service,
        stop: threading.Event,
        *,
        phase: Phase | None = None,
        server: HttpServer | None = None,
        drain_s: float = 30.0,
        until_idle_s: float | None = None,
        clock: Clock = time.monotonic,
    ) -> None:
        self.service, self.phase = service, phase or Phase()
        self._stop, self._server, self._clock = stop, server, clock
        self._drain_s, self._until_idle_s = drain_s, until_idle_s
        self._give_up_at = float("inf")
        self._threads = DaemonThreads(service, self._score, stop)

    def run(self) -> int:
        """Run the service; return the exit code.

        It is 0 if everything that was read is judged and delivered, else 1.
        """
        self._start()
        try:
            self._watch()
        finally:
            self._drain()
        return self._verdict()

    def _start(self) -> None:
        sys.setswitchinterval(SWITCH_INTERVAL_S)
        gc.collect()
        # imported modules stay; a collection over them stopped the process for 50 to 85 ms
        gc.freeze()
        self._threads.start()
        if self._server is not None:
            self._server.start()
        self.phase.name = "running"
        log.info(
            "service_ready",
            streams=[reader.stream for reader in self.service.readers],
            listen=self._listen(),
        )

    def _watch(self) -> None:
        """Wait for a reason to stop."""
        while self._threads.scoring.is_alive() and not self._stop.is_set():
            if self._until_idle_s is not None and self.idle_s() >= self._until_idle_s:
                self._stop.set()
            if all(processor.inlet.mailbox.done for processor in self.service.processors):
                break
            self._stop.wait(WATCH_S)

    def idle_s(self) -> float:
        """Seconds since the last record arrived or was in work."""
        service = self.service
        if not service.scoring_loop.idle or any(
            processor.accounting.in_flight or processor.books.tickets
            for processor in service.processors
        ):
            return 0.0
        return min((one.idle_s for one in service.readers if not one.ended), default=0.0)

    def _drain(self) -> None:
        """Judge and deliver what was read, commit the positions, and close everything."""
        self.phase.name = "draining"
        self._give_up_at = self._clock() + self._drain_s
        log.info(
            "service_draining",
            in_flight=sum(processor.accounting.in_flight for processor in self.service.processors),
        )
        self._threads.scoring.join(self._drain_s + 1)
        if not self._threads.scoring.is_alive():  # no other thread uses the processors now
            for processor in self.service.processors:
                processor.keep_last()
        self._keep()
        self._threads.drained.set()
        for reader in self._threads.readers:
            reader.join(READER_S)
        for beside in self._threads.beside:
            beside.join(ATTENDANT_S)
        self._close()

    def _keep(self) -> None:
        """Write the last snapshots.

        The readers still commit, and still hold the partitions. So the next owner of a partition
        finds its snapshot.
        """
        left = sum(
            snapshot_writer.flush(KEEP_S) for snapshot_writer in self.service.snapshot_writers
        )
        if left:
            log.warning("snapshots_unwritten", partitions=left)
        self._threads.kept.set()
        for keeper in self._threads.keepers:
            keeper.join(1.0)

    def _close(self) -> None:
        # else the thread still uses them; the process ends anyway
        if not self._threads.scoring.is_alive():
            self.service.scoring_loop.close()
        if self._server is not None:
            self._server.stop()
        self.phase.name = "stopped"

    def _score(self) -> None:
        self.service.scoring_loop.run(lambda: self._clock() >= self._give_up_at)

    def _verdict(self) -> int:
        problems = [*self._threads.problems(), *self._undelivered(), *self._unbalanced()]
        for problem in problems:
            log.error("unclean_stop", problem=problem)
        books = {
            processor.stream: processor.accounting.summary()
            for processor in self.service.processors
        }
        log.info("service_stopped", clean=not problems, conservation=books)
        return 1 if problems else 0

    def _undelivered(self) -> list[str]:
        outlets = [outlet for outlet in self.service.outlets if outlet.undelivered]
        failing = [r for r in self.service.readers if r.problem is not None and not r.ended]
        return [
            *(f"sink {o.name}: {o.undelivered} undelivered: {o.problem}" for o in outlets),
            *(
                f"scores of {processor.stream} unwritten: {processor.outlets.scores.problem}"
                for processor in self.service.processors
                if processor.outlets.scores.problem
            ),
            *(f"source of {r.stream} still failing: {r.problem}" for r in failing),
        ]

    def _unbalanced(self) -> list[str]:
        processors = [processor for processor in self.service.processors if not processor.balanced]
        return [
            f"the books of {processor.stream} do not balance: {processor.accounting.summary()}"
            for processor in processors
        ]

    def _listen(self) -> str | None:
        return None if self._server is None else "{}:{}".format(*self._server.address)
