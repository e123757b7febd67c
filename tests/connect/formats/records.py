"""Records in the framing of a schema registry, and a registry in memory."""

from __future__ import annotations

import io
import json
from typing import Any

import fastavro
import numpy as np

from streamer.connect.formats.avro import HEAD, AvroDecoder, Schemas
from streamer.connect.formats.columns import RecordFields
from streamer.connect.formats.decoder import Decoder
from streamer.connect.formats.schema_registry import UnknownSchemaError
from streamer.errors import RetryLater
from streamer.event import EventBatch, Lease, Rejected

FIELDS = RecordFields(("v.rms", "temp"), ("who",), "ts")
LEASE = Lease("raw", 3, 7)
Record = dict[str, Any]
MAYBE = ["null", "double"]
SCHEMA: Record = {
    "type": "record",
    "name": "Reading",
    "namespace": "plant",
    "fields": [
        {"name": "ts", "type": "double"},
        {"name": "who", "type": "string"},
        {
            "name": "v",
            "type": [
                "null",
                {"type": "record", "name": "V", "fields": [{"name": "rms", "type": MAYBE}]},
            ],
        },
        {"name": "temp", "type": ["null", "double", "boolean", "long"]},
        {
            "name": "tags",
            "type": {
                "type": "array",
                "items": ["null", "string", {"type": "map", "values": "bytes"}],
            },
        },
    ],
}


class Registry:
    """Schemas in memory, by the order in which they are registered; `down` makes it
    answer nothing.
    """

    def __init__(self, *schemas: Any) -> None:
        self.found: list[Record] = [
            s if "schema" in s else {"schema": json.dumps(s)} for s in schemas
        ]
        self.subjects: dict[tuple[str, int], Record] = {}
        self.asked: list[int] = []
        self.down = False

    def schema(self, number: int) -> Record:
        self.asked.append(number)
        if self.down:
            raise RetryLater("the registry is down")
        if number >= len(self.found):
            raise UnknownSchemaError(f"no schema {number}")
        return self.found[number]

    def version(self, subject: str, version: int) -> Record:
        return self.subjects[subject, version]


def framed(record: Any, schema: Any = SCHEMA, number: int = 0) -> bytes:
    body = io.BytesIO()
    fastavro.schemaless_writer(body, fastavro.parse_schema(schema), record)
    return HEAD.pack(0, number) + body.getvalue()


def avro(registry: Registry, fields: RecordFields = FIELDS) -> Decoder:
    return AvroDecoder(fields, Schemas(registry, fields), stream="s", lease=LEASE)


def decode(decoder: Decoder, *values: bytes) -> tuple[EventBatch, list[Rejected]]:
    return decoder.decode(values, np.arange(len(values), dtype=np.int64))


def reasons(decoder: Decoder, *values: bytes) -> list[tuple[str, str]]:
    return [(one.reason, one.detail) for one in decode(decoder, *values)[1]]
