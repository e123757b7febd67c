"""Labels reach the detectors of a stream: new ones once, earlier ones with the entities that come."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from streamer.artifact import ModelSpec
from streamer.backends import baseline_scorer
from streamer.connect.memory import MemorySource
from streamer.detect.alerts.alarm_line import STRICTER
from streamer.detect.pipeline import Detector
from streamer.event import Assigned, EventBatch, Lease, Poll
from streamer.feedback.label_feed import KEPT, LabelFeed
from streamer.journal import Label, LabelKind
from streamer.runtime.label_delivery import FRESH_EVERY_S, LabelDelivery
from streamer.runtime.partitions import Partitions
from streamer.settings import DetectSettings
from tests.runtime.world import Hands, HighJudge, World, batch_of, world

LABEL = Label(LabelKind.FALSE_ALARM, "s", "pump", 0.0, np.inf)


def numbered(*numbers: int, **fields: str) -> list[Label]:
    return [replace(LABEL, number=number, **fields) for number in numbers]  # type: ignore[arg-type]


def tick(w: World, later_s: float = 1.0) -> None:
    w.clock.now += later_s
    w.processor.tick(flowing=True)


def judging(keys: int = 1) -> World:
    """A world whose only partition is live."""
    w = world([batch_of([1.0], 0)], keys=keys)
    w.read(1)
    w.score()
    return w


def test_every_detector_is_given_each_label_of_its_stream_once() -> None:
    w = judging(keys=2)
    feed = w.feedback.label_feed
    for more in (numbered(1, 2), numbered(3, stream="another"), numbered(4), []):
        feed.put(more)
        tick(w)
        tick(w, FRESH_EVERY_S)
    assert [detector.given for detector in w.detectors] == [[[1, 2], [4]]] * 2


def test_what_a_label_changed_is_logged() -> None:
    w = judging()
    w.feedback.label_feed.put(numbered(7))
    with capture_logs() as lines:
        tick(w)
    assert [(line["event"], line["number"]) for line in lines] == [("label_applied", 7)]


def test_an_entity_that_comes_later_and_no_other_hears_its_earlier_labels() -> None:
    w = judging()
    w.feedback.label_feed.put([*numbered(1, 3), *numbered(4, entity="valve")])
    tick(w, FRESH_EVERY_S)
    w.detectors[0].fresh = ["valve", "stranger"]
    tick(w)
    assert w.detectors[0].given == [[1, 3, 4]], "it is not looked for more often"
    tick(w, FRESH_EVERY_S)
    assert w.detectors[0].given[1:] == [[4]]


def test_a_new_label_of_an_entity_that_came_is_given_behind_its_earlier_ones() -> None:
    """A detector never acts on a label below the number of the last one that an entity heard."""
    w = judging()
    w.feedback.label_feed.put(numbered(1, 2))
    tick(w, FRESH_EVERY_S)
    w.detectors[0].fresh = ["pump"]
    w.feedback.label_feed.put(numbered(5))
    tick(w)
    assert w.detectors[0].given == [[1, 2], [1, 2, 5]]


def test_a_partition_that_comes_hears_all_labels_once_its_memory_is_rebuilt() -> None:
    lease, opened = Lease("t", 0, 1), []

    def open_judges(partitions: int) -> list[HighJudge]:
        opened.append(HighJudge())
        return opened[-1:]

    source = MemorySource([Poll(assigned=(Assigned(lease, 2, 0),))], endless=True)
    w = World(source, partitions=Partitions(open_judges, pace=0.0))
    w.feedback.label_feed.put(numbered(1, 2))
    given = []
    for offset in range(3):
        w.read(1)
        w.score()
        tick(w, FRESH_EVERY_S)
        given.append(list(opened[0].given))
        source.add(batch_of([1.0], offset, epoch=1))
    assert given == [[], [], [[1, 2]]]


STREAM = DetectSettings(stream="s", max_entities=2, min_evidence=3.0, rhythm=False)


class Plant:
    """A detector that remembers two entities, in a partition, and the labels on their way to it."""

    def __init__(self, max_entities: int = 2) -> None:
        settings = replace(STREAM, max_entities=max_entities)
        self.detector = Detector(settings, baseline_scorer(ModelSpec()), ModelSpec())
        self.partitions = Partitions.whole([self.detector], 0.0)
        self.feed, self.clock, self.offset = LabelFeed(), Hands(), 0
        self.delivery = LabelDelivery(self.feed, "s", clock=self.clock)

    def see(self, *entities: str) -> None:
        """One event of each."""
        n = len(entities)
        offset = np.arange(self.offset, self.offset + n)
        self.offset += n
        entity, values = np.arange(n, dtype=np.int32)[:, None], np.zeros((n, 1), np.float32)
        self.detector.process(
            EventBatch("s", "t", 0, entities, entity, offset.astype(np.float64), values, offset)
        )

    def deliver(self, later_s: float = FRESH_EVERY_S) -> None:
        self.clock.now += later_s
        self.delivery.deliver(self.partitions, lambda alerts: None)

    def steps(self, entity: str) -> int:
        """By how many steps what people said has raised the alarm line of an entity."""
        slot = self.detector.slots.find(entity)
        return round(float(self.detector.decider.state()["stance"][slot]) / STRICTER)


def test_an_entity_that_comes_after_its_label_hears_it() -> None:
    plant = Plant()
    plant.feed.put([*numbered(1), *numbered(2, entity="valve")])
    plant.see("valve")
    plant.deliver()
    plant.see("pump")
    plant.deliver()
    assert (plant.steps("pump"), plant.steps("valve")) == (1, 1)


def test_an_entity_that_was_forgotten_hears_its_labels_again() -> None:
    plant = Plant()
    plant.feed.put(numbered(1))
    plant.see("pump")
    plant.deliver()
    plant.see("a", "b")
    plant.see("pump")
    assert plant.steps("pump") == 0
    plant.deliver()
    assert plant.steps("pump") == 1


@given(st.lists(st.sampled_from(["see", "label", "deliver", "evict"]), max_size=30))
def test_whatever_the_order_an_entity_has_heard_all_its_labels_after_a_delivery(
    order: list[str],
) -> None:
    plant, said = Plant(), 0
    for step in [*order, "see", "deliver"]:
        if step == "see":
            plant.see("pump")
        elif step == "label" and said < 4:  # the line is at its highest after five
            said += 1
            plant.feed.put(numbered(said))
        elif step == "deliver":
            plant.deliver()
        elif step == "evict":
            plant.see("a", "b")
    assert plant.steps("pump") == said


def test_who_is_unsure_withdraws_labels_that_were_given_long_before() -> None:
    plant = Plant()
    plant.see("pump")
    for number, kind in enumerate((LabelKind.FALSE_ALARM, LabelKind.FALSE_ALARM, LabelKind.UNSURE)):
        plant.feed.put([replace(LABEL, kind=kind, number=number + 1)])
        plant.deliver()
    assert plant.steps("pump") == 0


@pytest.mark.parametrize("admitted", [1, 100])
def test_only_entities_that_have_labels_are_named_as_fresh_and_only_once(admitted: int) -> None:
    plant = Plant(max_entities=200)
    plant.see("pump", *(f"e{n}" for n in range(admitted)))
    among = {"pump", "valve", *(f"x{n}" for n in range(10))}
    assert plant.detector.take_fresh(among) == ["pump"]
    assert plant.detector.take_fresh(among) == []


def test_ten_thousand_labels_that_were_heard_cost_nothing_any_more() -> None:
    """Under 0.5 ms for a whole look on any machine; to give all of them again takes 2 to 6 ms."""
    plant = Plant()
    plant.see("pump")
    plant.feed.put([replace(LABEL, entity=f"e{n}", number=n + 1) for n in range(KEPT)])
    plant.deliver()
    took = []
    for _ in range(20):
        began = time.perf_counter()
        plant.deliver()
        took.append(time.perf_counter() - began)
    assert min(took) < 5e-4
