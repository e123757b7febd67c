"""The show: runs the stage, updates a view a few times per second, returns the scoreboard."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from streamer.connect.simulate.world import DAY_S, Fault
from streamer.demo import promises, streams
from streamer.demo.fault_schedule import RHYTHM_KINDS
from streamer.demo.finetune import State, Tuning
from streamer.demo.recording import Heard
from streamer.demo.referee import Ruling, Rulings, belongs, rule, time_of
from streamer.demo.scoreboard import ActScore, AlertScore, Scoreboard, ShowLoad, ShowSetup, rss_mib
from streamer.demo.stage import Stage, Strand
from streamer.demo.streams import Act
from streamer.event import ModelRef
from streamer.protocols import Clock
from streamer.runtime.model import LoadedModel

TURN_S = 0.125
RULE_EVERY_S = 0.5
# Seconds without faults: learning the history takes part of the beginning, draining and counting
# part of the end.
WARMING_S, CLOSING_S = 5.0, 2.0
TUNING_SHARE = 0.4  # fraction of the show used for training
RATE_OVER_S = 3.0


@dataclass(frozen=True, slots=True)
class Script:
    """The options of a show."""

    seconds: float = 60.0
    seed: int = 0
    speed: float = streams.SPEED
    source: str = "synthetic"

    @property
    def refereed(self) -> bool:
        """Whether the faults are known, so that alerts can be called false."""
        return self.source == "synthetic"

    @property
    def live_seconds(self) -> float:
        """Seconds in which faults may happen.

        The same on every machine, so that a seed always gives the same show.
        """
        return max(self.seconds - WARMING_S - CLOSING_S, 0.0)


@dataclass(frozen=True, slots=True)
class ShowFlow:
    """What flows at a moment."""

    events: int
    events_per_s: float
    rss_mib: float


@dataclass(frozen=True, slots=True)
class Look:
    """The state of the show at one time, for a view."""

    at_s: float
    script: Script
    flow: ShowFlow
    live: bool  # the plant's history is learnt, its present is flowing
    strands: tuple[Strand, ...]
    rulings: tuple[Ruling, ...]
    false_alarms: int
    alerts: tuple[Heard, ...]  # opened in the live part, oldest first
    tuning: State
    tuning_told: str
    swaps: int
    model: ModelRef


class ShowView(Protocol):
    """A display of the show; all calls come from one thread."""

    def banner(self, model: ModelRef, acts: Sequence[Act]) -> None: ...

    def look(self, look: Look) -> None:
        """Show a new state, about eight times per second."""

    def fault(self, at_s: float, strand: Strand, fault: Fault) -> None:
        """Report an injected fault, which the detector does not know."""

    def alert(self, heard: Heard, kind: str | None) -> None:
        """Report an alert of the live part, with the kind of its fault.

        "" for a false alarm, None if it is unknown.
        """

    def event(self, at_s: float, told: str) -> None:
        """Report another event: live, training, swap."""

    def board(self, board: Scoreboard) -> None: ...


@dataclass(slots=True)
class ShowProgress:
    """What has happened so far, and what was told of it."""

    live: bool = False
    swap_told: bool = False
    alerts_told: int = 0
    rule_at_s: float = 0.0
    counters_s: float | None = None  # when the first events were counted


class Show:
    """One show; `run` it once.

    `banner_s` is the time of the first line, on the same clock.
    """

    def __init__(
        self, script: Script, loaded: LoadedModel, view: ShowView, clock: Clock, banner_s: float
    ) -> None:
        self.script, self.view, self.clock, self._banner_s = script, view, clock, banner_s
        self._acts = _acts(script)
        self.stage = Stage(self._acts, loaded, clock)
        self.tuning = Tuning(TUNING_SHARE * script.seconds, script.seed, clock=clock)
        self._no_tuning = _no_tuning(script)
        self._rate: deque[tuple[float, int]] = deque()
        self._seen: set[tuple[str, float]] = set()  # faults
        self._verdicts: list[Rulings] = []
        self._progress = ShowProgress()

    def run(self, stop: threading.Event) -> Scoreboard:
        """Run the show until its last second or `stop`.

        The stage is closed in any case.
        """
        self.view.banner(self._model, self._acts)
        try:
            self.stage.open()
            while not stop.is_set() and self.clock() < self.script.seconds - CLOSING_S / 2:
                self._turn()
                stop.wait(TURN_S)
        finally:
            code = self.stage.end()
            self.tuning.close()
        return self._final(code, lasted_s=self.clock() if stop.is_set() else self.script.seconds)

    def _turn(self) -> None:
        now_s, events = self.clock(), self.stage.events
        if self._progress.counters_s is None and events:
            self._progress.counters_s = now_s
        self._rate.append((now_s, events))
        while now_s - self._rate[0][0] > RATE_OVER_S:
            self._rate.popleft()
        self._go_live(now_s)
        self._train(now_s)
        if now_s >= self._progress.rule_at_s:
            self._rule()
            self._progress.rule_at_s = now_s + RULE_EVERY_S
        self._tell(now_s)
        self.view.look(self._look(now_s, events))

    def _go_live(self, now_s: float) -> None:
        first = self.stage.strands[0]
        if self._progress.live or not first.act.is_live():
            return
        self._progress.live = True
        if first.act.history:
            self.view.event(
                now_s, f"{first.act.name} is live: {first.act.history} of history learnt"
            )
        if self._no_tuning:
            return
        self.tuning.start(*first.notebook.history(first.act.shown, first.act.live_start_s))
        told = (
            "a child process trains the model further on that history"
            if self.tuning.state is State.RUNNING
            else (f"no retraining: {self.tuning.told}")
        )
        self.view.event(now_s, told)

    def _train(self, now_s: float) -> None:
        before = self.tuning.state
        successor = self.tuning.step()
        if successor is not None:
            self.stage.swapper.offer(successor)
            self.view.event(now_s, f"retrained: {self.tuning.told}")
        elif before is State.RUNNING and self.tuning.state is State.FAILED:
            self.view.event(now_s, f"retraining failed: {self.tuning.told}")
        if self.swaps and not self._progress.swap_told:
            self._progress.swap_told = True
            told = f"{self._model.version} judges now, no event was lost"
            self.view.event(now_s, f"hot swap between two batches: {told}")

    @property
    def swaps(self) -> int:
        return self.stage.swapper.switches

    @property
    def _model(self) -> ModelRef:
        """What judges the first act now."""
        return self.stage.strands[0].detectors[0].ref

    def _tell(self, now_s: float) -> None:
        for strand in self.stage.strands:
            for fault in strand.act.faults():
                key = (fault.entity, fault.start_s)
                if fault.start_s <= strand.notebook.newest_s and key not in self._seen:
                    self._seen.add(key)
                    self.view.fault(now_s, strand, fault)
        for heard in self._live_alerts()[self._progress.alerts_told :]:
            self._progress.alerts_told += 1
            self.view.alert(heard, self._kind_of(heard))

    def _live_alerts(self) -> list[Heard]:
        """Alerts opened in the live part, in order of delivery."""
        starts = {strand.act.name: strand.act.live_start_s for strand in self.stage.strands}
        opened = [one for one in list(self.stage.ear.heard) if one.alert.event == "opened"]
        return [one for one in opened if time_of(one.alert) >= starts[one.alert.stream]]

    def _kind_of(self, heard: Heard) -> str | None:
        if not self.script.refereed:
            return None
        strand = next(s for s in self.stage.strands if s.act.name == heard.alert.stream)
        faults = strand.act.faults()
        mine = (f for f in faults if belongs(heard.alert, f, strand.act.grace(f), strand.notebook))
        return next((fault.kind for fault in mine), "")

    def _rule(self) -> None:
        heard = list(self.stage.ear.heard)
        self._verdicts = [
            rule(
                s.act.faults(),
                [one for one in heard if one.alert.stream == s.act.name],
                s.notebook,
                s.act.grace,
                s.act.live_start_s,
            )
            for s in self.stage.strands
        ]

    def _rulings(self) -> tuple[Ruling, ...]:
        return tuple(ruling for verdict in self._verdicts for ruling in verdict.rulings)

    def _false_alarms(self) -> tuple[Heard, ...]:
        if not self.script.refereed:
            return ()
        return tuple(heard for verdict in self._verdicts for heard in verdict.false_alarms)

    def _events_per_s(self) -> float:
        (then_s, then), (now_s, now) = self._rate[0], self._rate[-1]
        return (now - then) / (now_s - then_s) if now_s > then_s else 0.0

    def _look(self, now_s: float, events: int) -> Look:
        return Look(
            now_s,
            self.script,
            ShowFlow(events, self._events_per_s(), rss_mib()),
            self._progress.live,
            self.stage.strands,
            self._rulings(),
            len(self._false_alarms()),
            tuple(self._live_alerts()),
            self.tuning.state,
            self._no_tuning or self.tuning.told,
            self.swaps,
            self._model,
        )

    def _final(self, code: int, lasted_s: float) -> Scoreboard:
        self._rule()
        self._tell(self.clock())
        rulings, events, board_s = self._rulings(), self.stage.events, self.clock()
        first = [one.heard.at_s for one in rulings if one.heard]
        rhythm = [one.heard.at_s for one in rulings if one.heard and one.by_rhythm]
        books = self.stage.conservation
        facts = promises.Facts(
            self.script.seconds,
            lasted_s,
            self._banner_s,
            self._progress.counters_s,
            min(first, default=None),
            min(rhythm, default=None),
            board_s,
            self._planned(),
            self.swaps,
            self._why_no_tuning(),
            books["in_flight"] == 0,
            code == 0,
        )
        opened = sum(one.alert.event == "opened" for one in self.stage.ear.heard)
        live = len(self._live_alerts())
        return Scoreboard(
            ShowSetup(board_s, self.script.source, self.script.seed, self.script.speed),
            self._scores(),
            rulings,
            AlertScore(
                live, opened - live, self._false_alarms(), facts.first_alert_s, facts.rhythm_alert_s
            ),
            self.swaps,
            self._no_tuning or self.tuning.told,
            self._model,
            ShowLoad(events, events / board_s, events / max(self.stage.busy_s, 1e-9), rss_mib()),
            books,
            promises.judged(facts),
        )

    def _scores(self) -> tuple[ActScore, ...]:
        return tuple(map(_score, self.stage.strands, self._verdicts))

    def _planned(self) -> promises.PlannedFaults:
        """The faults of the programme."""
        kinds = [fault.kind for act in self._acts for fault in act.planned]
        return promises.PlannedFaults(len(kinds), sum(kind in RHYTHM_KINDS for kind in kinds))

    def _why_no_tuning(self) -> str:
        return self._no_tuning or (self.tuning.told if self.tuning.state is State.SKIPPED else "")


def _score(strand: Strand, verdict: Rulings) -> ActScore:
    act, book = strand.act, strand.notebook
    days = (
        max(book.newest_s - max(act.live_start_s, book.oldest_s), 0.0) / DAY_S
        if book.events
        else 0.0
    )
    return ActScore(
        act.name,
        verdict.caught,
        sum(ruling.missed for ruling in verdict.rulings),
        len(verdict.false_alarms),
        round(days, 4),
        round(days * act.settings.budget_per_day, 2),
    )


def _acts(script: Script) -> tuple[Act, ...]:
    if script.source == "host":
        return (streams.host_act(),)
    pace = streams.PlantPace(script.speed)
    plant = streams.plant_act(script.seed, pace, script.live_seconds)
    return plant, streams.cards_act(script.seed, pace, ready=plant.is_live)


def _no_tuning(script: Script) -> str:
    if script.source != "synthetic":
        return "there is no history to learn from"
    if script.seconds < promises.TUNING_LEAST_S:
        return (
            f"the show lasts {script.seconds:g} s, retraining needs {promises.TUNING_LEAST_S:g} s"
        )
    return ""
