"""Names of entities, and floods of them: memory is constant, and every event still has one fate."""

from __future__ import annotations

import json
from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamer.event import Fate
from tests.detect.logs import FAULT, Row, fault, in_order, log, quiet, run, simple, told

STRANGE = [
    "",
    " ",
    "\x00",
    "Ünïcödé-机器",
    "👩‍🏭",
    "a\nb",
    "\x1f",
    "x" * 100_000,
    "\ud800",
    "e\u0301",
    "\u00e9",
    "*",
]


@pytest.mark.parametrize("name", STRANGE)
def test_any_text_is_a_name(name: str) -> None:
    detector = simple()
    alerts = run(detector, quiet(name, 300) + fault(name, 3010)).alerts
    assert [alert.entity for alert in alerts] == [name]
    assert json.loads(json.dumps(asdict(alerts[0])))["entity"] == name
    again = simple()
    again.load(detector.dump())
    assert [n for n, _ in again.slots.items()] == [name]


def test_names_that_look_alike_are_different_entities() -> None:
    names = ["a", "A", "a ", " a", "e\u0301", "\u00e9", ""]
    detector = simple()
    run(detector, in_order(*(quiet(name, 20, seed=i) for i, name in enumerate(names))))
    assert detector.entities_active == len(names)


@settings(max_examples=10)
@given(st.lists(st.text(max_size=8), min_size=1, max_size=40), st.integers(1, 4))
def test_memory_is_constant_and_fates_add_up_whoever_comes(names: list[str], room: int) -> None:
    detector = simple(max_entities=room)
    before = detector.memory_bytes
    run(detector, [Row(name, float(i), 1.0) for i, name in enumerate(names)], cut=7)
    assert detector.memory_bytes == before
    assert detector.fates.sum() == len(names)
    assert detector.entities_active == min(len(set(names)), room)


def test_a_flood_of_unknown_entities_is_survived_within_the_arena() -> None:
    detector = simple(max_entities=4)
    before = detector.memory_bytes
    rows = [Row(f"visitor-{i}", float(i), 1.0) for i in range(5000)]
    judged = run(detector, rows, cut=500)
    assert (judged.scores.fate == Fate.WARMING).all()
    assert detector.fates[Fate.WARMING] == 5000
    assert detector.evicted == {"lru": 4996, "idle": 0}
    assert detector.memory_bytes == before
    assert detector.entities_active == 4


def test_an_entity_seen_often_survives_a_flood_of_strangers() -> None:
    """Least recently seen: one event between strangers is enough to stay."""
    strangers = [Row(f"v{i}", 10.0 * i + 5, 1.0) for i in range(250)]
    detector = simple(max_entities=3)
    judged = run(detector, in_order(quiet("p", 250), strangers, fault("p", 2501)))
    assert told(judged.alerts) == [("p", "opened")]


def test_who_lives_in_a_slot_after_another_is_judged_as_if_it_had_been_empty() -> None:
    used, new = simple(max_entities=1), simple(max_entities=1)
    run(used, [Row("q", 5.0 * i, 1e6 * i) for i in range(400)])
    rows = quiet("p", 150, start_s=1e4) + fault("p", 2e4)
    a, b = run(used, rows, first_offset=400), run(new, rows, first_offset=400)
    np.testing.assert_array_equal(a.scores.score, b.scores.score)
    np.testing.assert_array_equal(a.scores.expected, b.scores.expected)


def test_two_names_for_one_entity_in_a_batch_are_one_entity() -> None:
    """A source may list a name twice in its dictionary."""
    batch = log(quiet("p", 60))
    twice = type(batch)(
        "s",
        "t",
        0,
        ("p", "p"),
        (np.arange(60) % 2).astype(np.int32)[:, None],
        batch.time_s,
        batch.values,
        batch.offset,
    )
    plain, doubled = simple(), simple()
    np.testing.assert_array_equal(
        plain.process(batch).scores.score, doubled.process(twice).scores.score
    )
    assert doubled.entities_active == 1


def test_an_empty_batch_is_nothing() -> None:
    detector = simple()
    judged = detector.process(log([]))
    assert (len(judged.scores.fate), judged.alerts, detector.fates.sum()) == (0, [], 0)


def test_the_neighbours_fault_is_not_my_fault() -> None:
    rows = in_order(quiet("p", 200), quiet("q", 200, start_s=3.0, seed=1))
    wild = [row._replace(value=row.value * FAULT) if row.entity == "q" else row for row in rows]
    a, b = run(simple(), rows), run(simple(), wild)
    mine = np.array([row.entity == "p" for row in rows])
    np.testing.assert_allclose(a.scores.score[mine], b.scores.score[mine], atol=1e-6)
