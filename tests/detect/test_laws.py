"""The scoring law (ARCHITECTURE: scoring law) as properties. Never weaken one of these to make a
change pass.
"""

from __future__ import annotations

import json
from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamer.event import FATES, Fate
from tests.detect.conftest import (
    BUNDLE,
    BY_LAYERS,
    SMALL,
    assert_same,
    in_pieces,
    join,
    make_detector,
    stream,
    swap,
)

SEEDS = st.integers(0, 2**31)
LAYERS = st.sampled_from(sorted(BY_LAYERS))


@pytest.mark.parametrize("backend", ["numpy", "litert", "baseline"])
@pytest.mark.parametrize("size", [1, 7, 256])
def test_scores_do_not_depend_on_the_batch_size(backend: str, size: int) -> None:
    batch = stream(1, 900)
    assert_same(
        make_detector(backend).process(batch), in_pieces(make_detector(backend), batch, [size])
    )


@settings(max_examples=12, deadline=None)
@given(SEEDS, st.lists(st.integers(1, 90), min_size=1, max_size=6), LAYERS, st.booleans())
def test_scores_do_not_depend_on_where_the_log_is_cut(
    seed: int, sizes: list[int], layers: int, ahead: bool
) -> None:
    batch = stream(seed, 220)
    whole, cut = (make_detector(bundle=BY_LAYERS[layers]) for _ in range(2))
    assert_same(whole.process(batch), in_pieces(cut, batch, sizes, ahead=ahead))


@settings(max_examples=10, deadline=None)
@given(SEEDS, st.integers(1, 40), st.integers(1, 6), st.booleans())
def test_cuts_do_not_matter_when_entities_outnumber_the_slots(
    seed: int, size: int, slots: int, ahead: bool
) -> None:
    batch = stream(seed, 250, entities=9)
    whole, cut = (make_detector(bundle=SMALL, max_entities=slots) for _ in range(2))
    assert_same(whole.process(batch), in_pieces(cut, batch, [size], ahead=ahead))
    assert whole.evicted == cut.evicted


def test_an_entity_that_was_anchored_ahead_is_not_anchored_again() -> None:
    batch, detector = stream(3, 900, entities=3), make_detector()
    anchored = 0
    for at in range(len(batch)):
        detector.process(batch.rows(slice(at, at + 1)))
        anchored += bool((detector.ring.count >= detector.lanes.due)[:3].any())
        detector.anchor_ahead()
        assert not (detector.ring.count >= detector.lanes.due)[
            :3
        ].any()  # nothing is left to wait for
    assert anchored > 0


@settings(max_examples=10, deadline=None)
@given(SEEDS, st.integers(1, 220))
def test_scores_of_a_prefix_are_the_prefix_of_the_scores(seed: int, length: int) -> None:
    batch = stream(seed, 220)
    whole, prefix = (
        make_detector(bundle=SMALL).process(part) for part in (batch, batch.rows(slice(0, length)))
    )
    for name in ("fate", "score", "alarm", "expected"):
        left, right = getattr(whole.scores, name)[:length], getattr(prefix.scores, name)
        np.testing.assert_allclose(left, right, rtol=1e-5, atol=1e-5, equal_nan=True)


@settings(max_examples=10, deadline=None)
@given(SEEDS, st.integers(0, 280), LAYERS)
def test_a_restart_anywhere_from_ring_and_count_changes_nothing(
    seed: int, at: int, layers: int
) -> None:
    batch = stream(seed, 280)
    straight, before, after = (make_detector(bundle=BY_LAYERS[layers]) for _ in range(3))
    whole = straight.process(batch)
    first = before.process(batch.rows(slice(0, at)))
    after.load(before.dump())
    assert_same(whole, join([first, after.process(batch.rows(slice(at, None)))]))
    assert after.fates.sum() == len(batch)


@pytest.mark.parametrize("at", [1, 300, 650])
def test_the_starter_goes_on_from_its_ring_as_if_nothing_had_been(at: int) -> None:
    batch = stream(at, 700)
    straight, before, after = (make_detector() for _ in range(3))
    first = in_pieces(before, batch.rows(slice(0, at)), [64], ahead=True)
    after.load(before.dump())
    rest = in_pieces(after, batch.rows(slice(at, None)), [64], ahead=True)
    assert_same(straight.process(batch), join([first, rest]))


@settings(max_examples=10, deadline=None)
@given(SEEDS)
def test_parts_add_up_to_the_score_and_shares_to_one(seed: int) -> None:
    scores = make_detector(bundle=SMALL).process(stream(seed, 220)).scores
    np.testing.assert_allclose(scores.parts.sum(axis=1), scores.score, atol=1e-6, rtol=1e-6)
    assert (scores.parts >= 0).all()
    sums = scores.shares().sum(axis=1)
    np.testing.assert_allclose(sums[scores.score > 0], 1, atol=1e-6)
    assert (sums[scores.score == 0] == 0).all()


@settings(max_examples=10, deadline=None)
@given(SEEDS, st.integers(1, 12), st.sampled_from(["drop", "mask"]), st.floats(0, 1e5))
def test_every_event_has_exactly_one_fate(
    seed: int, slots: int, missing: str, late_s: float
) -> None:
    detector = make_detector(bundle=SMALL, max_entities=slots, missing=missing, late_s=late_s)
    batch = stream(seed, 250, entities=7)
    scores = detector.process(batch).scores
    assert detector.fates.sum() == len(batch)
    assert detector.fates.tolist() == np.bincount(scores.fate, minlength=FATES).tolist()
    assert np.isfinite(scores.score).all() and (scores.score >= 0).all()
    assert (scores.score[scores.fate != Fate.SCORED] == 0).all()


@pytest.mark.parametrize("backend", ["numpy", "litert", "baseline"])
def test_three_runs_give_byte_equal_alerts(backend: str) -> None:
    runs = [make_detector(backend).process(stream(5, 1500)).alerts for _ in range(3)]
    told = [json.dumps([asdict(a) for a in alerts]) for alerts in runs]
    assert runs[0], "the stream has faults: silence would prove nothing"
    assert told[0] == told[1] == told[2]


def test_an_incident_opens_exactly_at_an_alarm_of_a_quiet_entity() -> None:
    batch = stream(5, 1500, awkward=False)
    judged = make_detector().process(batch)
    told = {(a.window.last_offset, a.entity): a.event for a in judged.alerts if a.window}
    open_now: dict[str, bool] = {}
    for row, entity in enumerate(batch.keys[i] for i in batch.entity[:, 0]):
        event = told.get((row, entity))
        if judged.scores.alarm[row] >= 1 and not open_now.get(entity):
            assert event == "opened"
        elif event in ("opened", "updated"):
            assert event == "updated" and judged.scores.alarm[row] >= 1
        open_now[entity] = event != "resolved" if event else open_now.get(entity, False)
    assert "opened" in told.values(), "the stream has faults: silence would prove nothing"


def test_the_shares_of_an_alert_add_up_to_one() -> None:
    alerts = [a for a in make_detector().process(stream(5, 1500)).alerts if a.event != "resolved"]
    assert alerts, "the stream has faults: silence would prove nothing"
    for alert in alerts:
        rhythm = alert.rhythm.share if alert.rhythm else 0.0
        assert abs(sum(c.share for c in alert.channels) + rhythm - 1) < 1e-5
        heard = [step.weight for step in alert.attention]
        assert all(weight >= 0 for weight in heard)
        assert 0 < sum(heard) < 1.001  # the strongest steps of weights that sum to 1


def test_a_new_model_takes_over_by_rerunning_the_rings() -> None:
    batch = stream(3, 800)
    swapped, straight = make_detector("baseline"), make_detector("numpy")
    head, tail = batch.rows(slice(0, 600)), batch.rows(slice(600, None))
    swapped.process(head)
    straight.process(head)
    numpy_scorer = straight.lanes.scorer
    swap(swapped, numpy_scorer, BUNDLE.spec)
    assert swapped.ref.backend == "numpy"
    a, b = swapped.process(tail).scores.expected, straight.process(tail).scores.expected
    np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4, equal_nan=True)
