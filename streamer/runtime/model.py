"""Loads the configured network, and logs and falls back to another if its bundle is unusable."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import structlog

from streamer import artifact
from streamer.artifact import Bundle, ModelSpec
from streamer.backends import baseline_scorer, open_scorer
from streamer.config import Config, Model
from streamer.connect import open_registry
from streamer.errors import ModelError, StoreError
from streamer.event import ModelRef
from streamer.protocols import ALIASES, Network, Registry
from streamer.signing import Trust, trust_of


class Summarised(Protocol):
    """A report that is still being filled."""

    def summary(self) -> dict[str, object]: ...


@dataclass(slots=True)
class ModelState:
    """The models in use. Each field is written by one thread; any thread may read.

    `fallback` says why another model judges instead of the configured one.
    """

    ref: ModelRef
    fallback: str | None = None
    trained_s: float | None = None  # seconds since 1970
    problem: str | None = None  # why the version that the registry names does not judge
    challenger: ModelRef | None = None
    # of champion and challenger: the share of their alerts that only one raised
    disagreement: float | None = None
    report: Summarised | None = None  # of the challenger's shadow run
    swaps: Counter[str] = field(default_factory=Counter)  # by outcome

    @property
    def role(self) -> str:
        return "champion" if self.fallback is None else "fallback"


log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A network ready to judge, its spec, and the prior from its calibration."""

    network: Network
    spec: ModelSpec
    prior: dict[str, Any]
    fallback: str | None = None  # why it is not the one that was wanted

    @property
    def state(self) -> ModelState:
        return ModelState(self.network.ref, self.fallback)


def load_configured(config: Config) -> LoadedModel:
    """Load the configured model, with the configured registry open during the call.

    ConfigError if the registry's folder does not exist. If retraining is configured, the folder is
    created.
    """
    registry = open_registry(config, create=config.retrain is not None)
    if registry is None:
        return load_model(config.model)
    with closing(registry):
        return load_model(config.model, registry)


def load_model(model: Model, registry: Registry | None = None) -> LoadedModel:
    """Load the configured network, or a fallback if its bundle cannot be used.

    The fallbacks are the registry's previous version, then the baseline; each is logged as an
    error. A registry whose alias is not set yet uses the starter bundle. BackendError if the named
    backend is not installed, ConfigError if a signing key is invalid: these are not replaced by a
    fallback.
    """
    trust, problems = trust_for(model), list[str]()
    if model.backend == "baseline":
        return LoadedModel(baseline_scorer(ModelSpec()), ModelSpec(), {})
    for find in _choices(model, registry):
        try:
            return _opened(model, find(), trust, problems)
        except (ModelError, StoreError) as exc:
            problems.append(str(exc))
    log.error("model_unusable", problem=_joined(problems), fallback="baseline")
    return LoadedModel(baseline_scorer(ModelSpec()), ModelSpec(), {}, _joined(problems))


def network_of(model: Model, bundle: Bundle) -> LoadedModel:
    """Load a bundle on the configured backend."""
    return LoadedModel(
        open_scorer(bundle, model.backend, model.threads), bundle.spec, bundle.calibration
    )


def _opened(model: Model, directory: Path, trust: Trust, problems: list[str]) -> LoadedModel:
    loaded = network_of(model, trusted(directory, trust))
    if problems:
        log.error("model_unusable", problem=_joined(problems), fallback=loaded.network.ref.version)
    return LoadedModel(loaded.network, loaded.spec, loaded.prior, _joined(problems) or None)


def _choices(model: Model, registry: Registry | None) -> Iterator[Callable[[], Path]]:
    """Yield functions that return a bundle's folder, best first."""
    if registry is None:
        yield lambda: Path(model.path) if model.path else artifact.PRETRAINED
        return
    yield lambda: _of_registry(registry, model.alias)
    if model.alias == "champion":
        yield lambda: registry.path("previous")


def _of_registry(registry: Registry, name: str) -> Path:
    try:
        unset = name in ALIASES and name not in registry.aliases()
    except StoreError:
        unset = False  # the registry is unavailable; its local copy may be enough
    if unset:
        log.warning(
            "model_not_promoted_yet",
            alias=name,
            instead="starter",
            fix="streamer model promote VERSION",
        )
        return artifact.PRETRAINED
    return registry.path(name)


def _joined(problems: list[str]) -> str:
    return "; then: ".join(problems)


def trust_for(model: Model) -> Trust:
    """Return the `check` for artifact.load that verifies signatures.

    ConfigError names a key that is invalid.
    """
    return trust_of(model.keys, required=model.require_signature)


def trusted(directory: Path, trust: Trust) -> Bundle:
    """Load and verify a bundle.

    CorruptBundle or SchemaMismatch if it cannot be used, UntrustedBundle if its signature is not
    accepted.
    """
    # The starter bundle is part of the program. Who can alter it can alter this check too.
    return artifact.load(directory, None if directory == artifact.PRETRAINED else trust)


class CurrentModel:
    """The model in use: changed by the scoring thread between two batches, read by any thread."""

    def __init__(self, loaded: LoadedModel) -> None:
        self.loaded, self.state = loaded, ModelState(loaded.network.ref, loaded.fallback)
