"""An alert in plain words: what was seen, what was expected, whose share it is."""

from __future__ import annotations

from collections.abc import Sequence

from streamer.event import ChannelPart, RhythmPart
from streamer.timefmt import duration

# Below this share neither a channel nor the rhythm is worth a word in the sentence.
WORTH_A_WORD = 0.05


def number(value: float | None) -> str:
    """Four significant digits, without an exponent where that stays short."""
    if value is None:
        return "missing"
    value += 0.0  # no minus before a zero
    if value != 0 and not 1e-4 <= abs(value) < 1e7:
        return f"{value:.3g}"
    return f"{value:.4g}" if abs(value) < 1e4 else f"{value:.0f}"


def sentence(
    entity: str,
    channels: Sequence[ChannelPart],
    rhythm: RhythmPart | None,
    score: float,
    *,
    cause: str = "",
) -> str:
    """One sentence: the leading cause, observed against expected, score, and the split between
    value and rhythm.

    `cause` names the strongest evidence: a value inside its band may be novel, or stuck.
    """
    lead = max(channels, key=lambda part: part.share, default=None)
    by_rhythm = rhythm.share if rhythm else 0.0
    if rhythm and (lead is None or by_rhythm > lead.share):
        what = _gap(rhythm)
    else:
        what = _value(lead, cause) if lead else "behaves unusually"
    tail = f"(score {score:.2f}, alarm at 1.0)"
    return f"{entity} {what} {tail}{_split(1 - by_rhythm, by_rhythm)}"


def _value(part: ChannelPart, cause: str) -> str:
    unit = f" {part.unit}" if part.unit else ""
    if part.low is None or part.high is None or part.observed is None:
        return f"{part.name} is {number(part.observed)}{unit}"
    if cause == "stuck":
        return f"{part.name} is stuck at {number(part.observed)}{unit}"
    expected = f"expected {number(part.low)} to {number(part.high)}"
    if part.low <= part.observed <= part.high:
        why = (
            "a value it has not shown before"
            if cause == "novelty"
            else "after a run of unusual values"
        )
        return f"{part.name} is {number(part.observed)}{unit}, {why} ({expected} now)"
    return f"{part.name} is {number(part.observed)}{unit}, {expected}"


def _gap(rhythm: RhythmPart) -> str:
    if rhythm.low_s <= rhythm.gap_s <= rhythm.high_s:
        gap, typical = duration(rhythm.gap_s), duration(rhythm.expected_gap_s)
        return f"keeps an unusual rhythm: events {gap} apart, typically {typical}"
    early = "early" if rhythm.gap_s < rhythm.low_s else "late"
    band = f"{duration(rhythm.low_s)} to {duration(rhythm.high_s)}"
    return f"is {early}: {duration(rhythm.gap_s)} after the event before, expected {band}"


def _split(by_value: float, by_rhythm: float) -> str:
    said = [(by_value, "value"), (by_rhythm, "rhythm")]
    words = [
        f"{share:.0%} {name}".replace("%", " %") for share, name in said if share >= WORTH_A_WORD
    ]
    return f"; {', '.join(words)}" if len(words) > 1 or by_rhythm >= WORTH_A_WORD else ""
