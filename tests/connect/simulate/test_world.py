"""The simulated worlds: repeatable, in order, and wrong exactly where they say so."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from streamer.connect.simulate.cards import Cards
from streamer.connect.simulate.plant import Plant
from streamer.connect.simulate.plant_faults import KINDS
from streamer.connect.simulate.plant_signals import CHANNELS, NOISE
from streamer.connect.simulate.source import SyntheticSource, labels_of, make_world
from streamer.connect.simulate.world import DAY_S, START_S, Fault, World
from streamer.errors import ConfigError
from streamer.event import EventBatch


def take(world: World, events: int) -> EventBatch:
    """At least so many events as one batch."""
    parts: list[EventBatch] = []
    while sum(map(len, parts)) < events:
        parts.append(world.advance())
    entity, time_s, values, offset = (
        np.concatenate([getattr(part, name) for part in parts])
        for name in ("entity", "time_s", "values", "offset")
    )
    return EventBatch(
        parts[0].stream, parts[0].topic, 0, parts[0].keys, entity, time_s, values, offset
    )


def of(batch: EventBatch, entity: str) -> EventBatch:
    return batch.rows(batch.entity[:, 0] == batch.keys.index(entity))


def polled(kind: str, **more: int) -> EventBatch:
    source = SyntheticSource(kind, entities=20, events=3000, **more)  # type: ignore[arg-type]
    parts: list[EventBatch] = []
    while (poll := source.poll(0.0)) is not None:
        parts += poll.batches
    entity, time_s, values, offset = (
        np.concatenate([getattr(part, name) for part in parts])
        for name in ("entity", "time_s", "values", "offset")
    )
    return EventBatch("", "", 0, parts[0].keys, entity, time_s, values, offset)


@pytest.mark.parametrize("kind", ["plant", "cards"])
def test_the_cut_into_polls_changes_nothing(kind: str) -> None:
    whole, cut = polled(kind, rows=4096), polled(kind, rows=13)
    for name in ("entity", "time_s", "values", "offset"):
        assert np.array_equal(getattr(whole, name), getattr(cut, name))


@pytest.mark.parametrize("kind", ["plant", "cards"])
def test_another_seed_is_another_world(kind: str) -> None:
    assert not np.array_equal(polled(kind, seed=1).values, polled(kind, seed=2).values)


@pytest.mark.parametrize("kind", ["plant", "cards"])
def test_time_goes_forward_and_offsets_count(kind: str) -> None:
    batch = take(make_world(kind, 30, 5, True, START_S, ""), 20_000)
    assert np.all(np.diff(batch.time_s) >= 0) and batch.time_s[0] >= START_S
    assert np.array_equal(batch.offset, np.arange(len(batch)))
    assert np.isfinite(batch.values).all() and (batch.values[:, 0] > 0).all()


def test_machines_beat_regularly_at_their_own_interval() -> None:
    plant = Plant(12, seed=4, faults=False, interval_s=(1.0, 60.0))
    batch = take(plant, 30_000)
    for name, interval_s in zip(plant.names, plant.interval_s, strict=True):
        gaps = np.diff(of(batch, name).time_s) / interval_s
        assert (
            np.median(gaps) == pytest.approx(1, abs=0.01) and gaps.min() > 0.7 and gaps.max() < 1.3
        )
    assert plant.interval_s.min() < 5 and plant.interval_s.max() > 20


def test_temperatures_follow_the_day() -> None:
    plant = Plant(6, seed=2, faults=False, interval_s=(60.0, 61.0))
    batch = take(plant, 6 * 1440 * 3)
    hour = ((batch.time_s - START_S) / 3600) % 24
    afternoon, night = (batch.values[(hour >= at) & (hour < at + 2), 1].mean() for at in (14, 2))
    assert afternoon - night > 4


def test_all_six_kinds_come_in_turn_and_every_fault_has_its_events() -> None:
    plant = Plant(6, seed=7, interval_s=(5.0, 10.0), quiet_s=3600.0)
    batch = take(plant, 80_000)
    faults = [fault for fault in plant.faults if fault.end_s < batch.time_s[-1]]
    assert len(faults) >= 12
    assert (
        {fault.kind for fault in faults[:6]} == {fault.kind for fault in faults[6:12]} == set(KINDS)
    )
    for fault in faults:
        covered = batch.offset[fault.covers(batch)]
        assert (fault.first_offset, fault.last_offset) == (covered[0], covered[-1])
        assert (fault.channel is None) == (fault.kind == "rhythm")
        assert fault.start_s >= START_S + 3600 and fault.detail


def test_faults_of_one_machine_do_not_overlap() -> None:
    plant = Plant(2, seed=1, interval_s=(5.0, 10.0), fault_every_s=300.0, quiet_s=0.0)
    take(plant, 60_000)
    for name in plant.names:
        mine = sorted(
            (fault.start_s, fault.end_s) for fault in plant.faults if fault.entity == name
        )
        assert len(mine) > 10 and all(end <= start for (_, end), (start, _) in pairwise(mine))


def pair(kind: str, channel: str | None, seed: int = 3) -> tuple[Fault, EventBatch, EventBatch]:
    """One fault of pump-01, and its machine's events with it and without it, from an hour on."""
    fault = Fault(kind, "pump-01", START_S + 3600, START_S + 7200, channel)
    plants = [
        Plant(3, seed=seed, interval_s=(10.0, 20.0), faults=faults) for faults in ([fault], False)
    ]
    sick, well = (of(take(plant, 3000), "pump-01") for plant in plants)
    return plants[0].faults[0], sick, well


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "rhythm"])
@pytest.mark.parametrize("channel", CHANNELS)
def test_a_fault_of_values_changes_its_channel_in_its_time_and_nothing_else(
    kind: str, channel: str
) -> None:
    fault, sick, well = pair(kind, channel)
    c = CHANNELS.index(channel)
    # Random numbers are drawn anew after a fault of noise, so compare up to its end.
    until = sick.time_s < fault.end_s
    assert np.array_equal(sick.time_s[until], well.time_s[until])
    changed = sick.values[until] != well.values[until]
    assert not np.delete(changed, c, axis=1).any() and not changed[~fault.covers(sick)[until]].any()
    assert changed[fault.covers(sick)[until], c].mean() > 0.95


def test_a_spike_and_a_shift_are_far_from_normal_a_drift_is_only_in_the_end() -> None:
    for kind in ("spike", "shift", "drift"):
        fault, sick, well = pair(kind, "rms")
        off = np.abs(sick.values - well.values)[fault.covers(sick), 0] / NOISE[0]
        assert off[-1] > 7 and (off[0] > 7) == (kind != "drift")


def test_a_stuck_sensor_repeats_itself_exactly() -> None:
    fault, sick, _ = pair("stuck", "pressure")
    assert len(np.unique(sick.values[fault.covers(sick), 2])) == 1


def test_a_noisy_sensor_is_noisy() -> None:
    fault, sick, well = pair("noise", "current")
    rows = fault.covers(sick)
    assert np.diff(sick.values[rows, 3]).std() > 4 * np.diff(well.values[rows, 3]).std()


@pytest.mark.parametrize("seed", range(4))
def test_a_fault_of_the_rhythm_changes_the_gaps_and_no_value(seed: int) -> None:
    fault, sick, well = pair("rhythm", None, seed)
    gaps = [np.median(np.diff(batch.time_s[fault.covers(batch)])) for batch in (sick, well)]
    assert not 0.5 < gaps[0] / gaps[1] < 2
    inside = sick.values[fault.covers(sick)]
    assert np.abs(np.diff(inside, axis=0)).max(axis=0) == pytest.approx(
        np.abs(np.diff(well.values, axis=0)).max(axis=0), rel=1
    )
    after = np.diff(sick.time_s[sick.time_s > fault.end_s])
    assert np.median(after) == pytest.approx(gaps[1], rel=0.02)


WRONG = [
    ("melt", "pump-01", "rms"),
    ("spike", "pump-99", "rms"),
    ("spike", "pump-01", "volts"),
    ("rhythm", "pump-01", "rms"),
]


@pytest.mark.parametrize(("kind", "entity", "channel"), WRONG)
def test_a_fault_that_cannot_be_is_refused(kind: str, entity: str, channel: str) -> None:
    with pytest.raises(ConfigError, match="must be one of"):
        Plant(2, faults=[Fault(kind, entity, 0.0, 1.0, channel)])


def test_without_faults_nothing_is_wrong() -> None:
    for kind in ("plant", "cards"):
        world = make_world(kind, 20, 0, False, START_S, "")
        take(world, 20_000)
        assert world.faults == ()


def test_a_payment_belongs_to_a_card_and_a_shop() -> None:
    batch = take(Cards(40, seed=1), 2000)
    cards, shops = ({batch.keys[i][:4] for i in batch.entity[:, k]} for k in (0, 1))
    assert cards == {"card"} and shops == {"shop"}


def test_customers_keep_their_amounts_and_half_of_them_their_hour() -> None:
    cards = Cards(60, seed=3, faults=False, payments_a_day=(5.0, 8.0))
    batch = take(cards, 20_000)
    logs = [np.log(batch.values[batch.entity[:, 0] == c, 0]) for c in range(60)]
    assert np.std([x.mean() for x in logs]) > np.mean([x.std() for x in logs])
    turn = np.exp(2j * np.pi * (batch.time_s - START_S) / DAY_S)
    order = [abs(turn[batch.entity[:, 0] == c].mean()) for c in range(60)]
    assert 0.3 < np.mean(np.array(order) > 0.85) < 0.9


def test_frauds_are_marked_payment_by_payment() -> None:
    cards = Cards(80, seed=5, quiet_s=5 * DAY_S, per_day=4.0)
    batch = take(cards, 12_000)
    marks = cards.fraudulent(batch)
    assert {fault.kind for fault in cards.faults} == {"amount", "terminal", "stolen", "odd_hour"}
    assert 0.005 < marks.mean() < 0.5 and not marks[batch.time_s < START_S + 5 * DAY_S].any()
    assert (marks & ~labels_of(cards.faults, batch)).sum() == 0
    for fault in cards.faults:
        assert (
            marks[fault.first_offset]
            and marks[fault.last_offset]
            and fault.start_s >= START_S + 5 * DAY_S
        )


def test_a_stolen_card_is_a_burst_and_an_odd_hour_is_far_from_the_habit() -> None:
    cards = Cards(80, seed=6, quiet_s=0.0, per_day=3.0)
    batch = take(cards, 20_000)
    marks = cards.fraudulent(batch)
    for fault in cards.faults:
        rows = marks & fault.covers(batch)
        if fault.kind == "stolen":
            assert rows.sum() >= 6 and np.ptp(batch.time_s[rows]) <= 3600
        if fault.kind == "amount":
            assert rows.sum() == 1


def test_so_many_events_and_no_more() -> None:
    assert len(polled("plant")) == 3000


def test_an_unknown_world_is_refused() -> None:
    with pytest.raises(ConfigError, match="plant or cards"):
        SyntheticSource("weather")


def test_a_world_at_its_pace_takes_its_time() -> None:
    now = [0.0]
    source = SyntheticSource(
        "plant",
        events=200,
        pace=60.0,
        clock=lambda: now[0],
        wait=lambda s: now.__setitem__(0, now[0] + s),
    )
    times = []
    while (poll := source.poll(1.0)) is not None:
        times += [(now[0], t) for batch in poll.batches for t in batch.time_s]
    assert times[-1][0] == pytest.approx((times[-1][1] - times[0][1]) / 60, abs=1.0)
