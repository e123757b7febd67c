"""Times and durations as text: each form reads back to what was written, and no other module has a
form of its own.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer import timefmt

ROOT = Path(__file__).parents[1]
OWNERS = {"timefmt.py", "connect/files/scores.py"}  # scores.py writes them by the column
FORMS = re.compile(r"isoformat\(|fromisoformat\(|strptime\(|strftime\(|datetime_as_string\(")
WHEN = 1_793_534_400.0625  # 2026-11-01T12:00:00.0625Z


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.0, "0 s"),
        (0.0042, "0.0042 s"),
        (0.8, "0.8 s"),
        (45, "45 s"),
        (119, "119 s"),
        (120, "2 min"),
        (720, "12 min"),
        (7200, "2 h"),
        (12_600, "3.5 h"),
        (172_800, "2 d"),
        (86_400 * 365, "365 d"),
    ],
)
def test_durations_are_told_as_people_say_them(seconds: float, said: str) -> None:
    assert timefmt.duration(seconds) == said


@given(st.floats(0, 1e10))
def test_a_duration_is_short_and_names_a_unit(seconds: float) -> None:
    amount, unit = timefmt.duration(seconds).split()
    assert float(amount) * {"s": 1, "min": 60, "h": 3600, "d": 86_400}[unit] == pytest.approx(
        seconds, rel=6e-3
    )


@given(st.datetimes(datetime(1970, 1, 1), datetime(9999, 12, 30)))
def test_times_are_rfc_3339_in_utc_with_milliseconds(when: datetime) -> None:
    told = timefmt.rfc3339(when.replace(tzinfo=UTC).timestamp())
    assert told.endswith("Z")
    back = datetime.fromisoformat(told)
    assert abs((back - when.replace(tzinfo=UTC)).total_seconds()) < 2e-3


@pytest.mark.parametrize("time_s", [-1e300, -1.0, 1e18, 253_402_300_800.0])
def test_a_time_without_a_date_becomes_the_nearest_that_has_one(time_s: float) -> None:
    assert timefmt.rfc3339(time_s)[:4] in ("1969", "1970", "9999")


def test_a_time_is_written_in_each_form() -> None:
    assert timefmt.rfc3339(WHEN) == "2026-11-01T12:00:00.062Z"
    assert timefmt.rfc3339(WHEN, "seconds") == "2026-11-01T12:00:00Z"
    assert timefmt.iso(WHEN) == "2026-11-01T12:00:00.062500+00:00"
    assert timefmt.iso(WHEN, "milliseconds") == "2026-11-01T12:00:00.062+00:00"
    assert timefmt.plain(WHEN) == "2026-11-01 12:00:00"
    assert timefmt.compact(WHEN) == "20261101-120000"


@given(st.floats(0, timefmt.LAST_S), st.sampled_from([timefmt.rfc3339, timefmt.iso]))
def test_a_time_that_was_written_reads_back(time_s: float, write: object) -> None:
    assert callable(write)
    assert timefmt.seconds(write(time_s)) == pytest.approx(time_s, abs=1e-3)


@given(st.datetimes(datetime(1971, 1, 1), datetime(2099, 1, 1)), st.integers(-12, 14))
def test_a_time_without_a_zone_is_utc_and_one_with_a_zone_is_where_it_says(
    when: datetime, hours: int
) -> None:
    naive, there = when.isoformat(), when.replace(tzinfo=timezone(timedelta(hours=hours)))
    assert timefmt.seconds(naive) == when.replace(tzinfo=UTC).timestamp()
    assert timefmt.seconds(there.isoformat(), zoned=True) == there.timestamp()
    with pytest.raises(ValueError, match="zone"):
        timefmt.seconds(naive, zoned=True)


@pytest.mark.parametrize(
    ("text", "moved"),
    [
        ("2026-11-01T23:59:50Z", "2026-11-02T00:00:00Z"),
        ("2026-11-01 23:59:50", "2026-11-02 00:00:00"),
        (" 2026/11/01 23:59:50+02:00 ", "2026-11-02 00:00:00+02:00"),
    ],
)
def test_a_time_is_moved_in_its_own_notation(text: str, moved: str) -> None:
    assert timefmt.later(text, 10.0) == moved


@pytest.mark.parametrize(
    ("seconds", "spacing", "span"),
    [
        (0.25, "250 ms", "0.25 s"),
        (1.0, "1 s", "1 s"),
        (60.0, "1 min", "60 s"),
        (7200.0, "2 h", "2.0 h"),
        (1.5 * 86_400, "1.5 d", "36.0 h"),
        (12.5 * 86_400, "12.5 d", "12.5 days"),
    ],
)
def test_spacings_and_spans_are_told_in_their_own_units(
    seconds: float, spacing: str, span: str
) -> None:
    assert (timefmt.spacing(seconds), timefmt.span(seconds)) == (spacing, span)


def test_no_other_module_writes_or_reads_a_date() -> None:
    package = ROOT / "streamer"
    own = {
        str(path.relative_to(package))
        for path in package.rglob("*.py")
        if FORMS.search(path.read_text())
    }
    assert own == OWNERS
