"""The profile: evidences folded together, parts that add up, memory that is bounded."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from streamer.detect.evidence.profile import SMOOTH, Judgement, Profile
from streamer.settings import DetectSettings
from tests.detect.seen import noise, observation

SLOTS = np.array([0, 2])


def make(**chosen: object) -> Profile:
    of_stream = {"channels": ("a", "b"), "max_entities": 3} | chosen
    return Profile(DetectSettings(**of_stream), {}, rhythm=True)  # type: ignore[arg-type]


def folded(profile: Profile, seed: int, events: int = 150) -> list[Judgement]:
    values, forecast, gaps = noise(seed, events, 2, 2, missing=0.05)
    values[events // 2] += 30
    return [
        profile.fold(observation(SLOTS, profile.judged[SLOTS], value, expected, log_gap=gap))
        for value, expected, gap in zip(values, forecast, gaps, strict=True)
    ]


@settings(max_examples=5)
@given(st.integers(0, 2**31))
def test_parts_are_not_negative_and_add_up_to_the_level(seed: int) -> None:
    for judgement in folded(make(), seed):
        assert (judgement.parts >= 0).all()
        np.testing.assert_allclose(
            judgement.parts.sum(axis=1), judgement.level, rtol=1e-5, atol=1e-6
        )


def test_the_level_is_at_least_the_strongest_evidence_and_little_more() -> None:
    for judgement in folded(make(), 1):
        strongest = judgement.evidence.max(axis=0)
        assert (judgement.level >= strongest - 1e-4).all()
        assert (judgement.level <= strongest + np.log10(len(judgement.evidence)) + 1e-4).all()


def test_the_score_is_the_exponential_mean_of_the_parts() -> None:
    smooth = np.zeros((2, 3), np.float32)
    for judgement in folded(make(), 2, 30):
        smooth = SMOOTH * smooth + (1 - SMOOTH) * judgement.parts
        np.testing.assert_allclose(judgement.smooth, smooth, rtol=1e-5, atol=1e-6)


def test_the_band_is_around_the_forecast() -> None:
    judgement = folded(make(), 3)[-1]
    assert (judgement.low < judgement.high).all()


def test_judged_counts_the_events_of_each_entity_and_a_reset_forgets_them() -> None:
    profile = make()
    folded(profile, 4, 20)
    assert profile.judged.tolist() == [20, 0, 20]
    profile.reset(np.array([0]))
    assert profile.judged.tolist() == [0, 0, 20]
    assert all(not array[0].any() for array in profile.state().values())


def test_memory_is_constant_and_a_lean_profile_is_much_smaller() -> None:
    profile = make()
    before = profile.nbytes
    folded(profile, 5)
    assert profile.nbytes == before
    assert make(profile="lean").nbytes < 0.2 * before


def test_names_of_evidences_are_those_of_the_rows_of_evidence() -> None:
    profile = make()
    assert len(profile.names) == len(folded(profile, 6, 1)[0].evidence) == len(set(profile.names))
    assert {name.split(".")[0] for name in profile.state()} >= set(profile.names)
