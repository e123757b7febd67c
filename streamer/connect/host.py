"""Metrics of this machine as a source: real data without any setup."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from streamer.connect.base.pace import Wait
from streamer.connect.base.unpartitioned import WholeSource
from streamer.errors import ConfigError
from streamer.event import EventBatch, Poll
from streamer.protocols import Clock

if TYPE_CHECKING:
    from streamer import config
    from streamer.connect.base.opening import SourceContext

CHANNELS = (
    "cpu_percent",
    "memory_percent",
    "disk_read_bps",
    "disk_write_bps",
    "net_recv_bps",
    "net_sent_bps",
    "load1",
)
UNITS = ("%", "%", "B/s", "B/s", "B/s", "B/s", "")


@dataclass(frozen=True, slots=True)
class Reading:
    """The machine's metrics at one time.

    Counters only rise (until a reboot); NaN if the metric is not available.
    """

    cpu_busy_s: float  # counter: busy seconds, summed over all cores
    cpu_total_s: float  # counter: seconds, summed over all cores
    memory_percent: float
    disk_read: float  # counters: bytes
    disk_written: float
    net_received: float
    net_sent: float
    load1: float

    @property
    def counters(self) -> tuple[float, ...]:
        return self.disk_read, self.disk_written, self.net_received, self.net_sent


Reader = Callable[[], Reading]


def read_host() -> Reading:
    """Read the metrics of this machine (psutil)."""
    import psutil

    cpu, disk, net = psutil.cpu_times(), psutil.disk_io_counters(), psutil.net_io_counters()
    # guest time is already counted in user time
    total = sum(cpu) - getattr(cpu, "guest", 0.0) - getattr(cpu, "guest_nice", 0.0)
    busy = total - cpu.idle - getattr(cpu, "iowait", 0.0)
    none = float("nan")
    return Reading(
        busy,
        total,
        psutil.virtual_memory().percent,
        disk.read_bytes if disk else none,
        disk.write_bytes if disk else none,
        net.bytes_recv if net else none,
        net.bytes_sent if net else none,
        psutil.getloadavg()[0],
    )


def figures(now: Reading, before: Reading | None, elapsed_s: float) -> list[float]:
    """Return the channels of one sample.

    Rates are NaN at the first reading, and after a counter went back.
    """
    if before is None or elapsed_s <= 0:
        rates, cpu = [float("nan")] * 4, float("nan")
    else:
        steps = [new - old for new, old in zip(now.counters, before.counters, strict=True)]
        rates = [step / elapsed_s if step >= 0 else float("nan") for step in steps]
        cpu = percent(now.cpu_busy_s - before.cpu_busy_s, now.cpu_total_s - before.cpu_total_s)
    return [cpu, now.memory_percent, *rates, now.load1]


def percent(part: float, whole: float) -> float:
    """Percentage between 0 and 100; NaN if `whole` is not positive."""
    return min(max(100.0 * part / whole, 0.0), 100.0) if whole > 0 else float("nan")


class HostFigures:
    """The channels of sample after sample."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._before: tuple[float, Reading] | None = None

    def sample(self, now_s: float) -> list[float]:
        """The channels now; `now_s` only measures the time between samples."""
        reading = self._reader()
        before_s, before = self._before or (now_s, None)
        self._before = now_s, reading
        return figures(reading, before, now_s - before_s)


class Beats:
    """When samples are due: every `every_s`. Missed beats are not made up."""

    def __init__(self, every_s: float, beat: Clock) -> None:
        self._every_s, self._beat = every_s, beat
        self._due_s = beat()

    @property
    def early_s(self) -> float:
        """Seconds until the next sample is due; 0 or below once it is."""
        return self._due_s - self._beat()

    def take(self) -> float:
        """The time now, at which a sample is taken; the next one is due at the next beat."""
        now_s = self._beat()
        self._due_s += self._every_s * (1 + (now_s - self._due_s) // self._every_s)
        return now_s


class HostSource(WholeSource):
    """One event about this machine every `every_s`, endless.

    Offsets count from 0; missed samples are skipped.
    """

    channels: tuple[str, ...] = CHANNELS
    units: tuple[str, ...] = UNITS
    entity_keys = 1

    def __init__(
        self,
        every_s: float = 1.0,
        *,
        stream: str = "host",
        name: str = "",
        reader: Reader = read_host,
        clock: Clock = time.time,
        beat: Clock = time.monotonic,
        wait: Wait | None = None,
    ) -> None:
        """Create the source.

        `clock` gives event times; `beat` is monotonic and schedules samples.
        """
        if not every_s > 0:
            raise ConfigError("source.every", "must be above 0", every_s)
        self._stream, self._figures = stream, HostFigures(reader)
        self._clock, self._beats, self._stop = clock, Beats(every_s, beat), threading.Event()
        self._wait: Wait = wait or self._stop.wait
        self._name = name or socket.gethostname()
        self._count = 0
        self._paused = self._closed = False

    def poll(self, timeout_s: float) -> Poll | None:
        if self._closed:
            return None
        early = self._beats.early_s
        if early > 0 or self._paused:
            self._wait(timeout_s if self._paused else min(early, timeout_s))
        if self._paused or self._beats.early_s > 0:
            return Poll()
        return Poll((self._sample(),))

    def pause(self) -> None:
        self._paused = True

    def resume(self) -> None:
        self._paused = False

    def close(self) -> None:
        self._closed = True
        self._stop.set()

    def _sample(self) -> EventBatch:
        values = np.array([self._figures.sample(self._beats.take())], dtype=np.float32)
        offset = np.array([self._count], dtype=np.int64)
        self._count += 1
        entity = np.zeros((1, 1), dtype=np.int32)
        time_s = np.array([self._clock()])
        return EventBatch(
            self._stream, self._stream, 0, (self._name,), entity, time_s, values, offset
        )


def open_source(
    stream: config.Stream, section: config.HostSource, context: SourceContext
) -> HostSource:
    """The source of a section."""
    return HostSource(float(section.every), stream=stream.name)
