"""This machine as a source, read through a reader that the tests hold in their hands."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from streamer.connect.host import CHANNELS, HostSource, Reading, figures, read_host
from streamer.errors import ConfigError

FIRST = Reading(100.0, 1000.0, 40.0, 1e6, 2e6, 3e6, 4e6, 0.5)
LATER = Reading(103.0, 1012.0, 41.0, 1e6 + 500, 2e6, 3e6 + 2000, 4e6 + 10, 0.7)


class Time:
    """A clock that moves only when somebody waits, or is told to."""

    def __init__(self) -> None:
        self.now = 50.0

    def __call__(self) -> float:
        return self.now

    def wait(self, seconds: float) -> None:
        self.now += seconds


def host(time: Time, reader: object = None, every_s: float = 2.0) -> HostSource:
    read = reader if callable(reader) else lambda: FIRST
    return HostSource(
        every_s, name="here", reader=read, clock=lambda: 1e9 + time.now, beat=time, wait=time.wait
    )


def test_rates_are_differences_over_time() -> None:
    assert figures(LATER, FIRST, 2.0) == [25.0, 41.0, 250.0, 0.0, 1000.0, 5.0, 0.7]


def test_the_first_sample_has_no_rates() -> None:
    known = dict(zip(CHANNELS, figures(FIRST, None, 0.0), strict=True))
    assert [name for name, value in known.items() if not math.isnan(value)] == [
        "memory_percent",
        "load1",
    ]


def test_a_counter_that_went_back_or_is_not_there_is_missing() -> None:
    assert math.isnan(figures(replace(LATER, disk_read=0.0), FIRST, 2.0)[2])
    assert math.isnan(figures(replace(LATER, net_sent=math.nan), FIRST, 2.0)[5])
    assert math.isnan(figures(FIRST, FIRST, 2.0)[0])


def test_a_sample_comes_every_so_often_with_the_wall_clock_time() -> None:
    time = Time()
    source = host(time)
    seen = [poll.batches[0].time_s[0] for poll in (source.poll(10.0) for _ in range(3)) if poll]
    assert seen == [1e9 + 50, 1e9 + 52, 1e9 + 54]


def test_a_poll_waits_no_longer_than_it_may() -> None:
    time = Time()
    source = host(time)
    source.poll(0.5)
    empty = source.poll(0.5)
    assert empty is not None and empty.records == 0 and time.now == 50.5


def test_missed_beats_are_not_made_up_and_the_beat_stays() -> None:
    time = Time()
    source = host(time)
    source.poll(0.0)
    time.now += 7.0
    polls = [source.poll(0.0), source.poll(0.0), source.poll(10.0)]
    assert [poll.records for poll in polls if poll] == [1, 0, 1] and time.now == 58.0


def test_values_and_offsets_go_on() -> None:
    readings = iter([FIRST, LATER])
    source = host(Time(), lambda: next(readings))
    first, second = source.poll(9.0), source.poll(9.0)
    assert first is not None and second is not None
    assert second.batches[0].values[0].tolist() == pytest.approx([25, 41, 250, 0, 1000, 5, 0.7])
    assert [first.batches[0].offset[0], second.batches[0].offset[0]] == [0, 1]


def test_an_interval_must_be_positive() -> None:
    with pytest.raises(ConfigError, match=r"source\.every"):
        host(Time(), every_s=0.0)


def test_this_machine_can_be_read() -> None:
    values = np.array(figures(read_host(), read_host(), 1.0))
    assert 0 < values[1] <= 100 and values[6] >= 0 and not np.isinf(values).any()
