"""A new network takes over a slice at a time: whenever the slices fell, it judges as if it had
always been there.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamer.artifact import Bundle
from streamer.backends.reference import NumpyScorer
from streamer.detect.pipeline import Detector, Judged
from streamer.errors import SchemaMismatch
from streamer.event import EventBatch, Fate
from tests.detect.conftest import (
    BUNDLE,
    DEEP,
    SMALL,
    assert_same,
    deeper,
    in_pieces,
    join,
    make_detector,
    stream,
    swap,
)

SEEDS = st.integers(0, 2**31)


def following(bundle: Bundle) -> Bundle:
    """The bundle with other weights, under another version."""
    weights = {k: (v * 1.03).astype(np.float32) for k, v in bundle.weights.items()}
    return replace(bundle, version=f"next-{bundle.version}", sha256="cd" * 32, weights=weights)


NEXT = following(BUNDLE)
NEXT_SCORER = NumpyScorer(NEXT)
COMING = {bundle.version: bundle for bundle in (following(SMALL), DEEP)}
# What happens until the switch: so many events are judged, so many slots rebuilt.
TURNS = st.lists(st.tuples(st.integers(0, 20), st.integers(0, 3)), min_size=1, max_size=12)


def taken_over(
    detector: Detector, batch: EventBatch, turns: list[tuple[int, int]], coming: Bundle
) -> tuple[list[Judged], int]:
    """Judge from the start of the batch on while slots are rebuilt in between; what was judged, and
    how many events.
    """
    detector.prepare(NumpyScorer(coming), coming.spec, coming.calibration)
    found, at = [], 0
    for events, slots in turns:
        found.append(detector.process(batch.rows(slice(at, at + events))))
        at = min(at + events, len(batch))
        detector.rebuild(slots)
        detector.tick(float(batch.time_s[:at].max(initial=0)))
    detector.take_over()
    return found, at


@settings(max_examples=25, deadline=None)
@given(SEEDS, TURNS, st.integers(1, 130), st.sampled_from([3, 16]), st.sampled_from(sorted(COMING)))
def test_however_the_slices_fall_the_scores_are_those_of_a_switch_at_once(
    seed: int, turns: list[tuple[int, int]], head: int, slots: int, name: str
) -> None:
    batch = stream(seed, 300, entities=5)
    before, rest = batch.rows(slice(0, head)), batch.rows(slice(head, None))
    slowly, at_once = (
        make_detector(bundle=SMALL, max_entities=slots, silence=True) for _ in range(2)
    )
    slowly.process(before), at_once.process(before)
    coming = COMING[name]
    _, at = taken_over(slowly, rest, turns, coming)
    done = 0
    for events, _ in turns:  # the timers turn in both
        at_once.process(rest.rows(slice(done, done + events)))
        done = min(done + events, len(rest))
        at_once.tick(float(rest.time_s[:done].max(initial=0)))
    swap(at_once, NumpyScorer(coming), coming.spec, coming.calibration)
    tail = rest.rows(slice(at, None))
    assert_same(slowly.process(tail), at_once.process(tail), tolerance=2e-4)


@settings(max_examples=10, deadline=None)
@given(SEEDS, TURNS, st.sampled_from(sorted(COMING)))
def test_the_forecasts_are_those_of_a_network_that_judged_from_the_beginning(
    seed: int, turns: list[tuple[int, int]], name: str
) -> None:
    batch = stream(seed, 400)
    swapped, straight = make_detector(bundle=SMALL), make_detector(bundle=COMING[name])
    swapped.process(batch.rows(slice(0, 100))), straight.process(batch.rows(slice(0, 100)))
    _, at = taken_over(swapped, batch.rows(slice(100, None)), turns, COMING[name])
    straight.process(batch.rows(slice(100, 100 + at)))
    tail = batch.rows(slice(100 + at, None))
    got, want = swapped.process(tail).scores.expected, straight.process(tail).scores.expected
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4, equal_nan=True)


def test_there_and_back_to_another_depth_the_forecasts_are_as_if_nothing_had_been() -> None:
    batch, deep = stream(9, 700), deeper(BUNDLE, 2)
    plain, swapped = make_detector(), make_detector()
    plain.process(batch.rows(slice(0, 500))), swapped.process(batch.rows(slice(0, 300)))
    narrow = swapped.lanes.nbytes
    swap(swapped, NumpyScorer(deep), deep.spec, deep.calibration)
    swapped.process(batch.rows(slice(300, 500)))
    assert swapped.lanes.nbytes > narrow, "a deeper network carries more state"
    swap(swapped, NumpyScorer(BUNDLE), BUNDLE.spec, BUNDLE.calibration)
    assert swapped.lanes.nbytes == narrow
    tail = batch.rows(slice(500, None))
    got, want = swapped.process(tail).scores.expected, plain.process(tail).scores.expected
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4, equal_nan=True)


def test_until_the_switch_the_old_network_judges_as_if_nothing_were_coming() -> None:
    batch = stream(4, 700)
    plain, preparing = make_detector(), make_detector()
    preparing.process(batch.rows(slice(0, 200)))
    preparing.prepare(NEXT_SCORER, NEXT.spec)
    found = []
    for start in range(200, 700, 50):
        found.append(preparing.process(batch.rows(slice(start, start + 50))))
        preparing.rebuild(1)
    assert preparing.ref == plain.ref
    plain.process(batch.rows(slice(0, 200)))
    assert_same(join(found), plain.process(batch.rows(slice(200, None))))


def test_every_score_and_alert_names_the_network_that_judged_it() -> None:
    batch = stream(5, 1500)
    detector = make_detector()
    before = detector.process(batch.rows(slice(0, 1180)))
    swap(detector, NEXT_SCORER, NEXT.spec)
    after = detector.process(batch.rows(slice(1180, None)))
    assert (before.scores.model, after.scores.model) == (NumpyScorer(BUNDLE).ref, NEXT_SCORER.ref)
    assert {alert.model.sha256 for alert in before.alerts} == {BUNDLE.sha256}
    assert {alert.model.sha256 for alert in after.alerts} == {NEXT.sha256}


def test_a_network_that_does_not_come_after_all_leaves_nothing_behind() -> None:
    batch = stream(6, 600)
    plain, left = make_detector(), make_detector()
    plain.process(batch.rows(slice(0, 300))), left.process(batch.rows(slice(0, 300)))
    taken = left.memory_bytes
    left.prepare(NEXT_SCORER, NEXT.spec)
    left.rebuild(2)
    assert left.memory_bytes > taken
    left.abandon()
    assert left.memory_bytes == taken
    assert_same(
        plain.process(batch.rows(slice(300, None))), left.process(batch.rows(slice(300, None)))
    )


@pytest.mark.parametrize("change", [{"window": 256}, {"k_min": 8}, {"value_features": 5}])
def test_a_network_that_needs_another_memory_is_refused_and_nothing_changes(
    change: dict[str, int],
) -> None:
    detector = make_detector()
    with pytest.raises(SchemaMismatch):
        swap(detector, NEXT_SCORER, replace(NEXT.spec, **change))
    assert detector.ref.version == BUNDLE.version


def hasty(events: int, start: int) -> EventBatch:
    """One entity with an event every 10 s, but ten times as fast in the last 20."""
    rng = np.random.default_rng(2)
    gaps = rng.normal(10, 0.5, events)
    gaps[-20:] /= 10
    at = np.arange(start, start + events)
    values = rng.normal(0, 1, (events, 2)).astype(np.float32)
    zero = np.zeros((events, 1), np.int32)
    return EventBatch(
        "s", "t", 0, ("e0",), zero, 1.7e9 + 10.0 * start + np.cumsum(gaps), values, at
    )


def test_after_the_baseline_the_network_judges_the_rhythm_too() -> None:
    """The baseline says nothing about gaps: what it left is no evidence, and the network begins
    with its own prior.
    """
    quiet, rush = hasty(600, 0).rows(slice(0, 580)), hasty(400, 580)
    late, always = make_detector("baseline"), make_detector("numpy")
    late.process(quiet), always.process(quiet)
    assert late.process(rush.rows(slice(0, 0))).scores.model == late.ref
    swap(late, NumpyScorer(BUNDLE), BUNDLE.spec, BUNDLE.calibration)
    got, want = late.process(rush).scores, always.process(rush).scores
    assert got.parts[-20:, -1].max() > 3
    assert (got.fate == Fate.SCORED).all()
    assert got.parts[-20:, -1].max() > want.parts[-20:, -1].max() / 3


def test_a_snapshot_of_the_baseline_goes_on_under_the_network() -> None:
    batch = stream(7, 400)
    first, second = make_detector("baseline"), make_detector("numpy")
    first.process(batch)
    second.load(first.dump())
    assert second.entities_active == first.entities_active


def test_new_entities_begin_with_the_prior_of_the_network_that_judges() -> None:
    prior = {"surprise": {"channel": [3.0, 0.3], "product": [6.0, 0.6]}}
    batch = stream(8, 500, entities=1, awkward=False)
    swapped, straight = (
        make_detector(),
        Detector(make_detector().settings, NumpyScorer(BUNDLE), BUNDLE.spec, prior),
    )
    swap(swapped, NumpyScorer(BUNDLE), BUNDLE.spec, prior)
    assert_same(swapped.process(batch), straight.process(batch))
    assert not np.allclose(
        in_pieces(make_detector(), batch, [500]).scores.score, straight.process(batch).scores.score
    )
