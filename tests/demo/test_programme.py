"""Laws of the programme, of the silences, and of a source whose past comes at once."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamer.connect.memory import MemorySource
from streamer.connect.simulate.plant import Plant
from streamer.connect.simulate.plant_faults import KINDS
from streamer.connect.simulate.plant_signals import CHANNELS
from streamer.connect.simulate.world import START_S, Fault
from streamer.demo import fault_free_world, streams
from streamer.demo.fault_schedule import PROGRAMME, Machines, grace_s, programme
from streamer.demo.history_source import FRAME_S, HistorySource, split
from streamer.event import EventBatch, Poll

NAMES = [f"m{i}" for i in range(12)]


def planned(seed: int = 0, live_seconds: float = 53.0, speed: float = 120.0) -> tuple[Fault, ...]:
    return programme(Machines(NAMES, [6.0] * 12, speed), START_S, live_seconds, seed)


@given(seed=st.integers(0, 10**6), live_seconds=st.floats(0, 400), speed=st.floats(1, 1200))
@settings(deadline=None)
def test_every_fault_is_over_with_its_grace_before_the_live_part_ends(
    seed: int, live_seconds: float, speed: float
) -> None:
    faults = planned(seed, live_seconds, speed)
    ends_s = START_S + live_seconds * speed
    assert all(
        START_S <= fault.start_s < fault.end_s <= ends_s - grace_s(6.0) + 1e-3 for fault in faults
    )


@given(st.integers(0, 10**6))
def test_a_minute_holds_the_whole_programme_on_different_machines(seed: int) -> None:
    faults = planned(seed)[: len(PROGRAMME)]
    assert [fault.kind for fault in faults] == [kind for _, kind, _ in PROGRAMME]
    assert len({fault.entity for fault in faults}) == len(PROGRAMME)
    assert {fault.kind for fault in faults} == {*KINDS, fault_free_world.KIND}


def test_the_first_fault_and_the_first_of_the_rhythm_leave_slack_before_their_promises() -> None:
    assert PROGRAMME[0][0] <= 15 / 2
    assert (
        min(at for at, kind, _ in PROGRAMME if kind in (fault_free_world.KIND, "rhythm")) <= 40 / 2
    )


def test_the_same_seed_is_the_same_programme_and_another_is_not() -> None:
    assert planned(3) == planned(3)
    assert planned(3) != planned(4)


def test_a_longer_show_only_adds_faults() -> None:
    assert planned(0, 200)[: len(planned(0, 49))] == planned(0, 49)


def test_faults_of_values_name_a_channel_and_the_others_none() -> None:
    for fault in planned():
        assert (fault.channel in CHANNELS) == (fault.kind not in ("rhythm", fault_free_world.KIND))


def silent_plant() -> tuple[Plant, fault_free_world.SilencedWorld, Fault]:
    def plant() -> Plant:
        return Plant(3, seed=1, interval_s=(5, 7), faults=False)

    spoken = plant()
    fault = Fault(fault_free_world.KIND, spoken.names[1], START_S + 300, START_S + 600)
    return spoken, fault_free_world.SilencedWorld(plant(), [fault]), fault


def test_a_silence_takes_exactly_its_own_events_away() -> None:
    spoken, silent, fault = silent_plant()
    whole, rest = spoken.advance(), silent.advance()
    missing = np.setdiff1d(whole.offset, rest.offset)
    assert missing.tolist() == whole.offset[fault.covers(whole)].tolist()
    assert len(missing) > 10
    kept = np.isin(whole.offset, rest.offset)
    np.testing.assert_array_equal(whole.values[kept], rest.values)


def test_a_silence_is_told_once_it_has_begun() -> None:
    _, silent, fault = silent_plant()
    assert not silent.faults
    silent.advance()
    assert list(silent.faults) == [fault]


def rows(times: list[float], first: int = 0) -> EventBatch:
    n = len(times)
    entity, offset = np.zeros((n, 1), np.int32), np.arange(first, first + n, dtype=np.int64)
    return EventBatch(
        "s", "s", 0, ("a",), entity, np.array(times), np.zeros((n, 1), np.float32), offset
    )


class Wall:
    """A clock that moves only when somebody waits."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s

    def wait(self, seconds: float) -> None:
        self.now_s += seconds


def rehearsed(
    times: list[list[float]], live_at_s: float, speed: float
) -> tuple[HistorySource, Wall]:
    wall, first, batches = Wall(), 0, []
    for part in times:
        batches.append(rows(part, first))
        first += len(part)
    return HistorySource(MemorySource(batches), live_at_s, speed, clock=wall, wait=wall.wait), wall


def test_the_past_comes_at_once_and_the_present_at_the_asked_speed() -> None:
    source, wall = rehearsed([[0, 50, 100, 110, 120]], live_at_s=100, speed=10)
    past = source.poll(1.0)
    assert past is not None
    assert past.batches[0].time_s.tolist() == [0, 50]
    assert (wall.now_s, source.live) == (0.0, False)
    seen: dict[float, float] = {}
    while (poll := source.poll(1.0)) is not None:
        seen |= {time_s: wall.now_s for batch in poll.batches for time_s in batch.time_s.tolist()}
    assert seen == {100: pytest.approx(FRAME_S), 110: pytest.approx(1.1), 120: pytest.approx(2.1)}


@given(st.lists(st.lists(st.floats(0, 100), max_size=5), max_size=5), st.floats(0, 100))
@settings(deadline=None)
def test_nothing_is_lost_or_doubled_between_past_and_present(
    parts: list[list[float]], live_at_s: float
) -> None:
    ordered = sorted(time_s for part in parts for time_s in part)
    sizes, cut = [len(part) for part in parts], []
    for size in sizes:
        cut.append(ordered[:size])
        ordered = ordered[size:]
    source, _ = rehearsed(cut, live_at_s, speed=50)
    offsets: list[int] = []
    while (poll := source.poll(1.0)) is not None:
        offsets += [offset for batch in poll.batches for offset in batch.offset.tolist()]
    assert offsets == list(range(sum(sizes)))


def test_a_source_that_is_not_ready_or_paused_brings_nothing_and_rests() -> None:
    wall, ready = Wall(), [False]
    source = HistorySource(
        MemorySource([rows([1, 2])]), 10, 1, ready=lambda: ready[0], clock=wall, wait=wall.wait
    )
    assert source.poll(0.5) == Poll()
    ready[0] = True
    source.pause()
    assert source.poll(0.5) == Poll()
    assert wall.now_s == 1.0
    source.resume()
    poll = source.poll(0.5)
    assert poll is not None
    assert poll.records == 2


def test_a_cut_at_a_moment_keeps_every_row_on_its_side() -> None:
    past, present = split(Poll((rows([1, 2, 3]),)), 2.0)
    assert past.batches[0].time_s.tolist() == [1]
    assert present.batches[0].time_s.tolist() == [2, 3]


def test_the_plant_of_the_show_is_quiet_until_it_is_live() -> None:
    wall = Wall()
    act = streams.plant_act(0, streams.PlantPace(clock=wall, wait=wall.wait), live_seconds=50)
    assert act.planned
    assert all(fault.start_s >= act.live_start_s for fault in act.planned)
    assert {fault.entity for fault in act.planned} <= set(act.shown)
