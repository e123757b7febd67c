"""Times and durations as text, both ways: RFC 3339 in UTC, and durations as people say them.

Nothing else writes or reads a date, except by the column: `connect/formats/times.py` reads and
`connect/files/scores.py` writes them so. Durations of the configuration, 1h30m, are
`config/units.py`.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

MINUTE_S, HOUR_S, DAY_S = 60.0, 3600.0, 86_400.0
LAST_S = 253_402_300_799.0  # the last second that has a date: the end of the year 9999


def rfc3339(time_s: float, digits: str = "milliseconds") -> str:
    """UTC, 2026-11-01T12:00:00.000Z; times outside the calendar become the nearest that has a date.

    `digits` is "milliseconds" or "seconds"; what is finer is cut off.
    """
    return _moment(time_s).isoformat(timespec=digits).replace("+00:00", "Z")


def iso(time_s: float, digits: str = "auto") -> str:
    """UTC with its offset written out, 2026-11-01T12:00:00+00:00; to the microsecond, where it has
    any, unless `digits` is "milliseconds". ValueError, OverflowError or OSError outside the
    calendar.
    """
    return datetime.fromtimestamp(time_s, UTC).isoformat(timespec=digits)


def plain(time_s: float) -> str:
    """For people: 2026-11-01 12:00:00, in UTC."""
    return rfc3339(time_s)[:19].replace("T", " ")


def compact(time_s: float) -> str:
    """For names of files and versions: 20261101-120000, in UTC."""
    return _moment(time_s).strftime("%Y%m%d-%H%M%S")


def seconds(text: str, *, zoned: bool = False) -> float:
    """Seconds since 1970 of an ISO 8601 time; UTC where it names no zone. ValueError if it is none,
    or if it must name its zone (`zoned`) and does not.
    """
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        if zoned:
            raise ValueError(f"{text!r} names no zone")
        moment = moment.replace(tzinfo=UTC)
    return moment.timestamp()


def later(text: str, by_s: float) -> str:
    """A time in its own notation (T or a blank, Z or an offset or neither), moved. ValueError if it
    is none.
    """
    text = text.strip()
    moved = datetime.fromisoformat(text.replace("/", "-")) + timedelta(seconds=by_s)
    in_utc = text[-1:] in "Zz"
    if in_utc:
        moved = moved.astimezone(UTC)
    told = moved.isoformat(sep="T" if "T" in text else " ")
    return f"{told.removesuffix('+00:00')}Z" if in_utc else told


def duration(seconds: float) -> str:
    """As people say it: 0.8 s, 45 s, 12 min, 3.5 h, 2 d."""
    for size, unit in ((DAY_S, "d"), (HOUR_S, "h"), (MINUTE_S, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.3g} s"


def spacing(seconds: float) -> str:
    """Between events, in the largest unit that it fills: 250 ms, 1 s, 5 min, 1 h."""
    for size, unit in ((DAY_S, "d"), (HOUR_S, "h"), (MINUTE_S, "min"), (1.0, "s")):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds * 1e3:.3g} ms"


def span(seconds: float) -> str:
    """Of a whole series: 12 s, 2.5 min, 3.0 h, 12.5 days."""
    for size, unit in ((DAY_S, "days"), (HOUR_S, "h"), (MINUTE_S, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.3g} s"


def _moment(time_s: float) -> datetime:
    return datetime.fromtimestamp(min(max(time_s, 0.0), LAST_S), UTC)
