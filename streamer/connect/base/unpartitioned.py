"""Base of sources without partitions and without stored positions."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from streamer.event import Lease, Position


class WholeSource:
    """The partition part of Source for a source without partitions."""

    problem: str | None = None
    at_end: bool = True
    lags: Mapping[Lease, int] = MappingProxyType({})
    truncations: int = 0
    degraded: str | None = None

    def holds(self, lease: Lease) -> bool:
        return True

    def commit(self, positions: Mapping[Lease, Position]) -> None:
        """Do nothing: such a source starts from the beginning."""

    def committed(self, lease: Lease) -> int | None:
        return None
