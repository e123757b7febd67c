"""A limit on opened alerts per window of event time; further ones are counted in a summary."""

from __future__ import annotations

from collections.abc import Sequence

from streamer import timefmt
from streamer.detect.alerts.incident import Change, alert_id
from streamer.event import Alert, ModelRef
from streamer.settings import DetectSettings


class Storm:
    """One window at a time, by event time, so that a replay holds back the same alerts."""

    NUMBERS = 6  # length of its state

    def __init__(self, settings: DetectSettings, key: int) -> None:
        self._settings, self._key = settings, key
        self.window = -1
        self.opened = 0
        self.held_back = 0  # in this window
        self.held_back_total = 0
        self._where = (0, 0)  # partition and offset of the first alert held back

    @property
    def limit(self) -> int:
        """Number of alerts that may open in one window."""
        return self._settings.storm_alerts

    @property
    def muting(self) -> bool:
        """Whether the alert just admitted is held back."""
        return self.opened > self.limit

    def opened_in(self, time_s: float) -> int:
        """Return how many alerts have opened so far in the window of this time."""
        return self.opened if int(time_s // self._settings.storm_window_s) <= self.window else 0

    def state(self) -> list[int]:
        """Return the state for a snapshot."""
        return [self.window, self.opened, self.held_back, self.held_back_total, *self._where]

    def restore(self, state: Sequence[int]) -> None:
        self.window, self.opened, self.held_back, self.held_back_total, partition, offset = map(
            int, state
        )
        self._where = (partition, offset)

    def admit(
        self, topic: str, partition: int, offset: int, time_s: float, ref: ModelRef
    ) -> list[Alert]:
        """Count an alert that opens now; return alerts about the storm itself."""
        told = self.roll(topic, time_s, ref)
        self.opened += 1
        if not self.muting:
            return told
        self.held_back += 1
        self.held_back_total += 1
        if self.held_back > 1:
            return told
        self._where = (partition, offset)
        limit, window = (
            self._settings.storm_alerts,
            timefmt.duration(self._settings.storm_window_s),
        )
        summary = (
            f"alert storm: more than {limit} alerts in {window}; further ones are counted, not sent"
        )
        return [*told, self._alert(Change.OPENED, topic, time_s, summary, ref)]

    def roll(self, topic: str, time_s: float, ref: ModelRef) -> list[Alert]:
        """Start a new window if it is due; return the summary of the old one, if any."""
        window = int(time_s // self._settings.storm_window_s)
        if window <= self.window:
            return []
        held, self.window, self.opened, self.held_back = self.held_back, window, 0, 0
        summary = f"alert storm is over: {held} more alerts were held back"
        return [self._alert(Change.RESOLVED, topic, time_s, summary, ref)] if held else []

    def _alert(
        self, change: Change, topic: str, time_s: float, summary: str, ref: ModelRef
    ) -> Alert:
        partition, offset = self._where
        now, ended = timefmt.rfc3339(time_s), change is Change.RESOLVED
        stream = self._settings.stream
        return Alert(
            alert_id=alert_id(stream, topic, partition, offset, self._key, "storm"),
            incident_key=f"{stream}:storm",
            event=change.value,
            status="resolved" if ended else "open",
            severity="critical",
            stream=stream,
            entity="*",
            labels=dict(self._settings.labels),
            started_at=now,
            detected_at=now,
            resolved_at=now if ended else None,
            summary=summary,
            score=1.0,
            p_value=1.0,
            threshold=1.0,
            channels=[],
            rhythm=None,
            attention=[],
            reasons=["STORM"],
            window=None,
            model=ref,
            extra={"held_back": self.held_back_total},
        )
