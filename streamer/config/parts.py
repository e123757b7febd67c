"""What is asked of a source, sink, store, dead letters or labels instead of its kind.

Each question has the answer of the plainest section here; a section overrides what differs.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, NamedTuple, Self

from streamer.config.base import Section


class OpenSetting(NamedTuple):
    """A setting that lets others read or reach something: its name in the section, and the fix."""

    setting: str
    problem: str
    fix: str
    note: bool = False  # how things usually are on one machine; fails no check


class Framing(NamedTuple):
    """How the bytes of one record are read."""

    format: str  # json, avro, msgpack or csv
    columns: tuple[str, ...] = ()  # what the cells of a csv record are called
    max_record: int = 2**20  # bytes; longer ones are dead letters


class Membership(NamedTuple):
    """The group whose members share a source's partitions, each with its own memory."""

    group: str
    rebuild_events: int  # per partition, read again where there is no snapshot


class PartSection(Section):
    """A section whose `kind` chooses what is opened."""

    speaks_kafka: ClassVar[bool] = False  # it is part of the cluster in `kafka`
    requires: ClassVar[tuple[str, ...]] = ()  # packages that must be installed

    kind: str

    @property
    def local_file(self) -> str | None:
        """The file of this machine in its setting `path`, if it reads or writes one."""
        return None

    def exposures(self) -> Iterator[OpenSetting]:
        """What `check --security` says of this section."""
        yield from ()


class SourceSection(PartSection):
    """Where the events of a stream come from."""

    live: ClassVar[bool] = True  # event time goes on while it is silent; else it has a `pace`
    has_history: ClassVar[bool] = False  # its past can be read from a time on
    takes_fields: ClassVar[bool] = False  # `fields` says what its records hold
    # Names with @ that stand beside a record's value: for entity keys, and for the time.
    keys_beside: ClassVar[tuple[str, ...]] = ()
    times_beside: ClassVar[tuple[str, ...]] = ()

    @property
    def framing(self) -> Framing | None:
        """How its records are decoded; None: it brings values, or decodes by itself."""
        return None

    @property
    def framed(self) -> bool:
        """Whether it brings records of bytes, one event each."""
        return self.framing is not None

    @property
    def membership(self) -> Membership | None:
        """Its group, where the partitions of the log are shared; None: one reader has all."""
        return None

    @property
    def partitioned(self) -> bool:
        """Whether several processes can share it."""
        return self.membership is not None

    @property
    def ends(self) -> bool:
        """Whether it comes to an end by itself."""
        return False

    @property
    def own_keys(self) -> tuple[str, ...]:
        """Names of the entity keys that it brings, beside those in `fields`."""
        return ()

    @property
    def event_pace(self) -> float:
        """Event seconds that pass in a second while it is silent; 0 for a replay flat out."""
        return 1.0 if self.live else getattr(self, "pace", None) or 0.0

    def flat_out(self) -> Self:
        """The same source without a `pace`."""
        paced = "pace" in type(self).model_fields
        return self.model_copy(update={"pace": None}) if paced else self

    def for_worker(self, number: int) -> Self:
        """The same source as worker `number` of several reads it."""
        return self


class SinkSection(PartSection):
    """Where alerts go."""


class DeadLetterSection(PartSection):
    """Where rejected records go."""


class LabelSection(PartSection):
    """Where operators' labels come from."""


class StoreSection(PartSection):
    """Where snapshots and the journal of incidents are kept."""

    keeps: ClassVar[bool] = True  # something outlives the process
    holds_models: ClassVar[bool] = False  # `model.registry` may name it

    @property
    def folder(self) -> str | None:
        """Its folder of this machine, if it is one."""
        return None

    @property
    def plaintext(self) -> bool:
        """Whether what it keeps crosses a network unencrypted."""
        return False

    def writers(self) -> tuple[str, bool]:
        """Who may write to it beside this user, and whether that is usual."""
        return "", True
