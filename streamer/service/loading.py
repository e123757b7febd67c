"""The configured network, ready to judge; the baseline, loudly, where its bundle cannot be used."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog

from streamer import artifact
from streamer.artifact import ModelSpec
from streamer.backends import baseline_scorer, open_scorer
from streamer.config import Model
from streamer.errors import ModelError
from streamer.protocols import Scorer as Network
from streamer.service.parts import ModelState

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Loaded:
    """A network ready to judge, the shape of its memory, and the population's prior."""

    network: Network
    spec: ModelSpec
    prior: dict[str, Any]
    fallback: str | None = None

    @property
    def state(self) -> ModelState:
        return ModelState(self.network.ref, self.fallback)


def load_model(model: Model) -> Loaded:
    """The configured network; the baseline, loudly, if its bundle cannot be used.

    BackendError if the backend that was asked for by name is not installed: that is a wish, not a damage.
    """
    path = Path(model.path) if model.path else artifact.PRETRAINED
    if model.backend == "baseline":
        return Loaded(baseline_scorer(ModelSpec()), ModelSpec(), {})
    try:
        bundle = artifact.load(path)
        return Loaded(open_scorer(bundle, model.backend, model.threads), bundle.spec, bundle.calibration)
    except ModelError as exc:
        log.error("model_unusable", problem=str(exc), fallback="baseline")
        return Loaded(baseline_scorer(ModelSpec()), ModelSpec(), {}, str(exc))
