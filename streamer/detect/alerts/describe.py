"""The summary of an alert: what was observed, what was expected, and the shares."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from streamer.detect.evidence.base import inside
from streamer.event import ChannelPart, RhythmPart
from streamer.timefmt import duration

# a smaller share of a channel or of the rhythm is left out of the sentence
WORTH_A_WORD = 0.05
# for a value inside its band, and for one outside
RUN = "is {value}, after a run of unusual values ({band} now)"
OUTSIDE = "is {value}, {band}"


def number(value: float | None) -> str:
    """Return four significant digits, without an exponent where that stays short."""
    if value is None:
        return "missing"
    value += 0.0  # no minus before a zero
    if value != 0 and not 1e-4 <= abs(value) < 1e7:
        return f"{value:.3g}"
    return f"{value:.4g}" if abs(value) < 1e4 else f"{value:.0f}"


def usual(part: ChannelPart) -> str:
    """Return "": the phrase of an evidence without words of its own."""
    return ""


def sentence(
    entity: str,
    channels: Sequence[ChannelPart],
    rhythm: RhythmPart | None,
    score: float,
    *,
    phrase: Callable[[ChannelPart], str] = usual,
) -> str:
    """Return one sentence: leading cause, observed and expected value, score, and shares.

    `phrase` is that of the strongest evidence (`Evidence.phrase`).
    """
    lead = max(channels, key=lambda part: part.share, default=None)
    by_rhythm = rhythm.share if rhythm else 0.0
    if rhythm and (lead is None or by_rhythm > lead.share):
        what = _gap(rhythm)
    else:
        what = _value(lead, phrase) if lead else "behaves unusually"
    tail = f"(score {score:.2f}, alarm at 1.0)"
    return f"{entity} {what} {tail}{_split(1 - by_rhythm, by_rhythm)}"


def _value(part: ChannelPart, phrase: Callable[[ChannelPart], str]) -> str:
    value = f"{number(part.observed)}{f' {part.unit}' if part.unit else ''}"
    if part.low is None or part.high is None or part.observed is None:
        return f"{part.name} is {value}"
    band = f"expected {number(part.low)} to {number(part.high)}"
    said = phrase(part) or (RUN if inside(part) else OUTSIDE)
    return f"{part.name} {said.format(value=value, band=band)}"


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
