"""What sources without partitions have in common: one log that nobody shares, and no memory of
positions.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from streamer.event import Lease, Position


class WholeSource:
    """The partition part of a Source, for one that has none."""

    problem: str | None = None
    at_end: bool = True
    lags: Mapping[Lease, int] = MappingProxyType({})
    truncations: int = 0

    def holds(self, lease: Lease) -> bool:
        return True

    def commit(self, positions: Mapping[Lease, Position]) -> None:
        """Nothing to remember: such a source starts anew."""

    def committed(self, lease: Lease) -> int | None:
        return None
