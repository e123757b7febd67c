"""From level to alarm: pure array functions, and a small memory per entity.

1.0 is the alarm line of every model, stream and entity. The line is the larger of two levels: a
fixed evidence, and the level that the alert budget allows for an entity with this event rate. The
budget is a bound, not a quota.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from streamer.event import F32, F64, I64, Bool
from streamer.settings import MIN_EVIDENCE, DetectSettings

DAY_S = 86_400.0
# Scores are smoothed over about ten events, so an exceedance is a cluster of about as many events.
CLUSTER = 10.0
# judged events; the line of a new entity starts twice as high and falls with its count
YOUNG = 96.0
# Every incident of an entity raises its line by this much (log), and the budget's pace lowers it
# again. So the number of incidents in any time T is at most budget * T + log(highest level / line)
# / INCIDENT_PENALTY, a dozen above the budget.
INCIDENT_PENALTY = 0.15
# A label false_alarm raises the line by a quarter for good, a label confirmed takes that back. The
# line is never below what the budget allows. Labels raise it threefold at most, so that a severe
# fault still exceeds it.
STRICTER, STRICTEST = math.log(1.25), math.log(3.0)


def alarm_line(
    gap_s: F32, judged: I64, *, budget_per_day: float, entities: int, least: float = MIN_EVIDENCE
) -> F32:
    """Return the level (N,) of the alarm line.

    It depends on the entity's typical gap and its number of judged events.
    """
    events_per_day = DAY_S / np.maximum(gap_s, 1e-6)
    allowed = budget_per_day / max(entities, 1) * CLUSTER / events_per_day
    line = np.maximum(least, -np.log10(np.minimum(allowed, 1.0)))
    return (line * (1 + YOUNG / (YOUNG + judged))).astype(np.float32)


def rising(level: F32, recent: F32, factor: float) -> Bool:
    """Return whether a level exceeds the highest recent level (N, refractory) by a factor."""
    return level > factor * recent.max(axis=1, initial=0)


def kth_largest(recent: F32, k: int) -> F32:
    """Return the k-th largest of each row (N, n); it is >= 1 exactly if k of n are."""
    return np.partition(recent, -k, axis=1)[:, -k]


def deviates(values: F32, expected: F32, settings: DetectSettings) -> Bool:
    """Return (N,) whether a watched channel deviates by the floors, in the set direction."""
    off = values - expected
    off = (
        off
        if settings.direction == "above"
        else -off
        if settings.direction == "below"
        else np.abs(off)
    )
    floor = np.maximum(settings.min_deviation, settings.min_relative * np.abs(expected))
    # a comparison with NaN is False
    return np.asarray(((off >= floor) & np.array(settings.watched)).any(axis=1))


def led_by_rhythm(parts: F32, level: F32) -> Bool:
    """Return whether the rhythm, the last of the parts (N, P), is over half of the level (N,)."""
    return parts[:, -1] > 0.5 * level


class Decider:
    """Turns levels into alarms for one stream; it keeps the recent levels of every slot."""

    def __init__(self, settings: DetectSettings) -> None:
        self._settings = settings
        slots = settings.max_entities
        self._levels = np.zeros((slots, max(settings.refractory_events, 1)), np.float32)
        self._latest = np.zeros((slots, settings.n_of), np.float32)
        self._incident_penalty = np.zeros(slots, np.float32)  # log factor on the line
        self._feedback_penalty = np.zeros(slots, np.float32)  # log factor on the line from labels
        self._pace = np.float32(
            INCIDENT_PENALTY * settings.budget_per_day / max(settings.expected_entities, 1) / DAY_S
        )

    def decide(
        self, slots: I64, judged: I64, level: F32, gap_s: F32, elapsed_s: F64, free: Bool
    ) -> tuple[F32, F32]:
        """Return (alarm, scaled) of N events: the decision, >= 1 for an alarm, and level over line.

        `gap_s` (N,) is the typical gap, `elapsed_s` (N,) the time since the entity's previous
        event. `free` (N,) says which events may alarm: beyond the floors and not in cooldown. The
        level of an event that may not alarm is stored as 0, so it does not hold back later ones.
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
        """Raise the lines of slots in which an incident was opened."""
        self._incident_penalty[slots] += INCIDENT_PENALTY

    def stricter(self, slots: I64) -> None:
        """Raise the lines of slots after a label false_alarm."""
        self._feedback_penalty[slots] = np.minimum(
            self._feedback_penalty[slots] + STRICTER, STRICTEST
        )

    def trust(self, slots: I64, times: int = 1) -> None:
        """Take back the raise of `times` false alarms, after a label confirmed or unsure."""
        self._feedback_penalty[slots] = np.maximum(
            self._feedback_penalty[slots] - times * STRICTER, 0
        )

    def forgive(self, slots: I64) -> None:
        """Take back the raise of the last incident; it does not count against the budget."""
        self._incident_penalty[slots] = np.maximum(
            self._incident_penalty[slots] - INCIDENT_PENALTY, 0
        )

    def factors(self, slot: int) -> tuple[float, float]:
        """Return the factors on the alarm line of a slot: from labels, and from incidents."""
        return math.exp(self._feedback_penalty[slot]), math.exp(self._incident_penalty[slot])

    def _sustained(self, slots: I64, judged: I64, level: F32) -> F32:
        """Return the level that k of the last n events reached.

        The refractory compares this level. With single levels a lasting fault would never be k of
        n.
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
