"""Time columns to seconds since 1970: numbers of any unit, ISO 8601, RFC 3339.

A cell that is no time becomes NaN.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from streamer import timefmt
from streamer.event import F64

UNITS = ("auto", "s", "ms", "us", "ns", "iso")
PER_SECOND = {"s": 1.0, "ms": 1e3, "us": 1e6, "ns": 1e9}
LATEST_S = 4_102_444_800.0  # 2100-01-01: a later time is treated as an error
# The size of an epoch number gives its unit: 1e11 s is the year 5138, 1e11 ms is 1973.
AUTO_LIMITS = (1e11, 1e14, 1e17)
MIN_ISO = len("2014-04-01")


def seconds_of_numbers(numbers: NDArray[np.float64], unit: str) -> F64:
    """Return seconds (N,) of epoch numbers (N,).

    NaN if not finite, before 1970 or after 2100.
    """
    divisor = _auto_divisor(numbers) if unit == "auto" else PER_SECOND.get(unit, 1.0)
    seconds = numbers / divisor
    with np.errstate(invalid="ignore"):
        return np.where((seconds >= 0) & (seconds <= LATEST_S), seconds, np.nan)


def _auto_divisor(numbers: NDArray[np.float64]) -> F64:
    index = np.searchsorted(AUTO_LIMITS, np.nan_to_num(numbers, nan=0.0), side="right")
    return np.array([1.0, 1e3, 1e6, 1e9])[index]


def unit_of(cells: Sequence[str]) -> str:
    """Return the unit of time cells: `iso` for dates, s, ms, us or ns for numbers by size.

    `auto` if the cells do not agree.
    """
    units = {_unit(cell) for cell in cells}
    return units.pop() if len(units) == 1 else "auto"


def _unit(cell: str) -> str:
    number = _number(cell)
    return (
        "iso"
        if number is None
        else tuple(PER_SECOND)[sum(abs(number) >= limit for limit in AUTO_LIMITS)]
    )


def seconds_of_text(cells: Sequence[str], unit: str) -> F64:
    """Return seconds (N,) of text cells; times without a zone are UTC.

    NaN where a cell is no time.
    """
    if unit != "iso":
        numbers = _numbers(cells)
        if numbers is not None:
            return seconds_of_numbers(numbers, unit)
    dates = _dates(cells) if unit in ("iso", "auto") else None
    if dates is not None:
        return _in_range(dates)
    return np.array([seconds_of_cell(cell, unit) for cell in cells], dtype=np.float64)


def seconds_of_cell(cell: str | float, unit: str) -> float:
    """Return one time as seconds, NaN if it is none; slow but complete."""
    if unit != "iso" and (number := _number(cell)) is not None:
        return float(seconds_of_numbers(np.array([number]), unit)[0])
    if unit in ("iso", "auto") and isinstance(cell, str):
        return _iso(cell)
    return float("nan")


def _numbers(cells: Sequence[str]) -> F64 | None:
    try:
        numbers = np.fromiter(map(float, cells), np.float64, len(cells))
    except ValueError:
        return None
    return None if "_" in "".join(cells) else numbers


def _number(cell: str | float) -> float | None:
    try:
        return None if isinstance(cell, str) and "_" in cell else float(cell)
    except ValueError:
        return None


def _dates(cells: Sequence[str]) -> F64 | None:
    """All cells at once, or None if one of them needs the slow way (a zone other than Z, another
    form, nonsense).
    """
    plain = [cell[:-1] if cell[-1:] in ("Z", "z") else cell for cell in cells]
    joined = "".join(plain)
    if (
        "+" in joined
        or joined.count("-") != 2 * len(plain)
        or min(map(len, plain), default=0) < MIN_ISO
    ):
        return None
    try:
        dates = np.array(plain, dtype="datetime64[us]")
    except ValueError:
        return None
    return np.where(np.isnat(dates), np.nan, dates.astype(np.int64) / 1e6)


def _iso(cell: str) -> float:
    text = cell.strip().replace("/", "-")
    if len(text) < MIN_ISO - 2:
        return float("nan")
    try:
        return float(_in_range(np.array([timefmt.seconds(text)]))[0])
    except (ValueError, OverflowError):
        return float("nan")


def _in_range(seconds: F64) -> F64:
    with np.errstate(invalid="ignore"):
        return np.where((seconds >= 0) & (seconds <= LATEST_S), seconds, np.nan)
