"""The contract of every evidence: bounded, additive, forgetful on demand, one entity never
another's business.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamer.detect.evidence import Evidence, of_profile
from streamer.detect.evidence.base import E_MAX, pool, total
from streamer.event import F32
from streamer.settings import DetectSettings
from tests.detect.seen import fold, noise, observation

SLOTS, CHANNELS, EVENTS = 5, 3, 120
SEEDS = st.integers(0, 2**31)
NAMES = ["surprise", "rhythm", "stuck", "novelty"]
EVERY = pytest.mark.parametrize("name", NAMES)


def make(name: str, **chosen: object) -> Evidence:
    of_stream = {"channels": ("a", "b", "c"), "max_entities": SLOTS} | chosen
    found = of_profile(DetectSettings(**of_stream), {})  # type: ignore[arg-type]
    return next(evidence for evidence in found if evidence.name == name)


def awkward(seed: int, events: int = EVENTS, slots: int = 3) -> tuple[F32, F32, F32]:
    """Noise with missing values, a constant channel, a jump for a while and one absurd number."""
    values, forecast, gaps = noise(seed, events, slots, CHANNELS, missing=0.1)
    values[:, :, 2] = 4.0
    values[events // 2 : events // 2 + 20, :, 0] += 50
    values[-10, :, 1] = 1e24
    gaps[events // 2 : events // 2 + 10] = 6
    return values, forecast, gaps


@EVERY
@settings(max_examples=3)
@given(seed=SEEDS)
def test_evidence_is_finite_and_between_0_and_its_bound(name: str, seed: int) -> None:
    e, _ = fold(make(name), awkward(seed), np.array([0, 2, 4]))
    assert np.isfinite(e).all()
    assert (e >= 0).all()
    assert (e <= E_MAX + 1e-4).all()


@EVERY
@settings(max_examples=3)
@given(seed=SEEDS)
def test_the_split_is_never_negative_and_adds_up_to_1(name: str, seed: int) -> None:
    _, split = fold(make(name), awkward(seed), np.array([0, 2, 4]))
    assert split.shape == (EVENTS, 3, CHANNELS + 1)
    assert (split >= 0).all()
    np.testing.assert_allclose(split.sum(axis=2), 1, atol=1e-5)


@EVERY
def test_only_the_rhythm_blames_the_rhythm(name: str) -> None:
    _, split = fold(make(name), awkward(1), np.array([0, 2, 4]))
    assert (split[:, :, -1] == (1 if name == "rhythm" else 0)).all()


@EVERY
@settings(max_examples=3)
@given(seed=SEEDS)
def test_the_same_log_gives_the_same_evidence(name: str, seed: int) -> None:
    log, slots = awkward(seed), np.array([0, 2, 4])
    (a, split_a), (b, split_b) = fold(make(name), log, slots), fold(make(name), log, slots)
    assert np.array_equal(a, b)
    assert np.array_equal(split_a, split_b)


@EVERY
@settings(max_examples=3)
@given(seed=SEEDS)
def test_an_entity_is_judged_alike_alone_and_among_others(name: str, seed: int) -> None:
    log = awkward(seed)
    together, _ = fold(make(name), log, np.array([0, 2, 4]))
    alone, _ = fold(make(name), (log[0][:, 1:2], log[1][:, 1:2], log[2][:, 1:2]), np.array([3]))
    np.testing.assert_allclose(together[:, 1:2], alone, rtol=1e-4, atol=1e-5)


@EVERY
def test_a_reset_slot_starts_like_a_new_one_and_its_neighbours_go_on(name: str) -> None:
    evidence, first, second, slots = make(name), awkward(1), awkward(2), np.array([0, 1])
    pair = tuple(a[:, :2] for a in first)
    fold(evidence, (pair[0], pair[1], pair[2]), slots)
    neighbour = {key: array[1].copy() for key, array in evidence.state().items()}
    evidence.reset(np.array([0]))
    assert all(np.array_equal(array[1], neighbour[key]) for key, array in evidence.state().items())
    one = (second[0][:, :1], second[1][:, :1], second[2][:, :1])
    again, _ = fold(evidence, one, slots[:1])
    new, _ = fold(make(name), one, slots[:1])
    assert np.array_equal(again, new)


@EVERY
def test_state_is_arrays_by_slot_of_constant_size_and_holds_everything(name: str) -> None:
    evidence, other, slots, log = make(name), make(name), np.array([0, 2, 4]), awkward(3)
    size = sum(array.nbytes for array in evidence.state().values())
    fold(evidence, log, slots)
    assert all(len(array) == SLOTS for array in evidence.state().values())
    assert sum(array.nbytes for array in evidence.state().values()) == size
    for key, array in evidence.state().items():
        other.state()[key][:] = array
    a, b = (fold(one, awkward(4), slots, start=EVENTS)[0] for one in (evidence, other))
    assert np.array_equal(a, b)


@EVERY
def test_judging_changes_no_state_of_entities_that_were_not_there(name: str) -> None:
    evidence = make(name)
    before = {key: array[[1, 3]].copy() for key, array in evidence.state().items()}
    fold(evidence, awkward(5), np.array([0, 2, 4]))
    assert all(
        np.array_equal(array[[1, 3]], before[key]) for key, array in evidence.state().items()
    )


@EVERY
def test_what_was_observed_is_not_written_to(name: str) -> None:
    log = awkward(6)
    copies = [a.copy() for a in log]
    fold(make(name), log, np.array([0, 2, 4]))
    assert all(np.array_equal(a, b, equal_nan=True) for a, b in zip(log, copies, strict=True))


@EVERY
def test_no_events_are_no_work(name: str) -> None:
    empty = np.zeros((0, CHANNELS), np.float32)
    e, split = make(name).fold(
        observation(np.zeros(0, np.int64), 0, empty, log_gap=np.zeros(0, np.float32))
    )
    assert e.shape == (0,)
    assert split.shape == (0, CHANNELS + 1)


@EVERY
def test_an_anomaly_is_stranger_than_anything_before_it(name: str) -> None:
    values, forecast, gaps = noise(7, 600, 3, CHANNELS)
    values[-1] += 60
    gaps[-1] = 14
    if name == "stuck":
        values[-20:] = values[-21]
    e, _ = fold(make(name), (values, forecast, gaps), np.array([0, 2, 4]))
    quiet = e[100:-20].max(axis=0)
    assert (e[-1] > quiet).all()


@pytest.mark.parametrize("name", ["surprise", "novelty"])
def test_the_channel_that_is_off_gets_the_blame(name: str) -> None:
    values, forecast, gaps = noise(8, 600, 1, CHANNELS)
    values[-1, :, 1] += 60
    _, split = fold(make(name), (values, forecast, gaps), np.array([0]))
    assert split[-1, 0, 1] > 0.9


@pytest.mark.parametrize("name", ["surprise", "novelty"])
@pytest.mark.parametrize("a", [2.0**-20, -1.0, 2.0**20])
def test_an_affine_copy_of_a_stream_is_judged_alike(name: str, a: float) -> None:
    values, forecast, gaps = awkward(9)
    values[-10] = values[-11]
    slots = np.array([0, 2, 4])
    plain, copy = make(name), make(name)
    for t, (value, expected) in enumerate(zip(values, forecast, strict=True)):
        one, _ = plain.fold(observation(slots, t, value, expected, log_gap=gaps[t]))
        other, _ = copy.fold(
            observation(slots, t, a * value, a * expected, step=abs(a), log_gap=gaps[t])
        )
        np.testing.assert_allclose(other, one, rtol=1e-3, atol=2e-3, err_msg=f"event {t}")


@pytest.mark.parametrize("name", ["surprise", "novelty"])
@pytest.mark.parametrize(
    ("direction", "above", "below"), [("above", True, False), ("below", False, True)]
)
def test_a_one_sided_stream_cares_for_one_side(
    name: str, direction: str, above: bool, below: bool
) -> None:
    found = []
    for jump in (40, -40):
        values, forecast, gaps = noise(10, 400, 1, CHANNELS)
        values[-1] += jump
        found.append(
            bool(
                fold(make(name, direction=direction), (values, forecast, gaps), np.array([0]))[0][
                    -1, 0
                ]
                > 2
            )
        )
    assert found == [above, below]


@pytest.mark.parametrize("name", ["surprise", "novelty"])
def test_a_channel_that_is_not_watched_has_no_say(name: str) -> None:
    values, forecast, gaps = noise(11, 400, 1, CHANNELS)
    wild = values.copy()
    wild[-5:, :, 0] += 100
    slots = np.array([0])
    quiet, _ = fold(make(name, watch=("b", "c")), (values, forecast, gaps), slots)
    loud, split = fold(make(name, watch=("b", "c")), (wild, forecast, gaps), slots)
    np.testing.assert_allclose(quiet, loud, atol=1e-5)
    assert split[-5:, 0, 0].max() < 0.34  # an even split where nothing is strange


@pytest.mark.parametrize("name", ["surprise", "novelty"])
def test_an_event_without_values_is_not_strange_and_teaches_nothing_strange(name: str) -> None:
    values, forecast, gaps = noise(12, 300, 1, CHANNELS)
    holes = values.copy()
    holes[200:205] = np.nan
    e, _ = fold(make(name), (holes, forecast, gaps), np.array([0]))
    plain, _ = fold(make(name), (values, forecast, gaps), np.array([0]))
    assert e[200:205].max() == 0
    assert np.median(e[205:]) == pytest.approx(np.median(plain[205:]), rel=0.1)


def test_a_lean_profile_is_smaller() -> None:
    of_stream = DetectSettings(channels=("a",), max_entities=100)
    full = of_profile(of_stream, {})
    lean = of_profile(replace(of_stream, profile="lean"), {})
    assert [e.name for e in lean] == ["surprise", "rhythm"]
    assert [e.name for e in full] == NAMES
    assert [e.name for e in of_profile(replace(of_stream, rhythm=False), {})] == [
        "surprise",
        "stuck",
        "novelty",
    ]


@given(st.lists(st.floats(0, 30), min_size=1, max_size=6))
def test_the_total_is_at_least_the_largest_evidence_and_shares_add_up(
    evidence: list[float],
) -> None:
    whole, share = total(np.array(evidence, np.float32)[:, None])
    assert max(evidence) - 1e-5 <= whole[0] <= max(evidence) + np.log10(len(evidence)) + 1e-5
    assert (share >= 0).all()
    assert share.sum() == pytest.approx(1 if max(evidence) > 1e-6 else share.sum(), abs=1e-6)


@given(st.lists(st.floats(0, 30), min_size=1, max_size=6))
def test_pooled_channels_are_never_louder_than_the_loudest(evidence: list[float]) -> None:
    whole, split = pool(np.array(evidence, np.float32)[None, :])
    assert -1e-6 <= whole[0] <= max(evidence) + 1e-5
    assert split.sum() == pytest.approx(1)
    assert int(split[0].argmax()) in [
        i for i, e in enumerate(evidence) if e >= max(evidence) - 1e-5
    ]
