"""Builds the alert of one transition from the arrays of the batch, the ring and the lanes."""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from streamer import timefmt
from streamer.detect.alerts import describe
from streamer.detect.alerts.incident import Change, Incidents, alert_id, severity
from streamer.detect.alerts.storm import Storm
from streamer.detect.evidence import Evidence
from streamer.detect.evidence.profile import Judgement
from streamer.detect.network import density
from streamer.detect.network.lanes import Lanes, Outlook
from streamer.event import (
    F32,
    F64,
    I64,
    Alert,
    AttentionStep,
    ChannelPart,
    EventBatch,
    ModelRef,
    RhythmPart,
    WindowSlice,
)
from streamer.settings import DetectSettings

ATTENTION_SHOWN = 8
EXPECTED_SHARE = 0.005  # the rhythm's band leaves out so much on either side


@dataclass(frozen=True, slots=True)
class Wave:
    """One judged wave: at most one event of each entity. Rows as in the arrays; `row` is the number
    in the batch.
    """

    row: I64
    slots: I64
    time_s: F64
    previous_s: F64
    values: F32
    outlook: Outlook
    judged: Judgement
    alarm: F32
    scaled: F32


class Reporter:
    """Turns transitions of incidents into alerts. Reads everything, changes nothing but what has
    been told.
    """

    def __init__(
        self,
        settings: DetectSettings,
        lanes: Lanes,
        incidents: Incidents,
        evidences: Sequence[Evidence],
        key: int,
    ) -> None:
        self._settings, self.lanes, self._incidents = settings, lanes, incidents
        self._evidences, self._key = evidences, key  # in the order of Judgement.evidence

    def alert(
        self, batch: EventBatch, wave: Wave, at: int, change: Change, entity: str, ref: ModelRef
    ) -> Alert:
        """The alert for row `at` of the wave. The ring must hold the event already."""
        slot, score = int(wave.slots[at]), float(wave.alarm[at])
        channels, rhythm = self._channels(wave, at), self._rhythm(wave, at)
        score = score if change is not Change.RESOLVED else float(wave.scaled[at])
        phrase = self._strongest(wave, at).phrase
        told = describe.sentence(entity, channels, rhythm, score, phrase=phrase)
        if change is Change.RESOLVED:
            told = (
                f"{entity} is back to normal after "
                f"{timefmt.duration(self._age(slot, wave.time_s[at]))}"
            )
        return self._frame(
            slot,
            batch,
            entity,
            change,
            float(wave.time_s[at]),
            ref,
            score=score,
            level=float(wave.judged.level[at]),
            summary=told,
            channels=channels,
            rhythm=rhythm,
            attention=[] if change is Change.RESOLVED else self._attention(slot),
            reasons=self._reasons(wave, at),
            window=self._window(slot, batch),
            traceparent=_trace(batch, int(wave.row[at])),
        )

    def gone(
        self,
        slot: int,
        stream: str,
        topic: str,
        entity: str,
        ref: ModelRef,
        reason: str,
        summary: str = "",
    ) -> Alert:
        """The resolution of an incident without an event: its entity is forgotten, or somebody
        closed it.
        """
        at = float(self.lanes.ring.newest_s[slot])
        batch = EventBatch(
            stream,
            topic,
            int(self._incidents.partition[slot]),
            (),
            np.zeros((0, 1), np.int32),
            np.zeros(0),
            np.zeros((0, 0), np.float32),
            np.zeros(0, np.int64),
        )
        return self._frame(
            slot,
            batch,
            entity,
            Change.RESOLVED,
            at,
            ref,
            score=0.0,
            level=0.0,
            summary=summary or f"{entity} is no longer watched",
            channels=[],
            rhythm=None,
            attention=[],
            reasons=[reason],
            window=None,
        )

    def _frame(
        self,
        slot: int,
        batch: EventBatch,
        entity: str,
        change: Change,
        at_s: float,
        ref: ModelRef,
        *,
        score: float,
        level: float,
        summary: str,
        channels: list[ChannelPart],
        rhythm: RhythmPart | None,
        attention: list[AttentionStep],
        reasons: list[str],
        window: WindowSlice | None,
        traceparent: str | None = None,
    ) -> Alert:
        s, incidents = self._settings, self._incidents
        partition, offset = int(incidents.partition[slot]), int(incidents.offset[slot])
        ended = change is Change.RESOLVED
        return Alert(
            alert_id=alert_id(s.stream, batch.topic, partition, offset, self._key),
            incident_key=f"{s.stream}:{entity}",
            event=change.value,
            status="resolved" if ended else "open",
            severity=severity(
                max(score, float(incidents.told[slot]) if ended else score), critical=s.critical
            ),
            stream=s.stream,
            entity=entity,
            labels=dict(s.labels),
            started_at=timefmt.rfc3339(float(incidents.started_s[slot])),
            detected_at=timefmt.rfc3339(at_s),
            resolved_at=timefmt.rfc3339(at_s) if ended else None,
            summary=summary,
            score=round(score, 4),
            p_value=float(f"{10**-level:.3g}"),
            threshold=1.0,
            channels=channels,
            rhythm=rhythm,
            attention=attention,
            reasons=reasons,
            window=window,
            model=ref,
            traceparent=traceparent,
        )

    def _age(self, slot: int, now_s: float) -> float:
        return max(float(now_s) - float(self._incidents.started_s[slot]), 0.0)

    def _channels(self, wave: Wave, at: int) -> list[ChannelPart]:
        share = wave.judged.parts[at] / max(float(wave.judged.level[at]), 1e-12)
        units = self._settings.units or (None,) * len(self._settings.channels)
        return [
            ChannelPart(
                name,
                _known(wave.values[at, j]),
                _known(wave.outlook.forecast[at, j]),
                _known(wave.judged.low[at, j]),
                _known(wave.judged.high[at, j]),
                units[j],
                float(share[j]),
            )
            for j, name in enumerate(self._settings.channels)
        ]

    def _rhythm(self, wave: Wave, at: int) -> RhythmPart | None:
        if not self.lanes.rhythm or np.isnan(wave.previous_s[at]):
            return None
        unit, params = float(wave.outlook.gap_unit_s[at]), wave.outlook.gap[at : at + 1]
        wanted = np.array([EXPECTED_SHARE, 0.5, 1 - EXPECTED_SHARE], np.float32)
        found = density.gap_quantile(np.repeat(params, 3, axis=0), wanted)
        low, middle, high = (unit * math.exp(float(log_gap)) for log_gap in found)
        share = float(wave.judged.parts[at, -1]) / max(float(wave.judged.level[at]), 1e-12)
        gap = max(float(wave.time_s[at] - wave.previous_s[at]), 0.0)
        return RhythmPart(gap, middle, low, high, share)

    def _reasons(self, wave: Wave, at: int) -> list[str]:
        found = []
        values, judged = wave.values[at], wave.judged
        if np.any(values > judged.high[at]):
            found.append("VALUE_ABOVE_BAND")
        if np.any(values < judged.low[at]):
            found.append("VALUE_BELOW_BAND")
        found += [self._strongest(wave, at).name.upper()]
        s = self._settings
        return found + ([f"SUSTAINED_{s.k_of}_OF_{s.n_of}"] if s.n_of > 1 else [])

    def _strongest(self, wave: Wave, at: int) -> Evidence:
        """The evidence that weighs most."""
        return self._evidences[int(wave.judged.evidence[:, at].argmax())]

    def _attention(self, slot: int) -> list[AttentionStep]:
        if not self.lanes.scorer.has_rhythm:
            return []
        back, weight = self.lanes.attention(slot)
        top = np.argsort(weight)[::-1][:ATTENTION_SHOWN]
        return [AttentionStep(int(back[i]), round(float(weight[i]), 4)) for i in top]

    def _window(self, slot: int, batch: EventBatch) -> WindowSlice:
        values, time_s, offset, exists = self.lanes.ring.last(np.array([slot]), self._length)
        rows = exists[0]
        v, t, o = values[0][rows].tolist(), time_s[0][rows], offset[0][rows]
        # Tuples of numbers are none of the garbage collector's business: a thousand kept alerts as
        # lists cost it 30 ms.
        table = tuple(tuple(_known(x) for x in row) for row in v)
        start, end = timefmt.rfc3339(float(t[0])), timefmt.rfc3339(float(t[-1]))
        return WindowSlice(
            start, end, len(t), batch.topic, batch.partition, int(o[0]), int(o[-1]), table
        )

    @property
    def _length(self) -> int:
        return min(self._settings.window_length, self.lanes.ring.length)


def _known(value: np.floating | float) -> float | None:
    """Seven digits of a float32, None where there is no number."""
    return float(f"{float(value):.7g}") if math.isfinite(value) else None


def _trace(batch: EventBatch, row: int) -> str | None:
    """The traceparent of the event that ends the window, if its record had one."""
    return None if batch.traces is None else batch.traces.get(int(batch.offset[row]))


@dataclass(frozen=True, slots=True)
class _Found:
    """Something to tell about the entity in `slot`, at `row` of the batch."""

    row: int
    slot: int
    change: Change | None  # of its incident; None: the alert is told in any case
    muted: bool  # as the incident was before this chunk
    build: Callable[[], Alert]
    alert: Alert | None  # None: the storm holds it back, as far as could be seen when it was found


class Teller:
    """Collects what the waves of a chunk find, then tells it in log order."""

    def __init__(self, storm: Storm, incidents: Incidents) -> None:
        self.storm, self._incidents = storm, incidents
        self._found: list[_Found] = []
        self._opened: list[int] = []  # rows, sorted
        self._held: set[int] = (
            set()
        )  # slots whose incident will be held back, as far as can be seen

    def say(self, row: int, alert: Alert) -> None:
        """Tell this alert, whatever the storm."""
        self._found.append(_Found(row, -1, None, False, lambda: alert, alert))

    def changed(
        self, row: int, slot: int, change: Change, time_s: float, build: Callable[[], Alert]
    ) -> None:
        """An incident changed. Its alert is built now, while lanes and ring stand at its event,
        unless it is held back: in a storm of thousands the alerts that nobody gets would be what
        takes the time.
        """
        if change is Change.OPENED:
            crowd = self.storm.opened_in(time_s) + bisect_left(self._opened, row)
            (self._held.add if crowd >= self.storm.limit else self._held.discard)(slot)
            insort(self._opened, row)
        muted = bool(self._incidents.muted[slot])
        alert = None if muted or slot in self._held else build()
        self._found.append(_Found(row, slot, change, muted, build, alert))

    def tell(self, batch: EventBatch, ref: ModelRef) -> list[Alert]:
        """Everything found since the last call, in log order, as far as the storm lets
        it through.
        """
        told: list[Alert] = []
        opened: dict[int, bool] = {}  # slot -> is the incident that opened in this chunk held back
        for found in sorted(self._found, key=lambda found: found.row):
            if found.change is Change.OPENED:
                offset, time_s = int(batch.offset[found.row]), float(batch.time_s[found.row])
                told += self.storm.admit(batch.topic, batch.partition, offset, time_s, ref)
                opened[found.slot] = self._incidents.muted[found.slot] = self.storm.muting
            if not opened.get(found.slot, found.muted):
                told.append(found.alert or found.build())
        self._found, self._opened, self._held = [], [], set()
        return told
