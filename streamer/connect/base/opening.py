"""What an opener gets beside its section, and how it is found: by the way that a row of
`config.kinds` names.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from streamer.protocols import FoundPosition, Restore, Restorer

if TYPE_CHECKING:
    from streamer import config
    from streamer.config.kinds import Way


def without_memory(found: FoundPosition) -> Restore:
    """The rule of a reader that remembers nothing: from the position on."""
    return Restore(found.position)


@dataclass(frozen=True, slots=True)
class SourceContext:
    """What a source may need beside its stream. Most need nothing of it.

    `config` says where the cluster and the schemas are. The rest matters to partitioned sources:
    `restore` says where a partition begins. A source that does not join its group reads all
    partitions beside it and commits nothing.
    """

    config: config.Config | None = None
    restore: Restorer = without_memory
    joins: bool = True


def cluster(config: config.Config | None) -> config.Kafka:
    """The Kafka of a configuration; the default one where there is none."""
    from streamer.config import Kafka

    return Kafka() if config is None else config.kafka


def function(way: Way) -> Callable[..., Any]:
    """The function behind "module:function", imported now."""
    if callable(way):
        return way
    module, _, name = way.partition(":")
    found: Callable[..., Any] = getattr(import_module(module), name)
    return found
