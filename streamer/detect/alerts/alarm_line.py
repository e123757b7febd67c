"""From level to alarm: pure array functions, and the small memory that they need per entity.

1.0 is the alarm line of every model, stream and entity. The line itself is the larger of a fixed
level of evidence and the level that the operator's alert budget allows for an entity with this
event rate: a budget is a promise, never a quota.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from streamer.event import F32, F64, I64, Bool
from streamer.settings import MIN_EVIDENCE, DetectSettings

DAY_S = 86_400.0
# Scores are smoothed over some ten events, so that an exceedance is a cluster of about so many
# events.
CLUSTER = 10.0
# judged events: the line of a new entity starts twice as high and comes down with its count
YOUNG = 96.0
# Every incident of an entity raises its line by this much (log), and the budget's pace brings it
# down again. So the incidents of any time T number at most budget * T + log(highest level / line) /
# STRAIN: a dozen above the promise.
INCIDENT_PENALTY = 0.15
# A false alarm that somebody reported raises the line by a quarter for good, a fault that somebody
# confirmed takes that back. Never below what the budget allows, and never out of reach of a grave
# fault.
STRICTER, STRICTEST = math.log(1.25), math.log(3.0)


def alarm_line(
    gap_s: F32, judged: I64, *, budget_per_day: float, entities: int, least: float = MIN_EVIDENCE
) -> F32:
    """The level (N,) that counts as 1.0, from the entity's typical gap and its number of judged
    events.
    """
    events_per_day = DAY_S / np.maximum(gap_s, 1e-6)
    allowed = budget_per_day / max(entities, 1) * CLUSTER / events_per_day
    line = np.maximum(least, -np.log10(np.minimum(allowed, 1.0)))
    return (line * (1 + YOUNG / (YOUNG + judged))).astype(np.float32)


def rising(level: F32, recent: F32, factor: float) -> Bool:
    """Rising-only refractory: an alarm must exceed the highest recent level (N, refractory) by a
    factor.
    """
    return level > factor * recent.max(axis=1, initial=0)


def kth_largest(recent: F32, k: int) -> F32:
    """The k-th largest of each row (N, n): at least 1 exactly where k of n are."""
    return np.partition(recent, -k, axis=1)[:, -k]


def deviates(values: F32, expected: F32, settings: DetectSettings) -> Bool:
    """Whether some watched channel is off by the operator's floors, in his direction, (N,)."""
    off = values - expected
    off = (
        off
        if settings.direction == "above"
        else -off
        if settings.direction == "below"
        else np.abs(off)
    )
    floor = np.maximum(settings.min_deviation, settings.min_relative * np.abs(expected))
    # NaN is beyond no floor
    return np.asarray(((off >= floor) & np.array(settings.watched)).any(axis=1))


def led_by_rhythm(parts: F32, level: F32) -> Bool:
    """Whether more than half of the level (N,) is the rhythm's, the last of its parts (N, P)."""
    return parts[:, -1] > 0.5 * level


class Decider:
    """Turns levels into alarms for one stream; remembers the recent levels of every slot."""

    def __init__(self, settings: DetectSettings) -> None:
        self._settings = settings
        slots = settings.max_entities
        self._levels = np.zeros((slots, max(settings.refractory_events, 1)), np.float32)
        self._latest = np.zeros((slots, settings.n_of), np.float32)
        self._incident_penalty = np.zeros(slots, np.float32)  # log factor on the line
        self._feedback_penalty = np.zeros(slots, np.float32)  # another one, from what people said
        self._pace = np.float32(
            INCIDENT_PENALTY * settings.budget_per_day / max(settings.expected_entities, 1) / DAY_S
        )

    def decide(
        self, slots: I64, judged: I64, level: F32, gap_s: F32, elapsed_s: F64, free: Bool
    ) -> tuple[F32, F32]:
        """(alarm, scaled) of N events: the decision, >= 1 where an alarm fires, and the bare level
        over the line.

        `gap_s` (N,) typical gap, `elapsed_s` (N,) time since the entity's previous event, `free`
        (N,) may alarm: beyond the floors and not cooling. Who may not alarm does not hold back
        those that come after, either.
        """
        s = self._settings
        line = alarm_line(
            gap_s,
            judged,
            budget_per_day=s.budget_per_day,
            entities=s.expected_entities,
            least=s.min_evidence,
        )
        incident_penalty = np.maximum(
            self._incident_penalty[slots] - self._pace * np.minimum(elapsed_s, DAY_S), 0
        ).astype(np.float32)
        self._incident_penalty[slots] = incident_penalty
        line = line * np.exp(incident_penalty + self._feedback_penalty[slots])
        sustained = self._sustained(slots, judged, level)
        fires = rising(sustained, self._levels[slots], s.refractory_factor) & free
        self._levels[slots, judged % self._levels.shape[1]] = np.where(free, sustained, 0)
        alarm = np.where(fires, sustained / line, 0).astype(np.float32)
        return alarm, (level / line).astype(np.float32)

    def opened(self, slots: I64) -> None:
        """An incident was opened in each of these slots: their lines rise."""
        self._incident_penalty[slots] += INCIDENT_PENALTY

    def stricter(self, slots: I64) -> None:
        """What fired here was a false alarm."""
        self._feedback_penalty[slots] = np.minimum(
            self._feedback_penalty[slots] + STRICTER, STRICTEST
        )

    def trust(self, slots: I64, times: int = 1) -> None:
        """What fired here was a fault, or is not known to be none: so many false alarms are taken
        back.
        """
        self._feedback_penalty[slots] = np.maximum(
            self._feedback_penalty[slots] - times * STRICTER, 0
        )

    def forgive(self, slots: I64) -> None:
        """The last incident here was deserved: it is not held against the budget."""
        self._incident_penalty[slots] = np.maximum(
            self._incident_penalty[slots] - INCIDENT_PENALTY, 0
        )

    def factors(self, slot: int) -> tuple[float, float]:
        """By what people's words and past incidents multiply the alarm line here."""
        return math.exp(self._feedback_penalty[slot]), math.exp(self._incident_penalty[slot])

    def _sustained(self, slots: I64, judged: I64, level: F32) -> F32:
        """The level that k of the last n events reached: what has to rise, or a lasting fault would
        never be k of n.
        """
        if self._settings.n_of == 1:
            return level
        self._latest[slots, judged % self._settings.n_of] = level
        return kth_largest(self._latest[slots], self._settings.k_of)

    def reset(self, slots: I64) -> None:
        self._levels[slots] = 0
        self._latest[slots] = 0
        self._incident_penalty[slots] = 0
        self._feedback_penalty[slots] = 0

    def state(self) -> Mapping[str, np.ndarray]:
        return {
            "levels": self._levels,
            "latest": self._latest,
            "strain": self._incident_penalty,
            "stance": self._feedback_penalty,
        }
