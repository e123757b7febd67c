"""Everything that a detector remembers of its entities, by slot."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np

from streamer.artifact import ModelSpec
from streamer.detect.admission import Admission
from streamer.detect.alerts.alarm_line import Decider
from streamer.detect.alerts.feedback import Feedback
from streamer.detect.alerts.incident import Incidents
from streamer.detect.alerts.silence import Silence
from streamer.detect.evidence.profile import Profile
from streamer.detect.network.lanes import Lanes
from streamer.detect.state.arena import Slots
from streamer.detect.state.ring import Ring
from streamer.event import I64
from streamer.protocols import Network
from streamer.settings import DetectSettings

RING = ("values", "time_s", "offset", "count", "newest_s")  # arrays of the ring


class SlotState(Protocol):
    """A part of the memory: arrays with the slot as first axis."""

    def reset(self, slots: I64) -> None: ...

    def state(self) -> Mapping[str, np.ndarray]: ...


class EntityMemory:
    """Rings, lanes, profiles and incidents of at most `settings.max_entities` entities. Allocated
    here.
    """

    def __init__(
        self,
        settings: DetectSettings,
        scorer: Network,
        spec: ModelSpec,
        prior: Mapping[str, Any],
        key: int,
    ) -> None:
        self.slots = Slots(settings.max_entities)
        self.ring = Ring(settings.max_entities, spec.ring, len(settings.channels))
        self.lanes = Lanes(scorer, spec, self.ring, rhythm=settings.rhythm)
        self.profile = Profile(settings, prior, rhythm=self.lanes.rhythm)
        self.decider = Decider(settings)
        self.incidents = Incidents(settings)
        self.admission = Admission(settings, self.ring)
        self.silence = Silence(settings, self.lanes, key)
        self.feedback = Feedback(
            settings, self.slots, self.profile, self.decider, self.incidents, key
        )
        self.evicted_idle = 0  # entities whose past no longer counted

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays, used or not."""
        parts = (self.decider, self.incidents, self.admission, self.silence, self.feedback)
        small = sum(array.nbytes for part in parts for array in part.state().values())
        return self.ring.nbytes + self.lanes.nbytes + self.profile.nbytes + small

    def reset(self, slots: I64) -> I64:
        """Forget whoever lived in these slots, whose names must be set; return their phases."""
        self.ring.reset(slots)
        for part in self._parts().values():
            part.reset(slots)
        phases = self._phases(slots)
        self.lanes.reset(slots, phases)
        return phases

    def arrays(self) -> dict[str, np.ndarray]:
        """Everything remembered, by name. The arrays themselves, not copies.

        Lanes are not among them: they are rebuilt.
        """
        found: dict[str, np.ndarray] = {f"ring.{name}": getattr(self.ring, name) for name in RING}
        for part, remembers in self._parts().items():
            found |= {f"{part}.{name}": array for name, array in remembers.state().items()}
        return found

    def take_over(self, lanes: Lanes, prior: Mapping[str, Any]) -> None:
        """Go on with the lanes of another network; the prior is for entities that come."""
        self.lanes = self.silence.lanes = lanes
        self.profile.adopt(prior, rhythm=lanes.rhythm)

    def _parts(self) -> dict[str, SlotState]:
        """By their names in snapshots."""
        return {
            "profile": self.profile,
            "decider": self.decider,
            "incidents": self.incidents,
            "admission": self.admission,
            "silence": self.silence,
            "feedback": self.feedback,
        }

    def _phases(self, slots: I64) -> I64:
        """Where each entity (N,) anchors, 1 to `stride`: a hash of its name."""
        stride, names = self.lanes.spec.stride, self.slots.names
        hashes = [
            zlib.crc32((names[slot] or "").encode("utf-8", "surrogatepass"))
            for slot in slots.tolist()
        ]
        return np.array([number % stride + 1 for number in hashes], np.int64)
