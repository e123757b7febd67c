"""Records of one partition to a batch and rejected records with their metadata."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

import numpy as np

from streamer.connect.formats.decoder import Decoder
from streamer.connect.formats.record_metadata import KEY, TIMESTAMP, RecordMetadata
from streamer.connect.kafka.consumer.polled_records import Records
from streamer.connect.kafka.consumer.traceparent import Traces
from streamer.event import EventBatch, Lease, Rejected


def decode(records: Records, decoder: Decoder, lease: Lease) -> tuple[EventBatch, list[Rejected]]:
    """Decode the values of records; records without a value are rejected as tombstones."""
    values, offsets, beside = (
        records.values,
        records.offsets,
        _beside(records, decoder.fields.outside, lease),
    )
    tombstones: list[Rejected] = []
    if None in values:
        empty = np.array([value is None for value in values], dtype=bool)
        tombstones = [
            Rejected(int(o), "tombstone", "the record has no value", b"") for o in offsets[empty]
        ]
        values, offsets = [value for value in values if value is not None], offsets[~empty]
        beside = None if beside is None else beside.rows(~empty)
    batch, rejected = decoder.decode(values, offsets, beside)  # type: ignore[arg-type] # no None is left
    batch = replace(
        batch,
        topic=lease.topic,
        partition=lease.partition,
        epoch=lease.epoch,
        traces=Traces.of(records),
    )
    return batch, [_addressed(one, records, lease) for one in _merged(tombstones, rejected)]


def _beside(records: Records, outside: Collection[str], lease: Lease) -> RecordMetadata | None:
    """The metadata columns that the fields need."""
    if not outside:
        return None
    keys = records.keys() if KEY in outside else ()
    return RecordMetadata(lease, keys, records.times_ms() if TIMESTAMP in outside else None)


def _merged(tombstones: list[Rejected], rejected: list[Rejected]) -> list[Rejected]:
    return sorted([*tombstones, *rejected], key=lambda one: one.offset) if tombstones else rejected


def _addressed(one: Rejected, records: Records, lease: Lease) -> Rejected:
    row = int(np.searchsorted(records.offsets, one.offset))
    return replace(one, lease=lease, **records.envelope(row))
