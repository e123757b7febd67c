"""A version out of the registry, ready to judge: verified, probed in a child process, and open."""

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
Fetched = tuple[LoadedModel, float | None]  # and when it was trained, seconds since 1970


class ModelFetcher:
    """Opens versions and remembers the last ones. The follower's thread.

    A challenger that is promoted therefore judges at once, and so does who is rolled back to.
    """

    def __init__(self, registry: Registry, section: Model, current: CurrentModel) -> None:
        """ConfigError if a key of the section is none."""
        self.section = section
        self.stopped: Callable[[], bool] = lambda: False  # whether a probe is to be given up
        self._registry, self._current = registry, current
        self._trust = trust_for(section)
        self._ready: dict[str, Fetched] = {}

    def fetch(self, version: str) -> Fetched:
        """A version ("": the starter). ModelError, or BackendError (only on this machine), say why
        not.
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
