"""Laws of durations, sizes, rates and counts."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.config import Duration, KofN, Rate, Size
from streamer.config.units import BYTES, SECONDS


@given(st.integers(0, 36_500 * 86_400 * 10**6))
def test_a_duration_survives_its_own_text(micros: int) -> None:
    duration = Duration(micros / 10**6)
    assert Duration.parse(str(Duration.parse(str(duration)))) == Duration.parse(str(duration))
    assert math.isclose(Duration.parse(str(duration)), duration, abs_tol=1e-6)


@given(st.integers(0, 1000), st.sampled_from(sorted(SECONDS)))
def test_a_duration_is_its_number_of_units(number: int, unit: str) -> None:
    assert Duration.parse(f"{number}{unit}") == pytest.approx(
        float(number * SECONDS[unit]), rel=1e-12
    )


@given(st.integers(0, 59), st.integers(0, 59), st.integers(0, 99))
def test_parts_of_a_duration_add_up(seconds: int, minutes: int, hours: int) -> None:
    assert (
        float(Duration.parse(f"{hours}h{minutes}m {seconds}s"))
        == hours * 3600 + minutes * 60 + seconds
    )


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("250ms", 0.25), ("5m", 300), ("24h", 86_400), ("1.5h", 5400), (" 2 s ", 2)],
)
def test_durations_read_as_people_write_them(text: str, seconds: float) -> None:
    assert Duration.parse(text) == seconds


@pytest.mark.parametrize(
    "raw", [5, 5.0, "5", "0", True, None, [], "5 minutes", "m5", "-5s", "5s,", "", "1e3s", "∞"]
)
def test_a_duration_without_a_clear_unit_is_refused(raw: object) -> None:
    with pytest.raises(ValueError, match="duration"):
        Duration.parse(raw)


def test_a_bare_number_is_refused_with_what_it_may_have_meant() -> None:
    with pytest.raises(ValueError, match="write 30s or 30m, got bare 30"):
        Duration.parse(30)


@pytest.mark.parametrize("text", ["40000d", f"{'9' * 50}s", "1" * 5000 + "d"])
def test_absurd_durations_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"century|too long"):
        Duration.parse(text)


@given(st.integers(0, 2**50))
def test_a_size_survives_its_own_text(size: int) -> None:
    assert Size.parse(str(Size(size))) == size


@given(st.integers(0, 500), st.sampled_from(sorted(BYTES)))
def test_a_size_is_its_number_of_units(number: int, unit: str) -> None:
    assert Size.parse(f"{number}{unit}") == number * BYTES[unit]


@pytest.mark.parametrize(
    ("text", "hint"), [("64M", "64MiB"), ("64mb", "64MiB"), ("1g", "1GiB"), ("2K", "2KiB")]
)
def test_a_sloppy_size_is_refused_with_the_right_one(text: str, hint: str) -> None:
    with pytest.raises(ValueError, match=f"did you mean {hint}"):
        Size.parse(text)


@pytest.mark.parametrize(
    "raw", [64, "64", "0.5B", "MiB", "64 quux", "99999TiB", None, "1" * 99 + "B"]
)
def test_what_is_no_size_is_refused(raw: object) -> None:
    with pytest.raises(ValueError, match=r"size|unknown unit|bytes|too long"):
        Size.parse(raw)


@given(
    st.integers(1, 10**6),
    st.sampled_from(["second", "minute", "hour", "day", "week", "s", "min", "h", "d"]),
)
def test_a_rate_survives_its_own_text(number: int, unit: str) -> None:
    rate = Rate.parse(f"{number}/{unit}")
    assert Rate.parse(str(rate)) == pytest.approx(rate, rel=1e-12)


@pytest.mark.parametrize(
    ("text", "per_day"), [("5/day", 5), ("0.5/hour", 12), ("7/week", 1), ("1 / min", 1440)]
)
def test_rates_are_per_day(text: str, per_day: float) -> None:
    assert Rate.parse(text) == pytest.approx(per_day)


@pytest.mark.parametrize("raw", [5, "5", "5/fortnight", "0/day", "-1/day", "five a day", None])
def test_what_is_no_rate_is_refused(raw: object) -> None:
    with pytest.raises(ValueError, match="rate"):
        Rate.parse(raw)


@given(st.integers(1, 1000), st.integers(1, 1000))
def test_k_of_n_survives_its_own_text_or_cannot_be(k: int, n: int) -> None:
    if k <= n:
        assert KofN.parse(str(KofN.parse(f"{k} of {n}"))) == KofN(k, n)
    else:
        with pytest.raises(ValueError, match="cannot be"):
            KofN.parse(f"{k} of {n}")


@pytest.mark.parametrize("raw", [3, "3", "3/5", "0 of 5", "three of five", None, "1 of 1001"])
def test_what_is_no_k_of_n_is_refused(raw: object) -> None:
    with pytest.raises(ValueError, match="of"):
        KofN.parse(raw)
