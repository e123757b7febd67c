"""A stream's detector: batches of events in, fates, scores and alerts out. No I/O, no threads, no
clock of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from streamer.artifact import ModelSpec
from streamer.detect import snapshot
from streamer.detect.alerts import alarm_line
from streamer.detect.alerts.alert_builder import Reporter, Teller, Wave
from streamer.detect.alerts.feedback import Earlier, Effect, ignore
from streamer.detect.alerts.incident import Change, Incidents
from streamer.detect.alerts.silence import Silence
from streamer.detect.alerts.storm import Storm
from streamer.detect.evidence import Observation
from streamer.detect.evidence.profile import Profile
from streamer.detect.memory import EntityMemory
from streamer.detect.network import features
from streamer.detect.network.hot_swap import Takeover
from streamer.detect.network.lanes import Lanes
from streamer.detect.state.arena import Slots, appearances, by_last, select, waves
from streamer.detect.state.arrays import known
from streamer.detect.state.ring import Ring
from streamer.event import F32, F64, FATES, I64, Alert, EventBatch, Fate, ModelRef, Scores
from streamer.journal import Label
from streamer.protocols import Network
from streamer.settings import DetectSettings

# What an open incident still teaches the profile: nothing learns from an anomaly, but a unit that
# was wrong must heal.
OPEN_LEARNS = 0.02


@dataclass(frozen=True, slots=True)
class Judged:
    """What became of one batch."""

    scores: Scores
    alerts: list[Alert]


class Detector:
    """Detector of one (stream, entity key). Memory is allocated here and bounded by
    `settings.max_entities`.
    """

    def __init__(
        self,
        settings: DetectSettings,
        scorer: Network,
        spec: ModelSpec,
        prior: Mapping[str, Any] | None = None,
        key: int = 0,
    ) -> None:
        self.settings, self.key, self.ref = settings, key, scorer.ref
        self.memory = EntityMemory(settings, scorer, spec, prior or {}, key)
        self.fates = np.zeros(FATES, np.int64)
        self.topic = ""  # of the last batch: timers need it too
        self.now_s: float | None = None  # event time of the last tick
        self._reporter = Reporter(settings, self.lanes, self.incidents, self.profile.evidences, key)
        self._teller = Teller(Storm(settings, key), self.incidents)
        self._takeover: Takeover | None = None
        self._judged = np.zeros(0, np.int64)  # slots of the last events
        self.schema = snapshot.Schema.of(key, settings.channels, spec.k_min, self.arrays())

    # -- what is remembered
    # ---------------------------------------------------------------------------------------
    @property
    def slots(self) -> Slots:
        return self.memory.slots

    @property
    def ring(self) -> Ring:
        return self.memory.ring

    @property
    def lanes(self) -> Lanes:
        return self.memory.lanes

    @property
    def profile(self) -> Profile:
        return self.memory.profile

    @property
    def decider(self) -> alarm_line.Decider:
        return self.memory.decider

    @property
    def incidents(self) -> Incidents:
        return self.memory.incidents

    @property
    def silence(self) -> Silence:
        return self.memory.silence

    @property
    def storm(self) -> Storm:
        return self._teller.storm

    # -- what the service reads
    @property
    def memory_bytes(self) -> int:
        """Bytes of all arenas, used or not."""
        coming = 0 if self._takeover is None else self._takeover.lanes.nbytes
        return self.memory.nbytes + coming

    @property
    def entities_active(self) -> int:
        return len(self.slots)

    @property
    def evicted(self) -> dict[str, int]:
        return {"lru": self.slots.evicted, "idle": self.memory.evicted_idle}

    @property
    def out_of_order(self) -> int:
        return self.memory.admission.out_of_order

    @property
    def open_incidents(self) -> int:
        return int(self.incidents.open.sum())

    # -- the law
    def process(self, batch: EventBatch) -> Judged:
        """Judge every event of a batch in log order, to one result however the log was cut."""
        n = len(batch)
        scores = Scores.warming(n, batch.values.shape[1], self.ref)
        alerts: list[Alert] = []
        self.topic = batch.topic
        start = 0
        while start < n:
            start = self._chunk(batch, start, scores)
            alerts += self._teller.tell(batch, self.ref)
        self.fates += np.bincount(scores.fate, minlength=FATES)
        return Judged(scores, alerts)

    def _chunk(self, batch: EventBatch, start: int, scores: Scores) -> int:
        """Judge rows from `start` on, as many as find room together; where to go on."""
        slots = self._placed(batch, start)
        for wave in waves(slots, self.lanes.due[slots] - self.ring.count[slots]):
            self._wave(batch, wave + start, slots[wave], scores)
        self._judged = slots
        return start + len(slots)

    def _placed(self, batch: EventBatch, start: int) -> I64:
        """The slots of rows from `start` on, up to the first entity that finds no room beside those
        before it.
        """
        index, first, place = appearances(batch.entity[start:, self.key])
        names = [batch.keys[i] for i in index.tolist()]
        placed, fresh, gone = self.slots.assign(names)
        row_of = dict(zip(placed, (start + first).tolist(), strict=False)) if gone else {}
        for name, slot in gone:
            self._close(batch, row_of[slot], slot, name, "EVICTED")
        if fresh:
            self.reset_slots(np.array(fresh))
        end = len(place) if len(placed) == len(names) else int(first[len(placed)])
        if len(placed) < end:  # recency follows the last appearance in the log
            self.slots.touch([names[i] for i in by_last(place[:end], len(placed)).tolist()])
        return np.array(placed, np.int64)[place[:end]]

    def _close(self, batch: EventBatch, row: int, slot: int, name: str, reason: str) -> None:
        """End what is open about an entity that is about to be forgotten at `row`."""
        at_s = float(batch.time_s[row])
        for alert in self.silence.forgotten(
            slot, name, at_s, batch.topic, self.ref, back=reason == "IDLE"
        ):
            self._teller.say(row, alert)
        if not self.incidents.open[slot]:
            return
        ended = self._reporter.gone(slot, self.settings.stream, batch.topic, name, self.ref, reason)
        self._teller.changed(row, slot, Change.RESOLVED, at_s, lambda: ended)
        self.incidents.open[slot] = False

    def reset_slots(self, slots: I64) -> None:
        """Forget whoever lived in these slots; their names must be set."""
        phases = self.memory.reset(slots)
        if self._takeover is not None:
            self._takeover.reset(slots, phases)

    def _wave(self, batch: EventBatch, rows: I64, slots: I64, scores: Scores) -> None:
        """One event of each of distinct entities."""
        time_s, values = batch.time_s[rows], features.bounded(batch.values[rows])
        verdict, restart = self.memory.admission.judge(slots, time_s, values)
        if restart.any():
            self._restart(batch, slots[restart], rows[restart])
        accepted = verdict == Fate.SCORED
        scores.fate[rows[~accepted]] = verdict[~accepted]
        rows, slots, time_s, values = select(accepted, rows, slots, time_s, values)
        for row, alert in self.silence.heard(
            batch, rows, slots, time_s, self.slots.names, self.ref
        ):
            self._teller.say(row, alert)
        if self.settings.missing == "hold":
            values = np.where(np.isnan(values), self.ring.previous(slots)[0], values)
        ready = self.ring.count[slots] >= self.lanes.spec.k_min
        judged = None
        if ready.any():
            judged = self._judge(scores, *select(ready, rows, slots, time_s, values))
        self.ring.push(slots, values, time_s, batch.offset[rows])
        if judged is not None:
            self._incidents(batch, judged)

    def _restart(self, batch: EventBatch, slots: I64, rows: I64) -> None:
        """Entities whose past no longer counts (idle for too long, or their clock was set back)
        start anew.
        """
        self.memory.evicted_idle += len(slots)
        for slot, row in zip(slots.tolist(), rows.tolist(), strict=True):
            self._close(batch, row, slot, self.slots.names[slot] or "", "IDLE")
        self.reset_slots(slots)

    def _judge(
        self, scores: Scores, rows: I64, slots: I64, time_s: F64, values: F32
    ) -> Wave | None:
        _, previous_s = self.ring.previous(slots)
        outlook = self.lanes.step(slots, values, time_s, previous_s)
        if self._takeover is not None:
            self._takeover.step(slots, values, time_s, previous_s)
        scores.fate[rows] = Fate.SCORED
        sound = outlook.sound
        # What a network cannot compute has no score, and teaches the profile nothing.
        if not sound.all():
            rows, slots, time_s, values, previous_s = select(
                sound, rows, slots, time_s, values, previous_s
            )
            outlook = outlook.rows(sound)
            if not len(rows):
                return None
        judged_before, age = self.profile.judged[slots], self.profile.age(slots)
        learn = np.where(self.incidents.open[slots], OPEN_LEARNS, 1).astype(np.float32)
        judged = self.profile.fold(
            Observation(slots, judged_before, age, values, time_s, outlook, learn)
        )
        off = alarm_line.deviates(values, outlook.forecast, self.settings)
        elapsed_s = np.maximum(known(time_s - previous_s, 0.0), 0)
        free = (
            off | alarm_line.led_by_rhythm(judged.parts, judged.level)
        ) & ~self.incidents.cooling(slots, time_s)
        alarm, scaled = self.decider.decide(
            slots, age, judged.level, outlook.gap_unit_s, elapsed_s, free
        )
        scores.score[rows] = judged.smooth.sum(axis=1)
        scores.alarm[rows] = alarm
        scores.parts[rows] = judged.smooth
        scores.expected[rows] = outlook.forecast
        scores.low[rows] = judged.low
        scores.high[rows] = judged.high
        return Wave(rows, slots, time_s, previous_s, values, outlook, judged, alarm, scaled)

    def _incidents(self, batch: EventBatch, wave: Wave) -> None:
        slots, offset = wave.slots, batch.offset[wave.row]
        changes = self.incidents.advance(
            slots, wave.alarm, wave.scaled, wave.time_s, offset, batch.partition
        )
        if not changes:
            return
        opened = [found.row for found in changes if found.change is Change.OPENED]
        self.decider.opened(slots[opened])
        for found in changes:
            at, slot = found.row, int(slots[found.row])
            build = partial(
                self._reporter.alert,
                batch,
                wave,
                at,
                found.change,
                self.slots.names[slot] or "",
                self.ref,
            )
            self._teller.changed(
                int(wave.row[at]), slot, found.change, float(wave.time_s[at]), build
            )

    def tick(self, now_s: float) -> list[Alert]:
        """Timers on the axis of event time: entities silent for longer than credible, and a storm's
        summary.
        """
        self.now_s = now_s
        return self.storm.roll(self.topic, now_s, self.ref) + self.silence.tick(
            now_s, self.slots, self.topic, self.ref
        )

    def anchor_ahead(self) -> None:
        """Anchor the last events' entities that are due: their next event does not wait for it."""
        if len(self._judged):
            self._judged, judged = self._judged[:0], self._judged
            self.lanes.anchor(np.unique(judged))

    def apply_labels(
        self,
        labels: Sequence[Label],
        note: Callable[[Effect], None] = ignore,
        earlier: Earlier | None = None,
    ) -> list[Alert]:
        """Let what people said act on the entities that are remembered here, each label once; the
        incidents it ends.

        `note` hears what each label changed. `earlier` says which labels of its entity came before
        one; by default `labels` are all there are.
        """
        before = earlier or (lambda label: labels)
        heeded = (
            self.memory.feedback.apply_labels(label, before, self.topic, self._reporter, self.ref)
            for label in labels
        )
        effects = [effect for effect in heeded if effect is not None]
        for effect in effects:
            note(effect)
        return [effect.told for effect in effects if effect.told is not None]

    def take_fresh(self, among: Collection[str]) -> list[str]:
        """Those of some entities that were admitted, or began anew, since the last call: they have
        heard no labels yet.
        """
        return self.memory.feedback.take_fresh(among)

    # -- state
    def arrays(self) -> dict[str, np.ndarray]:
        """Everything remembered of entities, by name, the slot as first axis. The arrays
        themselves, not copies.

        Lanes are not among them: they are rebuilt.
        """
        return self.memory.arrays()

    def freeze(self) -> snapshot.Frozen:
        """Copies of all that is remembered; another thread makes them a blob (`encode`)."""
        return snapshot.freeze(self)

    def dump(self) -> bytes:
        """Snapshot: rings, counts and profiles of all entities."""
        return snapshot.pack(self)

    def load(self, blob: bytes) -> None:
        """Take over a snapshot of a detector with the same settings and spec.

        StoreError, and nothing changed, if it is not.
        """
        snapshot.unpack(self, blob)

    # -- another network
    def prepare(
        self, scorer: Network, spec: ModelSpec, prior: Mapping[str, Any] | None = None
    ) -> None:
        """Another network shall take over: its lanes are begun beside those that judge, instead of
        any begun before.

        SchemaMismatch, and nothing changed, if the rings do not hold what it needs.
        """
        used = np.array([slot for _, slot in self.slots.items()], np.int64)
        self._takeover = Takeover(
            scorer, spec, prior, self.lanes, used, rhythm=self.settings.rhythm
        )

    @property
    def coming(self) -> ModelRef | None:
        """The network that is on its way, if one is."""
        return None if self._takeover is None else self._takeover.lanes.scorer.ref

    def rebuild(self, most: int) -> int:
        """Rebuild the coming lanes of at most `most` entities; how many are left."""
        return 0 if self._takeover is None else self._takeover.rebuild(most)

    def abandon(self) -> None:
        """The network that was on its way does not come."""
        self._takeover = None

    def take_over(self) -> None:
        """From the next event on the prepared network judges; what is left is rebuilt now. Profiles
        and incidents stay.

        The prior of its population is for entities that come.
        """
        coming, self._takeover = self._takeover, None
        if coming is None:
            return
        coming.rebuild(coming.behind)
        self.memory.take_over(coming.lanes, coming.prior or {})
        self._reporter.lanes = coming.lanes
        self.ref = coming.lanes.scorer.ref

    def twin(self, wanted: Callable[[str], bool]) -> Detector:
        """Another detector with what this one remembers of the wanted entities, its lanes too."""
        twin = Detector(self.settings, self.lanes.scorer, self.lanes.spec, None, self.key)
        snapshot.copy(self, twin, wanted)
        return twin
