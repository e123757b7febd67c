"""Recorded history mixed with synthetic streams, against catastrophic forgetting.

Trained on recorded rows alone, a network forgets what they do not show (French 1999). Figures are
in docs/notes/learning.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from models.dataset import HistorySet
from models.train import Batch, DataSet
from streamer.artifact import ModelSpec


@dataclass(frozen=True, slots=True)
class MixedSet:
    """Alternates recorded and synthetic batches; validates on recorded ones only.

    The synthetic set ends the epoch.
    """

    recorded: HistorySet
    synthetic: DataSet

    @property
    def spec(self) -> ModelSpec:
        return self.recorded.spec

    def epoch(self, rng: np.random.Generator, rows: int) -> Iterator[Batch]:
        recorded = self.recorded.epoch(rng, rows)
        for batch in self.synthetic.epoch(rng, rows):
            yield batch
            again = next(recorded, None)
            if again is None:
                recorded = self.recorded.epoch(rng, rows)
                again = next(recorded)
            yield again

    def validation(self) -> Iterator[Batch]:
        yield from self.recorded.validation()
