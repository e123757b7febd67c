"""Laws of the replay loop: every row once, in input order, whatever the cut; nothing
looks ahead.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamer.artifact import ModelSpec
from streamer.backends import baseline_scorer
from streamer.connect.memory import MemorySource
from streamer.detect.pipeline import Detector
from streamer.event import Alert, EventBatch, Fate, Poll, Rejected, Scores
from streamer.offline.score import (
    Joint,
    Outputs,
    Panel,
    TrackRecorder,
    gravest,
    replay,
    silenced,
    whole_rows,
)
from streamer.settings import DetectSettings

CHANNELS = ("a", "b")
few = settings(max_examples=10)  # each example is a whole replay


def events(
    n: int, first: int = 0, keys: tuple[str, ...] = ("pump",), jump: int = 150
) -> EventBatch:
    """A noisy series with one large jump."""
    row = np.arange(first, first + n, dtype=np.float64)
    values = (
        np.stack([np.sin(row / 5), np.cos(row / 7)], axis=1) + 0.01 * np.sin(row * row)[:, None]
    )
    values[row == jump] += 40
    entity = (row % len(keys))[:, None].astype(np.int32)
    return EventBatch(
        "s", "s", 0, keys, entity, 1e9 + 60.0 * row, values.astype(np.float32), row.astype(np.int64)
    )


def polls(batch: EventBatch, cuts: Sequence[int]) -> list[Poll]:
    edges = [0, *sorted(cuts), len(batch)]
    return [Poll((batch.rows(slice(a, b)),)) for a, b in itertools.pairwise(edges) if b > a]


def detector(entities: int = 1, key: int = 0) -> Detector:
    settings = DetectSettings(stream="s", channels=CHANNELS, max_entities=entities)
    return Detector(settings, baseline_scorer(ModelSpec()), ModelSpec(), key=key)


@dataclass
class Pages:
    """A source of given polls."""

    pages: list[Poll]
    channels: tuple[str, ...] = CHANNELS

    def poll(self, timeout_s: float) -> Poll | None:
        return self.pages.pop(0) if self.pages else None


@dataclass
class Kept:
    """What came out, in order."""

    rows: list[int] = field(default_factory=list)
    score: list[float] = field(default_factory=list)
    alarm: list[float] = field(default_factory=list)
    fate: list[int] = field(default_factory=list)
    alerts: list[Alert] = field(default_factory=list)

    def take(self, batch: EventBatch, scores: Scores) -> None:
        self.rows += batch.offset.tolist()
        self.score += scores.score.tolist()
        self.alarm += scores.alarm.tolist()
        self.fate += scores.fate.tolist()


def run(pages: list[Poll], fit_rows: int = 0) -> Kept:
    kept = Kept()
    ticks = itertools.count()
    outputs = Outputs(kept.take, kept.alerts.append)
    replay(Pages(pages), detector(), outputs, clock=lambda: float(next(ticks)), fit_rows=fit_rows)  # type: ignore[arg-type]
    return kept


def test_a_replay_reads_any_source_to_its_end() -> None:
    outcome = replay(MemorySource([events(40)]), detector(), Outputs(), clock=lambda: 0.0)
    assert outcome.rows == 40
    assert outcome.rows_per_s == 0  # no time passed on this clock


@few
@given(st.lists(st.integers(1, 219), max_size=5))
def test_the_cut_into_polls_changes_nothing(cuts: list[int]) -> None:
    whole, cut = run(polls(events(220), [])), run(polls(events(220), cuts))
    assert cut.rows == whole.rows == list(range(220))
    assert np.allclose(cut.score, whole.score, atol=1e-5)
    assert [alert.alert_id for alert in cut.alerts] == [alert.alert_id for alert in whole.alerts]


@few
@given(st.integers(1, 219))
def test_the_scores_of_a_prefix_are_the_prefix_of_the_scores(n: int) -> None:
    whole, prefix = run(polls(events(220), [])), run(polls(events(n), []))
    assert np.allclose(prefix.score, whole.score[:n], atol=1e-5)


def test_a_jump_raises_an_alert_at_its_row() -> None:
    pages = Pages(polls(events(700, jump=600), [100]))
    outcome = replay(pages, detector(), Outputs(), clock=lambda: 0.0)  # type: ignore[arg-type]
    assert 600 in [alert.window.last_offset for alert in outcome.opened if alert.window]
    assert outcome.alarms >= len(outcome.opened)


@few
@given(st.integers(0, 260))
def test_rows_that_teach_never_alarm_and_never_look_ahead(fit_rows: int) -> None:
    kept, plain = run(polls(events(220), [64]), fit_rows), run(polls(events(220), [64]))
    assert all(fate == Fate.WARMING for fate in kept.fate[:fit_rows])
    assert all(alarm == 0 for alarm in kept.alarm[:fit_rows])
    assert kept.score[fit_rows:] == plain.score[fit_rows:]
    assert all(
        alert.window is None or alert.window.last_offset >= fit_rows for alert in kept.alerts
    )


def test_silenced_rows_keep_their_forecast_and_nothing_else() -> None:
    scores = detector().process(events(60)).scores
    quiet = silenced(scores)
    assert np.array_equal(quiet.expected, scores.expected, equal_nan=True)
    assert not quiet.score.any()
    assert not (quiet.fate == Fate.SCORED).any()


def bad(offset: int) -> Rejected:
    return Rejected(offset, "bad_json", "not an object", b"{")


@given(st.sets(st.integers(0, 29), max_size=30))
def test_rejected_records_take_their_place_among_the_rows(where: set[int]) -> None:
    good = np.array([row for row in range(30) if row not in where], np.int64)
    batch = events(30).rows(good)
    page = Poll((batch,) if len(batch) else (), tuple(bad(offset) for offset in sorted(where)))
    kept = run([page])
    assert kept.rows == list(range(30))
    assert {
        row for row, fate in zip(kept.rows, kept.fate, strict=True) if fate == Fate.DEAD_LETTERED
    } == where


def test_what_was_rejected_is_told_by_reason_with_its_first_row() -> None:
    page = Poll((events(5),), (bad(7), bad(9)))
    outcome = replay(Pages([page]), detector(), Outputs(), clock=lambda: 0.0)  # type: ignore[arg-type]
    assert outcome.reasons == {"bad_json": 2}
    assert outcome.first_rejected == bad(7)
    assert outcome.fates[Fate.DEAD_LETTERED] == 2


def test_a_poll_of_rejected_records_alone_has_the_columns_of_the_stream() -> None:
    ((batch, scores),) = whole_rows([], [bad(3)], channels=2)
    assert batch.values.shape == (1, 2)
    assert scores.parts.shape == (1, 3)
    assert batch.keys[batch.entity[0, 0]] == ""


def test_a_panel_keeps_for_each_row_the_judge_most_alarmed() -> None:
    quiet, loud = (detector().process(events(3)).scores for _ in range(2))
    loud.alarm[1], loud.score[2] = 2.0, 0.5
    merged = gravest([quiet, loud])
    assert merged.alarm.tolist() == [0, 2, 0]
    assert merged.score.tolist() == pytest.approx([0, 0, 0.5])


def test_a_panel_passes_on_the_alerts_of_every_judge() -> None:
    batch = events(220)
    pair = EventBatch(
        "s",
        "s",
        0,
        batch.keys,
        np.repeat(batch.entity, 2, axis=1),
        batch.time_s,
        batch.values,
        batch.offset,
    )
    verdict = Panel([detector(key=0), detector(key=1)]).process(pair)
    assert isinstance(verdict, Joint)
    alone = detector().process(batch).alerts
    assert len({alert.alert_id for alert in verdict.alerts}) == 2 * len(
        {alert.alert_id for alert in alone}
    )


def test_a_recorder_keeps_the_rows_of_each_entity_apart() -> None:
    recorder, batch = TrackRecorder(CHANNELS), events(100, keys=("x", "y"))
    recorder.take(batch, detector(2).process(batch).scores)
    assert recorder.entities().keys() == {"x", "y"}
    assert recorder.track("y").row.tolist() == list(range(1, 100, 2))
    assert not recorder.full


def test_a_recorder_stops_at_its_limit_and_says_so() -> None:
    recorder, judge = TrackRecorder(CHANNELS, limit_rows=30), detector()
    for start in (0, 20, 40):
        batch = events(20, start)
        recorder.take(batch, judge.process(batch).scores)
    assert recorder.rows == 30
    assert recorder.full
    with pytest.raises(ValueError, match="no rows of entity 'z'"):
        recorder.track("z")
