"""Findings and doubts of `streamer init` about the records it looked at."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from streamer.connect.files.infer import Guess
    from streamer.connect.formats.columns import RecordFields
    from streamer.connect.formats.sniff import Shape
    from streamer.connect.kafka.consumer.peek import PeekedRecord
    from streamer.event import EventBatch, Rejected

FEW_ROWS = 200
OLD_S = 3600.0
LEAST_ROWS = 3  # per key, for keys to count as names of entities


class InitNotes:
    """Findings and doubts, each as a sentence."""

    def __init__(self, notes: list[str]) -> None:
        self.notes, self.unsure = notes, list[str]()

    def beside(self, records: Sequence[PeekedRecord], fields: RecordFields) -> RecordFields:
        """Take entity and time from the record's key and timestamp if its value lacks them."""
        from streamer.connect.formats.record_metadata import KEY, TIMESTAMP

        if not fields.entity and keys_name(records):
            self.notes.append(
                "no field looks like the name of a device or a customer, but the keys of the "
                "records do"
            )
            fields = replace(fields, entity=(KEY,), outside=fields.outside | {KEY})
        if fields.time is None and all(record.timestamp_ms > 0 for record in records):
            self.unsure.append(
                "no field looks like a time: the records' timestamps are taken, which may be when "
                "they were sent"
            )
            fields = replace(fields, time=TIMESTAMP, outside=fields.outside | {TIMESTAMP})
        return fields

    def shape(self, shape: Shape, fields: RecordFields, rate: float | None) -> None:
        from streamer.timefmt import spacing

        if fields.entity and fields.time:
            each = (
                f", each usually {spacing(shape.gap_s)} apart" if math.isfinite(shape.gap_s) else ""
            )
            self.notes.append(f"{shape.entities:,} entities in the sample{each}")
        if rate is not None:
            self.notes.append(
                f"about {rate:,.0f} records/s at the end of the topic"
                if rate >= 1
                else "less than 1 record/s"
            )
        if fields.time and shape.late_s > 0:
            self.notes.append(f"some events come up to {spacing(shape.late_s)} late")
        if fields.time is None:
            self.unsure.append(
                "no field looks like a time: name one in fields.time, else rhythm and gaps are "
                "not judged"
            )
        if fields.time and fields.time_unit == "auto" and fields.time not in fields.outside:
            self.unsure.append(
                f"the unit of {fields.time}: its values do not agree, so each is told by its size"
            )
        if not fields.entity:
            self.unsure.append(
                "no field looks like the name of a device or a customer: all is taken for one "
                "series"
            )
        if shape.rows < FEW_ROWS:
            self.unsure.append(f"only {shape.rows} rows were there to look at")
        self.unsure += [
            f"channel {name} is empty in most rows: leave it out?" for name in shape.silent
        ]

    def rejected(self, rows: int, rejected: Sequence[Rejected]) -> None:
        if rejected:
            first = rejected[0]
            share = f"{len(rejected):,} of {rows + len(rejected):,}"
            self.unsure.append(
                f"{share} records cannot be read, the first because {first.reason}: {first.detail}"
            )

    def topic(
        self, records: Sequence[PeekedRecord], batches: Sequence[EventBatch], partitions: int
    ) -> None:
        if partitions > 1 and (without := sum(record.key is None for record in records)):
            problem = (
                f"{without:,} records have no key, so the events of one entity are spread "
                f"over the partitions"
            )
            self.unsure.append(
                f"{problem} and their order is lost: let the producer key them by the entity"
            )
        ages = [
            record.timestamp_ms / 1000 - _time_of(batches, i)
            for i, record in enumerate(with_value(records))
        ]
        behind = sorted(age for age in ages if math.isfinite(age))
        if behind and behind[len(behind) // 2] > OLD_S:
            self.notes.append(
                "event times lie far behind the records' own: this is recorded data, or a slow "
                "producer"
            )
        if behind and behind[0] < -OLD_S:
            self.unsure.append("some event times lie in the future: is the unit of the time right?")

    def columns(self, guess: Guess, form: str) -> None:
        if form == "csv" and any(re.fullmatch(r"column_\d+", name) for name in guess.columns or ()):
            self.unsure.append(
                "rows of a topic have no header: rename column_1, column_2, ... in columns and in "
                "fields"
            )


def keys_name(records: Sequence[PeekedRecord]) -> bool:
    """Return whether the keys look like names of entities: texts, each seen a few times."""
    from streamer.connect.formats.record_metadata import name_of

    names = list(map(name_of, {record.key for record in records}))
    return None not in names and len(names) * LEAST_ROWS <= len(records)


def with_value(records: Sequence[PeekedRecord]) -> list[PeekedRecord]:
    """Return the records that are not tombstones."""
    return [record for record in records if record.value is not None]


def _time_of(batches: Sequence[EventBatch], row: int) -> float:
    """Return the event time of the row-th record; NaN if it was rejected."""
    for batch in batches:
        at_row = batch.offset.searchsorted(row)
        if at_row < len(batch) and batch.offset[at_row] == row:
            return float(batch.time_s[at_row])
    return math.nan
