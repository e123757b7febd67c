"""Alerts in plain words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.detect.alerts import describe
from streamer.detect.evidence.novelty import Novelty
from streamer.detect.evidence.stuck import Stuck
from streamer.event import ChannelPart, RhythmPart
from streamer.settings import DetectSettings


def channel(
    observed: float | None,
    low: float | None = 4.8,
    high: float | None = 5.5,
    *,
    share: float = 1.0,
    name: str = "rms",
    unit: str | None = "mm/s",
) -> ChannelPart:
    return ChannelPart(
        name,
        observed,
        None if low is None or high is None else (low + high) / 2,
        low,
        high,
        unit,
        share,
    )


def rhythm(gap_s: float, share: float = 0.0) -> RhythmPart:
    return RhythmPart(gap_s, 60.0, 30.0, 120.0, share)


def test_a_value_outside_its_band_is_told_against_the_band() -> None:
    told = describe.sentence("pump-17", [channel(7.9, share=0.81)], rhythm(60, 0.19), 2.41)
    assert (
        told
        == "pump-17 rms is 7.9 mm/s, expected 4.8 to 5.5 (score 2.41, alarm at 1.0); 81 % value, "
        "19 % rhythm"
    )


@pytest.mark.parametrize("observed", [7.9, 1.2])
def test_above_and_below_read_alike(observed: float) -> None:
    assert f"rms is {observed} mm/s, expected 4.8 to 5.5" in describe.sentence(
        "p", [channel(observed)], None, 1.0
    )


def test_a_value_inside_its_band_is_not_called_unexpected() -> None:
    told = describe.sentence("p", [channel(5.0)], None, 1.5)
    assert "after a run of unusual values" in told
    assert "4.8 to 5.5 now" in told


def test_the_strongest_evidence_may_have_words_of_its_own() -> None:
    of_stream = DetectSettings(channels=("rms",), max_entities=1)
    stuck, novelty = Stuck(of_stream, {}).phrase, Novelty(of_stream, {}).phrase
    told = describe.sentence("p", [channel(9.0)], None, 1.5, phrase=stuck)
    assert told.startswith("p rms is stuck at 9 mm/s (score")
    told = describe.sentence("p", [channel(5.0)], None, 1.5, phrase=novelty)
    assert "is 5 mm/s, a value it has not shown before (expected 4.8 to 5.5 now)" in told
    told = describe.sentence("p", [channel(9.0)], None, 1.5, phrase=novelty)
    assert told.startswith("p rms is 9 mm/s, expected 4.8 to 5.5 (score")


def test_a_unit_with_braces_is_told_as_it_is() -> None:
    assert "rms is 9 {x}, expected" in describe.sentence("p", [channel(9.0, unit="{x}")], None, 1.5)


def test_a_missing_value_is_said_to_be_missing() -> None:
    assert "rms is missing" in describe.sentence("p", [channel(None)], None, 1.5)


def test_a_value_without_a_band_is_told_alone() -> None:
    assert describe.sentence("p", [channel(3.0, None, None, unit=None)], None, 1.5).startswith(
        "p rms is 3 (score 1.50"
    )


def test_the_channel_with_the_largest_share_leads() -> None:
    told = describe.sentence(
        "p", [channel(1, share=0.2), channel(9, share=0.7, name="temp")], rhythm(60, 0.1), 1.5
    )
    assert told.startswith("p temp is 9")


@pytest.mark.parametrize(
    ("gap_s", "said"),
    [
        (0.5, "p is early: 0.5 s after the event before, expected 30 s to 2 min"),
        (600.0, "p is late: 10 min after the event before, expected 30 s to 2 min"),
        (61.0, "p keeps an unusual rhythm: events 61 s apart, typically 60 s"),
    ],
)
def test_a_rhythm_is_early_late_or_unusual(gap_s: float, said: str) -> None:
    told = describe.sentence("p", [channel(5.0, share=0.3)], rhythm(gap_s, 0.7), 1.5)
    assert told.startswith(said)
    assert told.endswith("; 30 % value, 70 % rhythm")


def test_a_share_too_small_for_a_word_is_left_out() -> None:
    assert describe.sentence("p", [channel(9.0, share=0.99)], rhythm(60, 0.01), 1.0).endswith(
        "alarm at 1.0)"
    )


def test_an_entity_without_channels_still_gets_a_sentence() -> None:
    assert describe.sentence("p", [], None, 1.0) == "p behaves unusually (score 1.00, alarm at 1.0)"


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (None, "missing"),
        (0.0, "0"),
        (-0.0, "0"),
        (7.9, "7.9"),
        (1234.56, "1235"),
        (98765.4, "98765"),
        (1e7, "1e+07"),
        (1e-3, "0.001"),
        (1e-5, "1e-05"),
        (-3.14159, "-3.142"),
        (1e24, "1e+24"),
        (-1e-30, "-1e-30"),
        (9_999_999, "9999999"),
    ],
)
def test_numbers_have_four_digits_and_no_exponent_where_that_stays_short(
    value: float | None, said: str
) -> None:
    assert describe.number(value) == said


@given(st.floats(-1e30, 1e30))
def test_every_number_reads_back_to_three_digits_and_is_short(value: float) -> None:
    told = describe.number(value)
    assert float(told) == pytest.approx(value, rel=6e-3, abs=1e-300)
    assert len(told) <= 10
