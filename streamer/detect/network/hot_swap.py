"""The lanes of a new network, built beside the current ones before a hot swap.

They are rebuilt from the rings in slices, so that judging goes on in between. A rebuilt slot steps
with every event from then on, so the switch itself costs only what is left. By the scoring law the
lanes then equal those of a detector that ran the new network over the same rings, wherever the
slices were cut.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from streamer.artifact import ModelSpec
from streamer.detect.network.features import RHYTHM_FEATURES, VALUE_FEATURES
from streamer.detect.network.lanes import Lanes
from streamer.detect.state.arena import select
from streamer.errors import SchemaMismatch
from streamer.event import F32, F64, I64
from streamer.protocols import Network


def misfit(spec: ModelSpec, now: ModelSpec) -> str | None:
    """Return why a network of this spec cannot replace one of the spec `now`; None if it can."""
    if (spec.value_features, spec.rhythm_features) != (VALUE_FEATURES, RHYTHM_FEATURES):
        return (
            f"the new model reads {spec.value_features} + {spec.rhythm_features} features, not ours"
        )
    if spec.ring != now.ring:
        return f"the new model needs {spec.ring} past events, the rings hold {now.ring}"
    return (
        None
        if spec.k_min == now.k_min
        else f"the new model judges from event {spec.k_min} on, not {now.k_min}"
    )


class Takeover:
    """The lanes of the new network. Owned by the detector's thread."""

    def __init__(
        self,
        scorer: Network,
        spec: ModelSpec,
        prior: Mapping[str, Any] | None,
        now: Lanes,
        slots: I64,
        *,
        rhythm: bool,
    ) -> None:
        """Take the `slots` in use; SchemaMismatch if the new network needs other rings."""
        problem = misfit(spec, now.spec)
        if problem is not None:
            raise SchemaMismatch(problem)
        self.lanes, self.prior = Lanes(scorer, spec, now.ring, rhythm=rhythm), prior
        self.lanes.phase[:] = now.phase
        # A slot with too little history to be judged is built at its first anchor.
        self._todo = slots[now.ring.count[slots] >= spec.k_min]
        self._behind = np.zeros(len(now.phase), np.bool_)
        self._behind[self._todo] = True
        self._at = 0

    @property
    def behind(self) -> int:
        """Upper bound of the slots that are not rebuilt yet."""
        return len(self._todo) - self._at

    def rebuild(self, most: int) -> int:
        """Rebuild at most `most` slots; return how many are left."""
        part = self._todo[self._at : self._at + most]
        self._at += len(part)
        part = part[self._behind[part]]  # without slots that were given to another entity meanwhile
        self.lanes.restore(part)
        self._behind[part] = False
        return self.behind

    def step(self, slots: I64, values: F32, time_s: F64, previous_s: F64) -> None:
        """Process an event of each of the distinct slots.

        Slots that are not rebuilt yet will read it from the ring.
        """
        rebuilt = ~self._behind[slots]
        if rebuilt.any():
            self.lanes.step(*select(rebuilt, slots, values, time_s, previous_s))

    def reset(self, slots: I64, phase: I64) -> None:
        """Reset slots for new entities."""
        self.lanes.reset(slots, phase)
        self._behind[slots] = False
