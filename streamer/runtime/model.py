"""The configured network, ready to judge; another one, loudly, where its bundle cannot be used."""

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
    """A report that goes on."""

    def summary(self) -> dict[str, object]: ...


@dataclass(slots=True)
class ModelState:
    """Which models are at work. Each field has one writing thread, any may read.

    `fallback` says why the baseline judges although another model was wanted.
    """

    ref: ModelRef
    fallback: str | None = None
    trained_s: float | None = None  # seconds since 1970
    problem: str | None = None  # why the version that the registry names does not judge
    challenger: ModelRef | None = None
    disagreement: float | None = (
        None  # of champion and challenger: the share of their alerts that only one raised
    )
    report: Summarised | None = None  # of the challenger's trial
    swaps: Counter[str] = field(default_factory=Counter)  # by outcome

    @property
    def role(self) -> str:
        return "champion" if self.fallback is None else "fallback"


log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A network ready to judge, the shape of its memory, and the population's prior."""

    network: Network
    spec: ModelSpec
    prior: dict[str, Any]
    fallback: str | None = None  # why it is not the one that was wanted

    @property
    def state(self) -> ModelState:
        return ModelState(self.network.ref, self.fallback)


def load_configured(config: Config) -> LoadedModel:
    """As `load_model`, with the configured registry opened for so long.

    ConfigError if its folder is not there; where retraining is configured it is made, for what will
    be published.
    """
    registry = open_registry(config, create=config.retrain is not None)
    if registry is None:
        return load_model(config.model)
    with closing(registry):
        return load_model(config.model, registry)


def load_model(model: Model, registry: Registry | None = None) -> LoadedModel:
    """The configured network. If its bundle cannot be used: the registry's previous one, else the
    baseline, loudly.

    A registry whose alias is not set yet leaves it to the starter bundle. BackendError if the
    backend that was asked for by name is not installed, ConfigError if a key is none: these are
    wishes, not damages.
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
    """A bundle on the configured backend."""
    return LoadedModel(
        open_scorer(bundle, model.backend, model.threads), bundle.spec, bundle.calibration
    )


def _opened(model: Model, directory: Path, trust: Trust, problems: list[str]) -> LoadedModel:
    loaded = network_of(model, trusted(directory, trust))
    if problems:
        log.error("model_unusable", problem=_joined(problems), fallback=loaded.network.ref.version)
    return LoadedModel(loaded.network, loaded.spec, loaded.prior, _joined(problems) or None)


def _choices(model: Model, registry: Registry | None) -> Iterator[Callable[[], Path]]:
    """Where the bundle is, best first."""
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
        unset = False  # it is away; what is remembered here may do
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
    """Whose signatures count, a `check` for artifact.load. ConfigError names the key
    that is none.
    """
    return trust_of(model.keys, required=model.require_signature)


def trusted(directory: Path, trust: Trust) -> Bundle:
    """A bundle, verified. CorruptBundle or SchemaMismatch if it cannot be used, UntrustedBundle if
    it may not be.
    """
    # The starter bundle is part of the program: who could alter it could alter the check.
    return artifact.load(directory, None if directory == artifact.PRETRAINED else trust)


class CurrentModel:
    """Changed by the scorer's thread between two batches, read by any."""

    def __init__(self, loaded: LoadedModel) -> None:
        self.loaded, self.state = loaded, ModelState(loaded.network.ref, loaded.fallback)
