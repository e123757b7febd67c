"""Alerts for silent entities: the gap density says how long a silence is credible."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from streamer import timefmt
from streamer.detect.alerts.incident import Change, alert_id
from streamer.detect.network import density
from streamer.detect.network.lanes import Lanes
from streamer.detect.state.arena import Slots
from streamer.event import F64, I64, Alert, EventBatch, ModelRef, RhythmPart
from streamer.settings import DetectSettings

CREDIBLE = 1e-4  # a silence with a smaller upper tail is not credible
# The density is trained on gaps up to exp(6) units. A silence of fewer typical gaps never alerts.
AT_LEAST_GAPS = 3.0


class Silence:
    """Watches the time since the last event of every slot."""

    def __init__(self, settings: DetectSettings, lanes: Lanes, key: int) -> None:
        self._settings, self.lanes, self._key = settings, lanes, key
        self._silent = np.zeros(settings.max_entities, np.bool_)

    def tick(self, now_s: float, slots: Slots, topic: str, ref: ModelRef) -> list[Alert]:
        """Return alerts for slots that are silent by `now_s`, once per silence.

        They are ordered by the time of the last event, not by slot, because a slot may change at a
        restart.
        """
        if not (self._settings.silence and self.lanes.rhythm) or not len(slots):
            return []
        ring, taken = self.lanes.ring, np.arange(len(slots))
        waited = now_s - ring.newest_s[taken]
        known = (ring.count[taken] >= self.lanes.spec.k_min) & ~self._silent[taken]
        # Else a lane rebuilt from a snapshot would have other units than one that waits for its
        # event.
        self.lanes.anchor(taken[known])
        overdue = taken[known & (waited > AT_LEAST_GAPS * self.lanes.gap_unit_s[taken])]
        if not len(overdue):
            return []
        params, unit = self.lanes.gap_outlook(overdue), self.lanes.gap_unit_s[overdue]
        limit = np.maximum(AT_LEAST_GAPS, np.exp(density.gap_quantile(params, 1 - CREDIBLE))) * unit
        over = now_s - ring.newest_s[overdue] > limit
        self._silent[overdue[over]] = True
        found = [
            (slots.names[slot] or "", int(slot), float(limit[i]))
            for i, slot in enumerate(overdue)
            if over[i]
        ]
        found.sort(key=lambda one: (ring.newest_s[one[1]], one[0]))
        return [
            self._alert(slot, name, now_s, limit_s, topic, ref) for name, slot, limit_s in found
        ]

    def heard(
        self,
        batch: EventBatch,
        rows: I64,
        slots: I64,
        time_s: F64,
        names: Sequence[str | None],
        ref: ModelRef,
    ) -> list[tuple[int, Alert]]:
        """Return resolutions, by batch row, for silent slots that have events again."""
        back = self._silent[slots]
        if not back.any():
            return []
        found = [
            (
                int(rows[i]),
                self._resolved(
                    int(slots[i]), names[slots[i]] or "", float(time_s[i]), batch.topic, ref
                ),
            )
            for i in np.flatnonzero(back)
        ]
        self._silent[slots] = False
        return found

    def forgotten(
        self, slot: int, entity: str, at_s: float, topic: str, ref: ModelRef, *, back: bool
    ) -> list[Alert]:
        """Return the resolution for a silent entity whose slot is reset.

        `back`: the entity starts again. Otherwise it is evicted.
        """
        if not self._silent[slot]:
            return []
        return [self._resolved(slot, entity, at_s, topic, ref, back=back)]

    def _resolved(
        self, slot: int, entity: str, at_s: float, topic: str, ref: ModelRef, *, back: bool = True
    ) -> Alert:
        waited = max(at_s - float(self.lanes.ring.newest_s[slot]), 0.0)
        again = f"{entity} is heard again after {timefmt.duration(waited)} of silence"
        told = again if back else f"{entity} is no longer watched"
        return self._frame(slot, entity, Change.RESOLVED, at_s, told, waited, 0.0, topic, ref)

    def _alert(
        self, slot: int, entity: str, now_s: float, limit_s: float, topic: str, ref: ModelRef
    ) -> Alert:
        waited, unit = (
            now_s - float(self.lanes.ring.newest_s[slot]),
            float(self.lanes.gap_unit_s[slot]),
        )
        told = (
            f"{entity} is silent for {timefmt.duration(waited)}, typically an event every "
            f"{timefmt.duration(unit)}, "
            f"at most {timefmt.duration(limit_s)} is credible"
        )
        return self._frame(slot, entity, Change.OPENED, now_s, told, waited, limit_s, topic, ref)

    def _frame(
        self,
        slot: int,
        entity: str,
        change: Change,
        at_s: float,
        told: str,
        waited_s: float,
        limit_s: float,
        topic: str,
        ref: ModelRef,
    ) -> Alert:
        ring, unit = self.lanes.ring, float(self.lanes.gap_unit_s[slot])
        offset = int(ring.offset[slot, (ring.count[slot] - 1) % ring.length])
        started = timefmt.rfc3339(float(ring.newest_s[slot]))
        ended = change is Change.RESOLVED
        # the ring does not store the partition of an offset, but the entity makes the id unique
        return Alert(
            alert_id=alert_id(
                self._settings.stream, topic, 0, offset, self._key, f"silence\x1f{entity}"
            ),
            incident_key=f"{self._settings.stream}:{entity}:silence",
            event=change.value,
            status="resolved" if ended else "open",
            severity="warning",
            stream=self._settings.stream,
            entity=entity,
            labels=dict(self._settings.labels),
            started_at=started,
            detected_at=timefmt.rfc3339(at_s),
            resolved_at=timefmt.rfc3339(at_s) if ended else None,
            summary=told,
            score=0.0 if ended else round(waited_s / max(limit_s, 1e-9), 4),
            p_value=CREDIBLE,
            threshold=1.0,
            channels=[],
            rhythm=RhythmPart(waited_s, unit, 0.0, limit_s, 1.0),
            attention=[],
            reasons=["SILENCE"],
            window=None,
            model=ref,
        )

    def reset(self, slots: I64) -> None:
        self._silent[slots] = False

    def state(self) -> dict[str, np.ndarray]:
        return {"silent": self._silent}
