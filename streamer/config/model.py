"""The section of the model: its source, its signatures, shadow run and watch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from streamer.config.base import Count, Name, Names, Rule, Section, Text, between
from streamer.config.parts import StoreSection
from streamer.config.units import Duration
from streamer.settings import Backend

IN_REDIS = "redis"  # means the Redis of `store`; a folder of that name is written ./redis


class Shadow(Section):
    """The shadow run of a challenger: share of entities, events and promotion."""

    enabled: bool = Field(
        default=True,
        description="Whether a challenger judges live traffic silently before it may be promoted. "
        "Set false to save its CPU time.",
    )
    share: Annotated[float, Field(gt=0, le=1)] = Field(
        default=1.0,
        description="Share of the entities that the challenger judges. Lower it where CPU is "
        "scarce; comparing then takes longer.",
    )
    events: Annotated[Count, Field(le=10**12)] = Field(
        default=50_000,
        description="Events that are compared before anything is decided. Raise it for surer "
        "decisions.",
    )
    promote: Literal["auto", "manual"] = Field(
        default="auto",
        description="Whether a challenger that does well is promoted by itself, or waits for "
        "`streamer model promote`.",
    )


class Watch(Section):
    """The watch after a promotion: a broken bound rolls the model back."""

    for_: Duration = Field(
        default=Duration(1800),
        alias="for",
        description="How long a promoted model is watched, 1s to 7d. A broken bound within this "
        "time rolls it back.",
    )
    max_alert_ratio: Annotated[float, Field(ge=1)] = Field(
        default=4.0,
        description="Roll back if the model opens more than this many times as many alerts as "
        "before.",
    )
    min_alert_ratio: Annotated[float, Field(ge=0, le=1)] = Field(
        default=0.25,
        description="Roll back if the alert rate falls below this fraction of the rarer of the "
        "usual and the promised rate. Set 0 to allow any silence.",
    )
    max_nan_share: Annotated[float, Field(ge=0, le=1)] = Field(
        default=0.001,
        description="Roll back if a larger share of the events than this has no score.",
    )
    max_latency_ratio: Annotated[float, Field(ge=1)] = Field(
        default=3.0,
        description="Roll back if an event takes more than this many times as long as before.",
    )

    def rules(self) -> Iterator[Rule]:
        yield from between(self, "for_", Duration(1), Duration(7 * 86_400))


class Model(Section):
    """The bundle that judges (the starter without path and registry), and what runs it."""

    path: Text | None = Field(
        default=None,
        description="Directory of the bundle that judges, for a fixed model. Without path and "
        "registry the starter bundle judges.",
    )
    registry: Text | None = Field(
        default=None,
        description='Where versions of the model are kept: a folder, or "redis" for the Redis of '
        "`store`. Needed for retraining, promotion and rollback.",
    )
    alias: Name = Field(
        default="champion",
        description="What of the registry judges: an alias or a version. Name a version to pin it.",
    )
    keys: Names = Field(
        default=(),
        description="Ed25519 public keys whose signatures count: base64 texts or PEM files. A "
        "signature by another key is then refused.",
    )
    require_signature: bool = Field(
        default=False,
        description="Whether a model without a valid signature is refused. Set true where others "
        "may write to the registry.",
    )
    probe_timeout: Duration = Field(
        default=Duration(30),
        description="Longest time that the trial of a new model in a process of its own may take, "
        "1s to 10m. Raise it on slow machines.",
    )
    backend: Backend = Field(
        default="auto",
        description="What runs the network; auto takes litert where it is installed, else numpy. "
        "The choices litert-fp16 and litert-int8 are smaller, baseline needs no network.",
    )
    threads: Annotated[Count, Field(le=256)] = Field(
        default=1,
        description="Threads that the backend litert uses. More rarely help: a step is small.",
    )
    shadow: Shadow = Field(
        default=Shadow(), description="How a challenger is tried out on live traffic."
    )
    watch: Watch = Field(default=Watch(), description="When a promotion is rolled back by itself.")

    def rules(self) -> Iterator[Rule]:
        if self.path is not None and self.registry is not None:
            yield ("registry",), "cannot stand beside model.path; keep one of them"
        if self.alias != "champion" and self.registry is None:
            yield ("alias",), "needs model.registry, which it points into"
        if self.require_signature and not self.keys:
            yield ("require_signature",), "needs model.keys: whose signature would do?"
        yield from between(self, "probe_timeout", Duration(1), Duration(600))


def registry_rules(model: Model, store: StoreSection) -> Iterator[Rule]:
    """Yield the broken rule if the registry needs a Redis that `store` does not have."""
    if model.registry == IN_REDIS and not store.holds_models:
        yield (
            ("model", "registry"),
            "redis needs store: {kind: redis, url: ...}; a folder of that name is written ./redis",
        )
