"""Fetches a version from the registry: verified, probed in a child process, and opened."""

from __future__ import annotations

from collections.abc import Callable

from streamer import artifact
from streamer.config import Model
from streamer.detect.network.hot_swap import misfit
from streamer.errors import BackendError
from streamer.lifecycle import promotion
from streamer.lifecycle.probe import probe
from streamer.protocols import Registry
from streamer.runtime.model import CurrentModel, LoadedModel, network_of, trust_for

REMEMBERED = 3
# the model, and when it was trained in seconds since 1970
Fetched = tuple[LoadedModel, float | None]


class ModelFetcher:
    """Opens versions and keeps the last ones. Used by the follower's thread.

    So a promoted challenger, or the target of a rollback, is ready at once.
    """

    def __init__(self, registry: Registry, section: Model, current: CurrentModel) -> None:
        """Raise ConfigError if a signing key of the section is invalid."""
        self.section = section
        self.stopped: Callable[[], bool] = lambda: False  # returns whether to stop a running probe
        self._registry, self._current = registry, current
        self._trust = trust_for(section)
        self._ready: dict[str, Fetched] = {}

    def fetch(self, version: str) -> Fetched:
        """Return a version ("": the starter), opened.

        ModelError if it cannot be used anywhere, BackendError if it cannot be used on this machine.
        """
        if version not in self._ready:
            self._ready[version] = self._opened(version)
            while len(self._ready) > REMEMBERED:
                del self._ready[next(iter(self._ready))]
        return self._ready[version]

    def _opened(self, version: str) -> Fetched:
        section = self.section
        directory = self._registry.path(version) if version else artifact.PRETRAINED
        bundle = artifact.load(directory, self._trust if version else None)
        problem = misfit(bundle.spec, self._current.loaded.spec)
        if problem is not None:
            raise BackendError(f"{version}: {problem}; restart this daemon, and it begins with it")
        timeout_s = float(section.probe_timeout)
        probe(directory, section.backend, timeout_s=timeout_s, stop=self.stopped)
        return network_of(section, bundle), promotion.trained_at(bundle.manifest)
