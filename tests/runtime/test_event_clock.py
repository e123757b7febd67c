from __future__ import annotations

import numpy as np

from streamer.runtime.event_clock import EventClock


def test_without_data_there_is_no_event_time() -> None:
    clock = EventClock(1.0)
    clock.run_on(5.0, flowing=True)
    assert clock.now_s is None


def test_a_live_stream_runs_on_with_the_wall_clock() -> None:
    clock = EventClock(1.0)
    clock.run_on(100.0, flowing=True)
    clock.heard(np.array([50.0]))
    clock.run_on(107.0, flowing=True)
    assert clock.now_s == 50.0  # the data that came in between hold the time up to now
    clock.run_on(110.0, flowing=True)
    assert clock.now_s == 53.0


def test_a_replay_at_n_times_its_speed_runs_on_n_times_as_fast() -> None:
    clock = EventClock(60.0, now_s=0.0)
    clock.run_on(1.0, flowing=True)
    clock.run_on(3.0, flowing=True)
    assert clock.now_s == 120.0


def test_a_replay_flat_out_is_moved_by_its_data_only() -> None:
    clock = EventClock(0.0, now_s=7.0)
    clock.run_on(1.0, flowing=True)
    clock.run_on(1000.0, flowing=True)
    assert clock.now_s == 7.0


def test_an_outage_is_no_silence() -> None:
    clock = EventClock(1.0, now_s=0.0)
    clock.run_on(0.0, flowing=True)
    clock.run_on(600.0, flowing=False)
    clock.run_on(601.0, flowing=True)
    assert clock.now_s == 1.0


def test_one_event_from_the_future_does_not_carry_the_time_away() -> None:
    clock = EventClock(1.0)
    clock.heard(np.array([10.0, 11.0, 4e9, np.nan, 12.0]))
    assert clock.now_s == 11.5


def test_a_wall_clock_that_steps_back_stands_still() -> None:
    clock = EventClock(1.0, now_s=5.0)
    clock.run_on(10.0, flowing=True)
    clock.run_on(3.0, flowing=True)
    assert clock.now_s == 5.0
