"""A challenger judges along silently: what it would have told is compared with what was told."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.config.model import Watch
from streamer.event import Alert
from streamer.lifecycle.incident_matching import CHAMPION, Agreement, OpenedIncident, Pairs
from streamer.lifecycle.promotion_rules import objection
from streamer.lifecycle.shadow import Shadow, hashed
from streamer.lifecycle.shadow_report import ShadowReport
from tests.lifecycle.training_world import Room, loaded, pieces, traffic
from tests.runtime.world import alert_at

BOUNDS, PROMISED = Watch(), 60.0


def seated(room: Room, version: str = "c", factor: float = 1.0, share: float = 1.0) -> Shadow:
    shadow = Shadow(loaded(version, factor), [room.processor], share, clock=room.clock)
    room.shadow_slot.offer(shadow)
    return shadow


def test_the_same_network_as_a_challenger_agrees_in_everything() -> None:
    room = Room()
    room.feed(traffic(1500).rows(slice(0, 400)))
    shadow = seated(room)
    for batch in pieces(traffic(1500).rows(slice(400, None)), 50):
        room.feed(batch)
    report = shadow.report
    assert report.events > 500
    assert report.pairs.same > 0, "the stream has faults: silence would prove nothing"
    assert (report.pairs.extra, report.pairs.lost, report.unsure) == (0, 0, 0)
    assert report.agreement.correlation == pytest.approx(1, abs=1e-6)
    assert objection(report, BOUNDS, PROMISED) is None


def test_a_shadow_changes_nothing_that_is_told() -> None:
    plain, shadowed = Room(), Room()
    for i, batch in enumerate(pieces(traffic(1500), 50)):
        if i == 8:
            seated(shadowed, factor=1.1)
        plain.feed(batch)
        shadowed.feed(batch)
    assert plain.sink.alerts == shadowed.sink.alerts
    for (_, a, _), (_, b, _) in zip(plain.scores.written, shadowed.scores.written, strict=True):
        np.testing.assert_array_equal(a.score, b.score)


def test_a_share_of_the_entities_is_compared_and_no_other() -> None:
    room = Room()
    shadow = seated(room, share=0.5)
    names = traffic(10).keys
    wanted = {name for name in names if hashed(name) < 0.5}
    assert 0 < len(wanted) < len(names)
    for batch in pieces(traffic(1200), 100):
        room.feed(batch)
    twin = next(iter(shadow._twins.values())).detectors[0]
    assert twin.entities_active == len(wanted)
    assert 0 < shadow.report.events < sum(events for _, events in room.judged)


@pytest.mark.parametrize("known_first", [True, False])
def test_a_share_into_which_nobody_falls_is_raised(known_first: bool) -> None:
    room = Room()
    if known_first:
        room.feed(traffic(100))
    shadow = seated(room, share=1e-6)
    for batch in pieces(traffic(1200).rows(slice(100 * known_first, None)), 100):
        room.feed(batch)
    assert shadow.report.share == 1.0, "of eight entities at least eight"
    assert shadow.report.events > 100
    assert objection(shadow.report, BOUNDS, PROMISED) is None


@pytest.mark.parametrize("share", [1.0, 0.5])
def test_an_equal_challenger_is_not_slow_whatever_its_share_is(share: float) -> None:
    """A batch takes the same time whatever it holds, as small batches do: the clock ticks at every
    look.
    """
    ticks = itertools.count()
    room = Room(clock=lambda: 1e-3 * next(ticks))
    shadow = seated(room, share=share)
    for batch in pieces(traffic(1200), 50):
        room.feed(batch)
    assert shadow.report.events > 20
    assert 0 < shadow.report.slowdown <= 1


def test_a_challenger_that_went_leaves_nothing_behind() -> None:
    room = Room()
    shadow = seated(room)
    room.feed(traffic(100))
    assert room.current.state.challenger is not None
    room.shadow_slot.offer(None)
    room.scoring_loop.step()
    assert room.current.state.challenger is None
    assert room.shadow_slot.report is None
    compared = shadow.report.events
    room.feed(traffic(200).rows(slice(100, None)))
    assert shadow.report.events == compared


def shares(waiting: int, entities: int) -> list[float]:
    """Of a challenger in 15 s in which so many batches wait after each turn: the mailbox holds
    four.
    """
    now = [0.0]
    room = Room(clock=lambda: now[0])
    shadow = seated(room)
    room.processor.inlet.batch_rows = 20  # what waits is not judged together
    for batch in pieces(traffic(600, entities=entities), 20):
        room.source.add(batch)
    found = []
    for _ in range(5):
        while len(room.processor.inlet.mailbox) <= waiting:
            room.reader.step(0.0)
        room.scoring_loop.step()
        found.append(shadow.report.share)
        now[0] += 3.0
    return found


def test_where_judging_falls_behind_half_of_the_entities_are_let_go() -> None:
    assert shares(waiting=3, entities=64) == [1, 1, 0.5, 0.5, 0.25]


def test_what_is_busy_and_keeps_up_is_not_behind() -> None:
    assert shares(waiting=1, entities=64) == [1, 1, 1, 1, 1]


def test_however_far_behind_some_entities_are_still_compared() -> None:
    assert shares(waiting=3, entities=16) == [1, 1, 0.5, 0.5, 0.5]


def test_a_partition_that_goes_takes_its_twins_along() -> None:
    room = Room(partitioned=True)
    shadow = seated(room)
    for partition in (0, 1):
        room.feed(replace(traffic(50), partition=partition), steps=2)
    assert len(shadow._twins) == 2
    room.processor.partitions.revoke(next(iter(room.processor.partitions)).lease)
    room.scoring_loop.step()
    assert len(shadow._twins) == 1


# -- pairs
def told(entity: str, event: str, second: int) -> Alert:
    at = f"2026-01-01T00:00:{second:02d}Z"
    return replace(
        alert_at(second), entity=entity, incident_key=f"s:{entity}", event=event, detected_at=at
    )


@pytest.mark.parametrize(
    ("champion", "challenger", "same", "extra", "lost"),
    [
        ([("p", "opened", 1)], [("p", "opened", 3)], 1, 0, 0),
        ([("p", "opened", 3)], [("p", "opened", 1)], 1, 0, 0),
        ([("p", "opened", 1), ("p", "resolved", 2)], [("p", "opened", 3)], 0, 1, 1),
        ([("p", "opened", 1)], [("q", "opened", 1)], 0, 1, 1),
        (
            [("p", "opened", 1)],
            [("p", "opened", 2), ("p", "resolved", 3), ("p", "opened", 4)],
            1,
            1,
            0,
        ),
        ([("p", "opened", 2), ("p", "resolved", 2)], [("p", "opened", 2)], 1, 0, 0),
    ],
)
def test_incidents_are_the_same_if_they_overlap(
    champion: list[tuple[str, str, int]],
    challenger: list[tuple[str, str, int]],
    same: int,
    extra: int,
    lost: int,
) -> None:
    pairs = Pairs()
    pairs.hear([told(*one) for one in champion], [told(*one) for one in challenger])
    assert (pairs.same, pairs.extra, pairs.lost) == (same, extra, lost)


def test_outcomes_are_told_by_what_people_said() -> None:
    pairs = Pairs()
    pairs.hear(
        [told("p", "opened", 1), told("q", "opened", 1)],
        [told("p", "opened", 2), told("r", "opened", 3)],
    )
    said = {"p": "confirmed", "q": "confirmed", "r": "false_alarm"}
    by_label = pairs.by_label(lambda incident: said.get(incident.entity))
    assert by_label == {"confirmed": {"same": 1, "lost": 1}, "false_alarm": {"extra": 1}}


@given(
    st.lists(
        st.tuples(st.floats(0, 50, width=32), st.floats(0, 50, width=32)), min_size=3, max_size=60
    )
)
def test_the_correlation_in_pieces_is_that_of_the_whole(rows: list[tuple[float, float]]) -> None:
    a, b = np.array(rows, np.float32).T
    whole, cut = Agreement(), Agreement()
    whole.add(a, b)
    for part in (slice(0, 2), slice(2, None)):
        cut.add(a[part], b[part])
    assert cut.correlation == pytest.approx(whole.correlation, abs=1e-6)
    if np.log1p(a).std() > 0.01 and np.log1p(b).std() > 0.01:
        want = np.corrcoef(np.log1p(a.astype(float)), np.log1p(b.astype(float)))[0, 1]
        assert whole.correlation == pytest.approx(want, abs=1e-4)


# -- the verdict
def report(champion: int = 10, challenger: int = 10, **more: float) -> ShadowReport:
    made = ShadowReport("c", events=10_000)
    made.pairs.opened = [champion, challenger]
    made.agreement.add(np.arange(9, dtype=np.float32), np.arange(9, dtype=np.float32))
    made.champion_s, made.challenger_s = 1.0, more.get("slowdown", 1.0)
    made.unsure = int(more.get("unsure", 0))
    return made


def missing(confirmed: int) -> ShadowReport:
    """Of incidents that people confirmed, so many were the champion's alone."""
    made = report()
    made.pairs.incidents.extend(
        OpenedIncident(CHAMPION, "s", "e", "2026-01-31T12:00:00Z") for _ in range(confirmed)
    )
    made.label_of = lambda incident: "confirmed"
    return made


def test_a_silence_that_the_budgets_promise_is_no_objection() -> None:
    assert objection(report(champion=100, challenger=0), BOUNDS, 10.0) is None


def test_fewer_incidents_are_no_objection() -> None:
    assert objection(report(100, 10), BOUNDS, PROMISED) is None


@pytest.mark.parametrize(
    ("champion", "challenger", "same", "surely"),
    [
        (29, 79, 29, True),  # adds much to what both found
        (200, 215, 195, False),  # a few among many
        (100, 130, 20, False),  # each finds others: nobody is surely noisier
        (0, 5, 0, False),  # a handful says nothing about a rate
        (0, 12, 0, True),
    ],
)
def test_who_surely_opens_more_incidents_is_no_better(
    champion: int, challenger: int, same: int, surely: bool
) -> None:
    made = report(champion, challenger)
    made.pairs.same = same
    assert (objection(made, BOUNDS, PROMISED) is not None) == surely


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        (report(challenger=46), "46 incidents"),
        (report(unsure=50), "no score"),
        (report(slowdown=3.5), "3.5 times"),
        (ShadowReport("c", events=10_000), "nothing to do"),
        (report(champion=100, challenger=0), "all but silent"),
        (missing(confirmed=1), "misses 1 incidents that people confirmed"),
    ],
)
def test_what_speaks_against_a_challenger_is_said(bad: ShadowReport, why: str) -> None:
    assert why in str(objection(bad, BOUNDS, PROMISED))
