"""The scoreboard: the figures of the show, also as the documented JSON object."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from streamer.demo.promises import Promise
from streamer.demo.recording import Heard
from streamer.demo.referee import Ruling, median_delay
from streamer.event import ModelRef

SCHEMA = "streamer.demo/1"


@dataclass(frozen=True, slots=True)
class ActScore:
    """The score of one stream, and the false alarms that its budget allows."""

    name: str
    caught: int
    missed: int
    false_alarms: int
    live_days: float
    budget: float


@dataclass(frozen=True, slots=True)
class ShowSetup:
    """What was shown, and for how long."""

    seconds: float
    source: str
    seed: int
    speed: float


@dataclass(frozen=True, slots=True)
class ShowLoad:
    """What the show carried, and what it cost."""

    events: int
    events_per_s: float
    scoring_events_per_s: float
    rss_mib: float


@dataclass(frozen=True, slots=True)
class AlertScore:
    """The alerts of the show. Seconds of its clock, None = it never came."""

    live: int  # opened in the live part
    history: int  # opened while learning from history, where nothing is wrong; not published
    false: tuple[Heard, ...]
    first_s: float | None
    rhythm_s: float | None


@dataclass(frozen=True, slots=True)
class Scoreboard:
    """All that is known at the end. Faults that had not run their course are in `rulings`, but do
    not count.
    """

    setup: ShowSetup
    acts: tuple[ActScore, ...]
    rulings: tuple[Ruling, ...]
    alerts: AlertScore
    swaps: int
    tuning: str
    model: ModelRef
    load: ShowLoad
    conservation: dict[str, int]
    promises: tuple[Promise, ...]

    @property
    def caught(self) -> int:
        return sum(ruling.caught for ruling in self.rulings)

    @property
    def missed(self) -> int:
        return sum(ruling.missed for ruling in self.rulings)

    @property
    def injected(self) -> int:
        return self.caught + self.missed

    @property
    def median_delay_events(self) -> float | None:
        return median_delay(self.rulings)

    @property
    def ok(self) -> bool:
        """Whether no promise was broken."""
        return all(promise.kept is not False for promise in self.promises)

    def as_json(self) -> dict[str, Any]:
        """The object that `streamer demo --format json` ends with."""
        return {
            "schema": SCHEMA,
            "ok": self.ok,
            "injected": self.injected,
            "caught": self.caught,
            "missed": self.missed,
            "false_alarms": len(self.alerts.false),
            "median_delay_events": self.median_delay_events,
            "first_alert_s": _rounded(self.alerts.first_s),
            "rhythm_alert_s": _rounded(self.alerts.rhythm_s),
            "swaps": self.swaps,
            "events": self.load.events,
            "events_per_s": round(self.load.events_per_s, 1),
            "rss_mib": round(self.load.rss_mib, 1),
            "conservation": self.conservation,
            "seconds": round(self.setup.seconds, 2),
            "source": self.setup.source,
            "seed": self.setup.seed,
            "speed": self.setup.speed,
            "scoring_events_per_s": round(self.load.scoring_events_per_s, 1),
            "alerts": self.alerts.live,
            "history_alerts": self.alerts.history,
            "tuning": self.tuning,
            "model": {
                "version": self.model.version,
                "backend": self.model.backend,
                "sha256": self.model.sha256,
            },
            "streams": [asdict(act) for act in self.acts],
            "promises": {p.name: {"kept": p.kept, "told": p.told} for p in self.promises},
            "not_checked": [p.name for p in self.promises if p.kept is None],
            "faults": [_fault(ruling) for ruling in self.rulings if ruling.caught or ruling.missed],
        }


def _fault(ruling: Ruling) -> dict[str, Any]:
    fault = ruling.fault
    return {
        "kind": fault.kind,
        "entity": fault.entity,
        "channel": fault.channel,
        "detail": fault.detail,
        "caught": ruling.caught,
        "delay_events": ruling.delay_events,
        "summary": ruling.heard.alert.summary if ruling.heard else None,
    }


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 2)


def rss_mib() -> float:
    """Current memory of this process in MiB.

    The peak if the system does not report more; 0 if neither is known.
    """
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20
    except (OSError, ValueError, IndexError):
        return _peak_mib()


def _peak_mib() -> float:
    try:
        import resource
    except ImportError:
        return 0.0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
