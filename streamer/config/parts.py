"""Properties of sources, sinks, stores, dead letters and labels, used instead of kinds.

Each has the default of the simplest section; a section overrides what differs.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, NamedTuple, Self

from streamer.config.base import Section


class OpenSetting(NamedTuple):
    """A setting that lets others read or reach something, with its problem and fix."""

    setting: str
    problem: str
    fix: str
    note: bool = False  # usual on a single machine; fails no check


class Framing(NamedTuple):
    """The format of the bytes of one record."""

    format: str  # json, avro, msgpack or csv
    columns: tuple[str, ...] = ()  # names of the cells of a csv record
    max_record: int = 2**20  # bytes; longer records are dead letters


class Membership(NamedTuple):
    """The group whose members share a source's partitions, each with its own memory."""

    group: str
    rebuild_events: int  # per partition, read again without a snapshot


class PartSection(Section):
    """A section whose `kind` selects the implementation."""

    speaks_kafka: ClassVar[bool] = False  # it uses the cluster in `kafka`
    requires: ClassVar[tuple[str, ...]] = ()  # packages that must be installed

    kind: str

    @property
    def local_file(self) -> str | None:
        """The local file in its setting `path`, if it reads or writes one."""
        return None

    def exposures(self) -> Iterator[OpenSetting]:
        """Yield the findings of `check --security` for this section."""
        yield from ()


class SourceSection(PartSection):
    """The source of a stream's events."""

    live: ClassVar[bool] = True  # event time advances while it is silent; else it has a `pace`
    has_history: ClassVar[bool] = False  # its past can be read from a given time on
    takes_fields: ClassVar[bool] = False  # `fields` describes its records
    # names with @ beside a record's value: for entity keys, and for the time
    keys_beside: ClassVar[tuple[str, ...]] = ()
    times_beside: ClassVar[tuple[str, ...]] = ()

    @property
    def framing(self) -> Framing | None:
        """How its records are decoded; None if it delivers values or decodes by itself."""
        return None

    @property
    def framed(self) -> bool:
        """Whether it delivers records of bytes, one event each."""
        return self.framing is not None

    @property
    def membership(self) -> Membership | None:
        """Its group, if the partitions of its log are shared; else None."""
        return None

    @property
    def partitioned(self) -> bool:
        """Whether several processes can share it."""
        return self.membership is not None

    @property
    def ends(self) -> bool:
        """Whether it ends by itself."""
        return False

    @property
    def own_keys(self) -> tuple[str, ...]:
        """Names of the entity keys that it adds to those in `fields`."""
        return ()

    @property
    def event_pace(self) -> float:
        """Event seconds per wall second while it is silent; 0 for an unpaced replay."""
        return 1.0 if self.live else getattr(self, "pace", None) or 0.0

    def flat_out(self) -> Self:
        """Return the source without its `pace`."""
        paced = "pace" in type(self).model_fields
        return self.model_copy(update={"pace": None}) if paced else self

    def for_worker(self, number: int) -> Self:
        """Return the source for worker `number` of several."""
        return self


class SinkSection(PartSection):
    """A destination of alerts."""


class DeadLetterSection(PartSection):
    """A destination of rejected records."""


class LabelSection(PartSection):
    """A source of operators' labels."""


class StoreSection(PartSection):
    """The store of snapshots and of the journal of incidents."""

    keeps: ClassVar[bool] = True  # its content outlives the process
    holds_models: ClassVar[bool] = False  # `model.registry` may name it

    @property
    def folder(self) -> str | None:
        """Its local folder, if it is one."""
        return None

    @property
    def plaintext(self) -> bool:
        """Whether its content crosses a network unencrypted."""
        return False

    def writers(self) -> tuple[str, bool]:
        """Return who else may write to it ("": nobody), and whether that is usual."""
        return "", True
