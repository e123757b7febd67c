"""The network that judges now, for whoever opens detectors while the service runs."""

from __future__ import annotations

from streamer.service.loading import Loaded
from streamer.service.parts import ModelState


class Current:
    """Changed by the scorer's thread between two batches, read by any."""

    def __init__(self, loaded: Loaded) -> None:
        self.loaded, self.state = loaded, ModelState(loaded.network.ref, loaded.fallback)
