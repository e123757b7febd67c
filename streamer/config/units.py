"""Quantities of the configuration: text with a unit to a number in base units, and back.

Duration is seconds, Size is bytes, Rate is events per day, KofN is "3 of 5". Numbers without a unit
are refused, because the unit is not clear.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, ClassVar, Self

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

MICRO = 1_000_000
SECONDS = {
    "us": Fraction(1, MICRO), "ms": Fraction(1, 1000), "s": Fraction(1), "m": Fraction(60),
    "h": Fraction(3600), "d": Fraction(86_400), "w": Fraction(604_800),
}  # fmt: skip
BYTES = {
    "B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12,
    "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40,
}  # fmt: skip
PER_DAY = {
    "second": Fraction(86_400), "minute": Fraction(1440), "hour": Fraction(24),
    "day": Fraction(1), "week": Fraction(1, 7),
}  # fmt: skip
RATE_NAMES = {
    "s": "second",
    "sec": "second",
    "m": "minute",
    "min": "minute",
    "h": "hour",
    "d": "day",
    "w": "week",
}
MAX_SECONDS = 36_500 * 86_400  # a century; a longer time is a wrong unit
MAX_BYTES = 2**50
MAX_DIGITS = 20  # longer numbers are mistakes, and large rationals are slow

_NUMBER = r"\d+(?:\.\d+)?"
_DURATION = re.compile(rf"(?:{_NUMBER}\s*(?:us|ms|s|m|h|d|w)\s*)+")
_DURATION_PART = re.compile(rf"({_NUMBER})\s*(us|ms|s|m|h|d|w)")
_SIZE = re.compile(rf"({_NUMBER})\s*([A-Za-z]+)")
_RATE = re.compile(rf"({_NUMBER})\s*/\s*([a-z]+)")
_K_OF_N = re.compile(r"(\d{1,6})\s+of\s+(\d{1,6})")


class Parsed:
    """A value written as text in the configuration; `str()` returns a text that parses to it."""

    PATTERN: ClassVar[str]
    EXAMPLES: ClassVar[tuple[str, ...]]

    @classmethod
    def parse(cls, raw: object) -> Self:
        """Parse a text; an object of the class is returned. ValueError says what to write."""
        raise NotImplementedError(f"{cls.__name__} must say how its text is read")

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            cls.parse, serialization=core_schema.to_string_ser_schema(when_used="always")
        )

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {"type": "string", "pattern": cls.PATTERN, "examples": list(cls.EXAMPLES)}


class Duration(Parsed, float):
    """Seconds, 0 to a century, exact to the microsecond."""

    PATTERN = r"^\s*(\d+(\.\d+)?\s*(us|ms|s|m|h|d|w)\s*)+$"
    EXAMPLES = ("250ms", "5m", "24h", "1h30m")

    @classmethod
    def parse(cls, raw: object) -> Self:
        if isinstance(raw, cls):
            return raw
        text = _text(raw, "a duration needs a unit", ("{0}s", "{0}m"), "250ms, 5m or 24h")
        if not _DURATION.fullmatch(text):
            raise ValueError(
                f"{_show(text)} is not a duration; write 250ms, 5m, 24h or 1h30m (units us ms s m "
                f"h d w)"
            )
        seconds = sum(
            _fraction(number) * SECONDS[unit] for number, unit in _DURATION_PART.findall(text)
        )
        if seconds > MAX_SECONDS:
            raise ValueError(f"{_show(text)} is longer than a century")
        return cls(float(Fraction(round(seconds * MICRO), MICRO)))

    def __str__(self) -> str:
        micros = round(Fraction(float(self)) * MICRO)
        if micros == 0:
            return "0s"
        unit = next(
            u for u in ("d", "h", "m", "s", "ms", "us") if micros % (SECONDS[u] * MICRO) == 0
        )
        return f"{int(micros / (SECONDS[unit] * MICRO))}{unit}"


class Size(Parsed, int):
    """Bytes."""

    PATTERN = r"^\s*\d+(\.\d+)?\s*(B|kB|MB|GB|TB|KiB|MiB|GiB|TiB)\s*$"
    EXAMPLES = ("64MiB", "512KiB")

    @classmethod
    def parse(cls, raw: object) -> Self:
        if isinstance(raw, cls):
            return raw
        text = _text(raw, "a size needs a unit", ("{0}B", "{0}MiB"), "64MiB")
        match = _SIZE.fullmatch(text)
        if match is None:
            raise ValueError(f"{_show(text)} is not a size; write 64MiB (units {' '.join(BYTES)})")
        if match[2] not in BYTES:
            raise ValueError(
                f"{_show(text)}: unknown unit {match[2]!r}{_size_hint(match[1], match[2])}"
            )
        size = _fraction(match[1]) * BYTES[match[2]]
        if size.denominator != 1 or size > MAX_BYTES:
            raise ValueError(
                f"{_show(text)} is not a whole number of bytes up to {MAX_BYTES // 2**40}TiB"
            )
        return cls(int(size))

    def __str__(self) -> str:
        size = int(self)
        unit = (
            next(u for u in ("TiB", "GiB", "MiB", "KiB", "B") if size % BYTES[u] == 0)
            if size
            else "B"
        )
        return f"{size // BYTES[unit]}{unit}"

    __repr__ = int.__repr__


class Rate(Parsed, float):
    """Events per day, above zero."""

    PATTERN = r"^\s*\d+(\.\d+)?\s*/\s*(second|minute|hour|day|week|s|sec|m|min|h|d|w)\s*$"
    EXAMPLES = ("5/day", "1/week", "0.5/hour")

    @classmethod
    def parse(cls, raw: object) -> Self:
        if isinstance(raw, cls):
            return raw
        text = _text(raw, "a rate needs a unit of time", ("{0}/day", "{0}/hour"), "5/day")
        match = _RATE.fullmatch(text)
        unit = RATE_NAMES.get(match[2], match[2]) if match else ""
        if match is None or unit not in PER_DAY:
            raise ValueError(
                f"{_show(text)} is not a rate; write 5/day (per second, minute, hour, day or week)"
            )
        number = _fraction(match[1])
        if number == 0:
            raise ValueError("a rate must be above zero")
        return cls(float(number * PER_DAY[unit]))

    def __str__(self) -> str:
        return f"{_decimal(float(self))}/day"


@dataclass(frozen=True, slots=True)
class KofN(Parsed):
    """k strange events among the last n."""

    PATTERN = r"^\s*\d{1,6}\s+of\s+\d{1,6}\s*$"
    EXAMPLES = ("3 of 5", "1 of 1")

    k: int
    n: int

    @classmethod
    def parse(cls, raw: object) -> Self:
        if isinstance(raw, cls):
            return raw
        match = _K_OF_N.fullmatch(raw.strip()) if isinstance(raw, str) else None
        if match is None:
            raise ValueError(f'{_show(raw)} is not a count of events; write "3 of 5"')
        k, n = int(match[1]), int(match[2])
        if not 1 <= k <= n <= 1000:
            raise ValueError(f'"{k} of {n}" cannot be: 1 <= first <= second <= 1000')
        return cls(k, n)

    def __str__(self) -> str:
        return f"{self.k} of {self.n}"


def _text(raw: object, problem: str, offers: tuple[str, ...], example: str) -> str:
    """Return the text of a quantity; a bare number is refused with suggestions."""
    text = raw.strip() if isinstance(raw, str) else raw
    if isinstance(raw, bool) or not isinstance(text, str | int | float):
        raise ValueError(f"{problem}: write {example}, got {_show(raw)}")
    if not isinstance(text, str) or re.fullmatch(_NUMBER, text):
        raise ValueError(
            f"{problem}: write {' or '.join(offer.format(text) for offer in offers)}, got bare "
            f"{text}"
        )
    return text


def _fraction(number: str) -> Fraction:
    if len(number) > MAX_DIGITS:
        raise ValueError(f"a number of {len(number)} digits is too long")
    return Fraction(number)


def _size_hint(number: str, unit: str) -> str:
    wanted = {"k": "KiB", "m": "MiB", "g": "GiB", "t": "TiB", "b": "B"}.get(unit[0].lower())
    return f"; did you mean {number}{wanted}?" if wanted else f" (units {' '.join(BYTES)})"


def _decimal(number: float) -> str:
    """Return a float in plain digits that reads back exactly."""
    if number.is_integer() and number < 1e15:
        return str(int(number))
    return f"{number!r}" if "e" not in repr(number) else f"{number:.20f}".rstrip("0")


def _show(raw: object) -> str:
    text = repr(raw)
    return text if len(text) <= 40 else f"{text[:40]}..."
