"""Anchored lanes: every number is a pure function of model, recent events and count."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamer.artifact import ModelSpec
from streamer.backends import open_scorer
from streamer.detect.network import features
from streamer.detect.network.lanes import Lanes, Outlook, last_anchor, next_anchor
from streamer.detect.state.ring import Ring
from streamer.event import F32, F64, I64
from tests.detect.conftest import BUNDLE, BY_LAYERS

SPECS = {
    "starter": BUNDLE.spec,
    "tiny": ModelSpec(window=8, stride=4, scale_window=6, k_min=2),
    "long window": ModelSpec(window=32, stride=8, scale_window=16, k_min=4),
    "k_min is the window": ModelSpec(window=16, stride=16, scale_window=32, k_min=16),
    "k_min no divisor": ModelSpec(window=20, stride=7, scale_window=5, k_min=3),
}
SMALL = SPECS["tiny"]
SCORERS = {layers: open_scorer(bundle, "numpy") for layers, bundle in BY_LAYERS.items()}
SCORER = SCORERS[1]
SEEDS = st.integers(0, 2**31)


@pytest.mark.parametrize("name", SPECS)
def test_the_last_anchor_is_where_stepping_from_anchor_to_anchor_stands(name: str) -> None:
    spec = SPECS[name]
    for phase in range(1, spec.stride + 1):
        anchors = np.array(_anchors(spec, phase, 4 * (spec.window + spec.stride)))
        count = np.arange(spec.k_min, anchors[-1])
        newest = anchors[np.searchsorted(anchors, count, side="right") - 1]
        assert np.array_equal(last_anchor(count, np.full_like(count, phase), spec), newest), (
            f"phase {phase}"
        )


def _anchors(spec: ModelSpec, phase: int, limit: int) -> list[int]:
    found = [spec.k_min]
    while found[-1] <= limit:
        found.append(_one(next_anchor, found[-1], phase, spec))
    return found


def _one(law: object, count: int, phase: int, spec: ModelSpec) -> int:
    return int(law(np.array([count]), np.array([phase]), spec)[0])  # type: ignore[operator]


@pytest.mark.parametrize("name", SPECS)
def test_an_anchor_never_stands_further_back_than_the_ring_remembers(name: str) -> None:
    spec = SPECS[name]
    count = np.arange(spec.k_min, 6 * (spec.window + spec.stride))
    for phase in (1, spec.stride // 2, spec.stride):
        age = count - last_anchor(count, np.full_like(count, phase), spec)
        assert age.min() >= 0
        needed = np.minimum(age + max(spec.window, spec.scale_window), count)
        assert needed.max() <= spec.ring


class World:
    """A ring with lanes over it, fed by one random stream per slot."""

    def __init__(
        self,
        seed: int,
        spec: ModelSpec = SMALL,
        *,
        slots: int = 2,
        length: int = 0,
        layers: int = 1,
    ) -> None:
        self.rng, self.spec = np.random.default_rng(seed), spec
        self.ring = Ring(slots, length or spec.ring, 2)
        self.lanes = Lanes(SCORERS[layers], spec, self.ring)
        self.all = np.arange(slots)
        self.lanes.reset(self.all, self.all % spec.stride + 1)
        self.now_s = np.full(slots, 1.7e9)

    def event(self) -> tuple[F32, F64]:
        self.now_s = self.now_s + self.rng.exponential(10, len(self.all))
        values = self.rng.normal(5, 3, (len(self.all), 2)).astype(np.float32)
        values[self.rng.random(values.shape) < 0.1] = np.nan
        return values, self.now_s

    def feed(self, slots: I64, values: F32, time_s: F64) -> Outlook | None:
        """As the detector does it: judge where there is enough past, then remember."""
        ready = self.ring.count[slots[0]] >= self.spec.k_min
        _, before = self.ring.previous(slots)
        out = self.lanes.step(slots, values, time_s, before) if ready else None
        self.ring.push(slots, values, time_s, np.zeros(len(slots), np.int64))
        return out

    def run(self, events: int) -> Outlook | None:
        out = None
        for _ in range(events):
            out = self.feed(self.all, *self.event())
        return out


def assert_close(a: Outlook | None, b: Outlook | None, tolerance: float = 1e-5) -> None:
    assert a is not None
    assert b is not None
    for name in Outlook.__slots__:
        np.testing.assert_allclose(
            getattr(a, name), getattr(b, name), rtol=tolerance, atol=tolerance, err_msg=name
        )


@settings(max_examples=15)
@given(
    SEEDS,
    st.integers(2, 60),
    st.sampled_from(["tiny", "long window", "k_min is the window", "k_min no divisor"]),
    st.sampled_from(sorted(SCORERS)),
)
def test_lanes_rebuilt_from_ring_and_count_equal_lanes_that_stepped(
    seed: int, events: int, name: str, layers: int
) -> None:
    stepped, rebuilt = (World(seed, SPECS[name], layers=layers) for _ in range(2))
    stepped.run(events + SPECS[name].k_min)
    rebuilt.run(events + SPECS[name].k_min)
    for array in (
        rebuilt.lanes.state.value,
        rebuilt.lanes.state.rhythm,
        rebuilt.lanes.units,
        rebuilt.lanes.state.last,
    ):
        array[:] = 1e6
    rebuilt.lanes.restore(rebuilt.all)
    assert_close(stepped.run(3), rebuilt.run(3))


@settings(max_examples=8)
@given(SEEDS, st.integers(2, 60))
def test_nothing_older_than_the_ring_of_the_model_matters(seed: int, events: int) -> None:
    plain, longer = World(seed), World(seed, length=SMALL.ring + 30)
    plain.run(events)
    longer.run(events)
    keep = min(int(longer.ring.count[0]), SMALL.ring)
    old = np.setdiff1d(
        np.arange(longer.ring.length),
        (longer.ring.count[0] - 1 - np.arange(keep)) % longer.ring.length,
    )
    longer.ring.values[:, old], longer.ring.time_s[:, old] = 1e20, 5.0
    longer.lanes.restore(longer.all)
    assert_close(plain.run(2), longer.run(2))


@settings(max_examples=8)
@given(SEEDS, st.integers(3, 50))
def test_a_slot_is_judged_alike_alone_and_among_others(seed: int, events: int) -> None:
    together, alone = World(seed), World(seed)
    for _ in range(events):
        values, time_s = together.event()
        both = together.feed(together.all, values, time_s)
        one = alone.feed(np.array([1]), values[1:], time_s[1:])
    if both is not None and one is not None:
        for name in Outlook.__slots__:
            np.testing.assert_allclose(
                getattr(both, name)[1:], getattr(one, name), rtol=1e-4, atol=1e-5
            )


def test_a_reset_slot_remembers_nothing_of_its_former_entity() -> None:
    used, new = World(7), World(7)
    used.lanes.state.rhythm[:], used.lanes.state.value[:], used.lanes.state.last[:] = 9, 9, 9
    used.ring.values[:], used.ring.time_s[:] = 1e20, 1e20
    used.lanes.reset(used.all, used.all + 1)
    new.lanes.reset(new.all, new.all + 1)
    assert_close(used.run(12), new.run(12))


def test_a_channel_that_is_always_missing_gives_finite_outlooks_and_leaves_its_units_usable() -> (
    None
):
    world = World(1)
    for _ in range(40):
        values, time_s = world.event()
        values[:, 1] = np.nan
        out = world.feed(world.all, values, time_s)
    assert out is not None
    assert np.isfinite(out.forecast).all()
    assert (world.lanes.units[:, 1:] > 0).all()


def test_values_missing_for_longer_than_the_window_end_in_the_same_state_after_a_restart() -> None:
    a, b = World(2), World(2)
    for world in (a, b):
        world.run(10)
        for _ in range(SMALL.ring + 5):
            values, time_s = world.event()
            world.feed(world.all, values * np.nan, time_s)
    b.lanes.restore(b.all)
    assert_close(a.run(1), b.run(1))


def test_the_forecast_is_in_the_units_of_the_stream() -> None:
    low, high = World(3), World(3)
    for _ in range(30):
        values, time_s = low.event()
        high.event()
        one = low.feed(low.all, values, time_s)
        other = high.feed(high.all, 100 * values + 5000, time_s)
    assert one is not None
    assert other is not None
    np.testing.assert_allclose(other.forecast, 100 * one.forecast + 5000, rtol=2e-3)
    np.testing.assert_allclose(other.step, 100 * one.step, rtol=2e-3)
    np.testing.assert_allclose(other.gap, one.gap, atol=2e-2)


def test_without_rhythm_the_clock_does_not_change_the_forecast() -> None:
    worlds = [World(4), World(4)]
    for turn, world in enumerate(worlds):
        world.lanes = Lanes(SCORER, SMALL, world.ring, rhythm=False)
        world.lanes.reset(world.all, world.all + 1)
        world.now_s = world.now_s + turn * 12_345.0
    assert not worlds[0].lanes.rhythm
    a, b = (world.run(20) for world in worlds)
    assert a is not None
    assert b is not None
    np.testing.assert_allclose(a.forecast, b.forecast, rtol=1e-6)


def test_looking_at_the_gap_changes_nothing() -> None:
    looked, not_looked = World(5), World(5)
    looked.run(20)
    not_looked.run(20)
    assert np.isfinite(looked.lanes.gap_outlook(looked.all)).all()
    assert_close(looked.run(5), not_looked.run(5), tolerance=0)


@settings(max_examples=10)
@given(SEEDS, st.integers(3, 60))
def test_attention_weights_add_up_to_1_over_the_steps_before_the_event(
    seed: int, events: int
) -> None:
    world = World(seed)
    world.run(events)
    back, weight = world.lanes.attention(0)
    assert weight.sum() == pytest.approx(1, abs=1e-5)
    assert (weight > 0).all()
    assert back.tolist() == list(range(-len(back), 0))
    assert 0 < len(back) < SMALL.ring


@pytest.mark.parametrize("events", [3, 4, 5, 8, 9, 10, 12, 13, 14, 21, 22])
def test_attention_is_over_the_history_that_judged_the_event(events: int) -> None:
    world = World(0)
    world.run(events)
    at = _one(last_anchor, events - 1, int(world.lanes.phase[0]), SMALL)
    back, _ = world.lanes.attention(0)
    assert len(back) == events - 1 - max(at - min(SMALL.window, SMALL.scale_window), 0)


@settings(max_examples=10)
@given(SEEDS, st.integers(3, 60), st.booleans())
def test_attention_is_that_of_a_replay_of_the_same_history(
    seed: int, events: int, rebuilt: bool
) -> None:
    world = World(seed)
    world.run(events - 1)
    if rebuilt:
        world.lanes.restore(world.all)
    world.run(1)
    lanes, slots = world.lanes, world.all[1:2]
    past = lanes._past(slots, last_anchor(lanes.ring.count[slots] - 1, lanes.phase[slots], SMALL))
    on = past.active[0]
    x, r = past.x.swapaxes(0, 1)[on], past.r.swapaxes(0, 1)[on]
    # The last event is judged by those before it; the first logit belongs to the empty state.
    logits = lanes.scorer.replay(*lanes._empty(1), x, r)[2][1:, 0]
    np.testing.assert_allclose(
        lanes.attention(1)[1], np.exp(logits) / np.exp(logits).sum(), rtol=1e-4
    )


def test_attention_changes_nothing() -> None:
    looked, not_looked = World(6), World(6)
    looked.run(20)
    not_looked.run(20)
    looked.lanes.attention(1)
    assert_close(looked.run(5), not_looked.run(5), tolerance=0)


def test_memory_of_lanes_is_known_and_constant() -> None:
    world = World(8)
    before = world.lanes.nbytes
    world.run(50)
    assert world.lanes.nbytes == before > 0


def test_units_of_a_lane_are_measured_before_the_event_that_they_judge() -> None:
    """At an anchor the units are those of the last S events, the new one not among them."""
    world = World(9)
    world.run(SMALL.window + 1 + SMALL.stride)  # slot 0 has phase 1: an anchor is due now
    assert int(world.lanes.due[0]) == int(world.ring.count[0])
    values, _, _, _ = world.ring.last(world.all[:1], SMALL.scale_window)
    world.feed(world.all, np.full((2, 2), 1e6, np.float32), world.now_s + 1)
    np.testing.assert_allclose(world.lanes.units[0, 0], np.nanmedian(values[0], axis=0), rtol=1e-5)
    assert world.lanes.units[0, 1].max() < features.VALUE_LIMIT
