"""What people say of incidents acts on their entity, once, and on nobody else."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest

from streamer.artifact import ModelSpec
from streamer.backends import baseline_scorer
from streamer.detect.alerts.alarm_line import STRICTER
from streamer.detect.alerts.feedback import Effect
from streamer.detect.pipeline import Detector
from streamer.event import F64, Alert, EventBatch
from streamer.journal import Label, LabelKind
from streamer.settings import DetectSettings

SETTINGS = DetectSettings(max_entities=8, min_evidence=3.0, rhythm=False, refractory_events=20)
SAID = Label(LabelKind.CONFIRMED, "stream", "pump", 0.0, np.inf, number=1)
QUIET, EVENTS = 400, 600


class Plant:
    """Two entities whose values are noise around 0, except that pump's are `level` off when told
    so.
    """

    def __init__(self, seed: int = 0, settings: DetectSettings = SETTINGS) -> None:
        self.detector = Detector(settings, baseline_scorer(ModelSpec()), ModelSpec())
        self._rng, self._at = np.random.default_rng(seed), 0

    def run(self, events: int, level: float = 0.0, noise: float = 1.0) -> list[Alert]:
        values: F64 = noise * self._rng.normal(0, 1, (2 * events, 1))
        values[::2] += level
        number = np.arange(self._at, self._at + 2 * events)
        self._at += 2 * events
        entity = (number % 2).astype(np.int32)[:, None]
        time_s = 1e9 + number.astype(np.float64)
        batch = EventBatch(
            "stream", "t", 0, ("pump", "valve"), entity, time_s, values.astype(np.float32), number
        )
        return self.detector.process(batch).alerts

    def fault(self) -> Alert:
        """An incident of the pump, still open."""
        self.run(QUIET)
        opened = [alert for alert in self.run(6, level=40.0) if alert.event == "opened"]
        assert [alert.entity for alert in opened] == ["pump"]
        return opened[0]

    def hear(self, kind: LabelKind, alert: Alert | None = None, number: int = 1) -> list[Alert]:
        return self.detector.apply_labels(
            [replace(SAID, kind=kind, alert_id=alert.alert_id if alert else "", number=number)]
        )

    def line(self, entity: str = "pump") -> float:
        """By how much what people said raises the alarm line (log)."""
        slot = self.detector.slots.find(entity)
        return float(self.detector.decider.state()["stance"][slot])

    def strain(self, entity: str = "pump") -> float:
        return float(self.detector.decider.state()["strain"][self.detector.slots.find(entity)])


@pytest.fixture
def plant(seed: int = 0) -> Plant:
    return Plant(seed)


@pytest.mark.parametrize("kind", [LabelKind.EXPECTED, LabelKind.FALSE_ALARM, LabelKind.NEW_NORMAL])
def test_an_incident_that_is_none_ends_at_once_under_its_own_id_and_says_why(
    plant: Plant, kind: LabelKind
) -> None:
    opened = plant.fault()
    (ended,) = plant.hear(kind, opened)
    assert (ended.alert_id, ended.event, ended.status) == (opened.alert_id, "resolved", "resolved")
    assert ended.reasons == [f"LABELLED_{kind.upper()}"]
    assert plant.detector.open_incidents == 0


@pytest.mark.parametrize("kind", [LabelKind.CONFIRMED, LabelKind.UNSURE])
def test_an_incident_that_is_one_stays_open(plant: Plant, kind: LabelKind) -> None:
    assert plant.hear(kind, plant.fault()) == []
    assert plant.detector.open_incidents == 1


def test_a_label_of_another_incident_ends_nothing(plant: Plant) -> None:
    plant.fault()
    other = replace(SAID, kind=LabelKind.FALSE_ALARM, alert_id="0" * 32)
    assert plant.detector.apply_labels([other]) == []
    assert plant.detector.open_incidents == 1


def test_a_false_alarm_raises_the_line_of_its_entity_alone_and_for_good(plant: Plant) -> None:
    plant.hear(LabelKind.FALSE_ALARM, plant.fault())
    plant.run(EVENTS)
    assert plant.line() == pytest.approx(STRICTER)
    assert plant.line("valve") == 0


def test_what_was_called_a_false_alarm_often_enough_does_not_fire_again() -> None:
    """The same fault of the same size, in a world that heard of it and in one that did not."""
    told, untold = Plant(), Plant()
    for world in (told, untold):
        world.run(QUIET)
    told.detector.apply_labels(
        [replace(SAID, kind=LabelKind.FALSE_ALARM, number=n) for n in range(1, 6)]
    )
    sizes = [level for level in (4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 12.0) if _fires(untold, level)]
    assert sizes, "no fault of these sizes fires"
    assert not _fires(told, sizes[0])
    assert _fires(told, 400.0), "a grave fault is never out of reach"


def _fires(world: Plant, level: float) -> bool:
    """Whether a fault of that size would open an incident; the world stays as it was."""
    copy = Plant(seed=7)
    copy.detector.load(world.detector.dump())
    copy._at = world._at
    return any(alert.event == "opened" for alert in copy.run(3, level=level))


def test_a_confirmed_fault_takes_a_false_alarm_back_but_never_lowers_the_line(plant: Plant) -> None:
    opened = plant.fault()
    plant.hear(LabelKind.FALSE_ALARM, opened, number=1)
    for number in (2, 3, 4):
        plant.hear(LabelKind.CONFIRMED, opened, number=number)
    assert plant.line() == 0


@pytest.mark.parametrize(
    ("kinds", "steps"),
    [
        (["false_alarm", "unsure"], 1),
        (["false_alarm", "false_alarm", "unsure"], 1),
        (["unsure"], 1),
        (["false_alarm", "unsure", "unsure"], 1),
        (["false_alarm", "confirmed", "unsure"], 1),
        (["false_alarm", "unsure", "false_alarm"], 2),
        (["confirmed", "false_alarm", "unsure"], 0),
    ],
)
@pytest.mark.parametrize("at_once", [True, False])
def test_who_is_unsure_takes_back_the_false_alarms_of_the_same_incident_and_no_others(
    plant: Plant, kinds: list[str], steps: int, at_once: bool
) -> None:
    """Another incident was called a false alarm before: one step, that only a confirmed fault takes
    back.
    """
    opened = plant.fault()
    said = [replace(SAID, kind=LabelKind.FALSE_ALARM, alert_id="another")]
    said += [
        replace(SAID, kind=LabelKind(kind), alert_id=opened.alert_id, number=2 + n)
        for n, kind in enumerate(kinds)
    ]
    for known in [said] if at_once else [said[: n + 1] for n in range(len(said))]:
        plant.detector.apply_labels(known)
    assert plant.line() == pytest.approx(steps * STRICTER)


def test_what_a_label_changed_is_told_as_it_was_and_at_the_highest_line_it_is_nothing(
    plant: Plant,
) -> None:
    opened = plant.fault()
    effects: list[Effect] = []
    for number in range(1, 8):
        said = replace(SAID, kind=LabelKind.FALSE_ALARM, alert_id=opened.alert_id, number=number)
        plant.detector.apply_labels([said], effects.append)
        plant.detector.apply_labels([said], effects.append)
    assert [effect.ended for effect in effects] == [opened.alert_id] + [""] * 6
    lines = [effect.line for effect in effects]
    assert lines[0] == pytest.approx((1.0, 1.25))
    assert lines[-1] == pytest.approx((3.0, 3.0))
    assert all(one[1] == other[0] for one, other in itertools.pairwise(lines))


def test_of_an_entity_that_is_not_here_nothing_is_told(plant: Plant) -> None:
    effects: list[Effect] = []
    plant.detector.apply_labels([SAID, replace(SAID, stream="another")], effects.append)
    assert effects == []


@pytest.mark.parametrize("kind", [LabelKind.CONFIRMED, LabelKind.EXPECTED])
def test_a_deserved_incident_costs_nothing_of_the_budget(plant: Plant, kind: LabelKind) -> None:
    opened = plant.fault()
    assert plant.strain() > 0
    plant.hear(kind, opened)
    assert plant.strain() == pytest.approx(0, abs=1e-6)


def test_a_label_acts_once_however_often_it_is_told_and_after_a_restart_too(plant: Plant) -> None:
    opened = plant.fault()
    for _ in range(3):
        plant.hear(LabelKind.FALSE_ALARM, opened)
    again = Plant()
    again.detector.load(plant.detector.dump())
    again.hear(LabelKind.FALSE_ALARM, opened)
    assert plant.line() == again.line() == pytest.approx(STRICTER)


def test_a_label_of_an_entity_that_is_not_here_waits_until_it_is(plant: Plant) -> None:
    stranger = replace(SAID, kind=LabelKind.FALSE_ALARM)
    assert plant.detector.apply_labels([stranger]) == []
    plant.run(QUIET)
    plant.detector.apply_labels([stranger])
    assert plant.line() == pytest.approx(STRICTER)


def test_a_new_normal_is_quiet_soon_and_without_it_the_fault_is_not_forgotten() -> None:
    """Eight times the noise: the errors of the old normal never come back, and only a label makes
    them the unit.
    """
    told, untold = Plant(), Plant()
    for world in (told, untold):
        world.run(QUIET)
        world.run(40, noise=8.0)
        if world is told:
            world.hear(LabelKind.NEW_NORMAL)
        world.run(100, noise=8.0)
    told_level, untold_level = (_level(world) for world in (told, untold))
    assert told_level < 0.6 * untold_level


def _level(world: Plant) -> float:
    """The mean score of the pump over the next 60 events of the new state of affairs."""
    number = np.arange(world._at, world._at + 120)
    values = 8.0 * np.random.default_rng(3).normal(0, 1, (120, 1)).astype(np.float32)
    entity = (number % 2).astype(np.int32)[:, None]
    batch = EventBatch(
        "stream", "t", 0, ("pump", "valve"), entity, 1e9 + number.astype(np.float64), values, number
    )
    return float(world.detector.process(batch).scores.score[::2].mean())


def test_an_unresolved_anomaly_never_becomes_normal_by_itself(plant: Plant) -> None:
    """Thousands of events of a state that nobody accepted leave the unit of errors near that of the
    old normal.
    """
    plant.run(QUIET)
    surprise = plant.detector.profile.evidences[0].state()["channels"]
    slot = plant.detector.slots.find("pump")
    before = float(surprise[slot][0])
    plant.run(1500, noise=8.0)
    assert plant.detector.open_incidents > 0
    assert float(surprise[slot][0]) < 3.0 * before
