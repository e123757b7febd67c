"""W3C trace context of records, parsed only when an alert asks for it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

import numpy as np

from streamer.connect.kafka.consumer.polled_records import Records

HEADER = "traceparent"
# W3C Trace Context: version, trace id, parent id, flags. No id is all zeros; later versions may
# append fields.
IDS = rb"-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}"
VALID = re.compile(rb"00" + IDS + rb"|(?!00|ff)[0-9a-f]{2}" + IDS + rb"(-[!-~]*)?")


class Traces(Mapping[int, str]):
    """traceparent by offset, for records with a valid one.

    It keeps the records alive.
    """

    def __init__(self, records: Records) -> None:
        self._records = records

    @classmethod
    def of(cls, records: Records) -> Traces | None:
        """Traces of the records; None if no record has the header."""
        return cls(records) if records.mentions(HEADER) else None

    def __getitem__(self, offset: int) -> str:
        row = int(np.searchsorted(self._records.offsets, offset))
        if row == len(self._records) or self._records.offsets[row] != offset:
            raise KeyError(offset)
        found = (value for name, value in self._records.envelope(row)["headers"] if name == HEADER)
        trace = next(filter(VALID.fullmatch, found), None)
        if trace is None:
            raise KeyError(offset)
        return trace.decode("ascii")

    def __iter__(self) -> Iterator[int]:
        return (offset for offset in self._records.offsets.tolist() if self.get(offset) is not None)

    def __len__(self) -> int:
        return sum(1 for _ in self)
