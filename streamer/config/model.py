"""Which model judges, where it comes from, and who may have signed it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from streamer.config.base import Count, Name, Names, Rule, Section, Text, between
from streamer.config.units import Duration

IN_REDIS = "redis"  # the word for the Redis of `store`; a folder of that name is ./redis


class Shadow(Section):
    """Whether a challenger judges live traffic silently, on which share of the entities, and when
    it is promoted.
    """

    enabled: bool = True
    share: Annotated[float, Field(gt=0, le=1)] = 1.0
    events: Annotated[Count, Field(le=10**12)] = 50_000  # compared before anything is decided
    promote: Literal["auto", "manual"] = "auto"


class Watch(Section):
    """After a promotion: bounds against what was before; breaking one rolls back by itself."""

    for_: Duration = Field(default=Duration(1800), alias="for")
    max_alert_ratio: Annotated[float, Field(ge=1)] = 4.0
    min_alert_ratio: Annotated[float, Field(ge=0, le=1)] = (
        0.25  # of the rarer of the usual and the promised rate
    )
    max_nan_share: Annotated[float, Field(ge=0, le=1)] = 0.001
    max_latency_ratio: Annotated[float, Field(ge=1)] = 3.0

    def rules(self) -> Iterator[Rule]:
        yield from between(self, "for_", Duration(1), Duration(7 * 86_400))


class Model(Section):
    """Which bundle judges (neither path nor registry: the starter bundle), and what runs it."""

    path: Text | None = None  # a bundle's directory
    registry: Text | None = None  # a folder, or "redis"
    alias: Name = "champion"  # what of the registry judges: an alias or a version
    keys: Names = ()  # Ed25519 public keys that may sign: base64, or PEM files
    require_signature: bool = False
    probe_timeout: Duration = Duration(
        30
    )  # of a new model's first steps, in a process of their own
    backend: Literal[
        "auto", "litert", "litert-fp16", "litert-int8", "keras", "numpy", "baseline"
    ] = "auto"
    threads: Annotated[Count, Field(le=256)] = 1
    shadow: Shadow = Shadow()
    watch: Watch = Watch()

    def rules(self) -> Iterator[Rule]:
        if self.path is not None and self.registry is not None:
            yield ("registry",), "cannot stand beside model.path; keep one of them"
        if self.alias != "champion" and self.registry is None:
            yield ("alias",), "needs model.registry, which it points into"
        if self.require_signature and not self.keys:
            yield ("require_signature",), "needs model.keys: whose signature would do?"
        yield from between(self, "probe_timeout", Duration(1), Duration(600))


def registry_rules(model: Model, store: str) -> Iterator[Rule]:
    """The rule between the registry and the kind of store, whose Redis it may share."""
    if model.registry == IN_REDIS and store != "redis":
        yield (
            ("model", "registry"),
            "redis needs store: {kind: redis, url: ...}; a folder of that name is written ./redis",
        )
