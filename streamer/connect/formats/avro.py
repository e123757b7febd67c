"""Avro records to columns.

A record is a zero byte, the id of the writer's schema in four bytes, and the Avro body.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from io import BytesIO
from typing import Any, Protocol

import msgspec

from streamer.connect.formats.avro_schema import AvroPlan, UnusableSchemaError, plan_for
from streamer.connect.formats.columns import RecordFields
from streamer.connect.formats.decoder import MAX_LINE_BYTES, shown
from streamer.connect.formats.objects import ObjectDecoder, Path, Unreadable, split_path
from streamer.connect.formats.schema_registry import Answer, UnknownSchemaError
from streamer.errors import ConfigError
from streamer.event import Lease

HEAD = struct.Struct(">bI")


class SchemaLookup(Protocol):
    """The requests that a decoder sends to a schema registry."""

    def schema(self, number: int, /) -> Answer: ...

    def version(self, subject: str, version: int, /) -> Answer: ...


class Schemas:
    """Reading plans by schema id for one field mapping, shared by the decoders of a stream."""

    def __init__(self, registry: SchemaLookup, fields: RecordFields) -> None:
        # a str value is the problem of an unusable schema
        self._registry, self._plans = (registry, dict[int, AvroPlan | str]())
        self._paths: dict[Path, str | None] = {split_path(name): None for name in fields.own.names}
        if fields.own.time is not None:
            self._paths[split_path(fields.own.time)] = fields.time_unit

    def plan(self, number: int) -> AvroPlan:
        """Return the plan of a schema id.

        Unreadable if the schema does not exist or cannot be used. RetryLater if the registry does
        not answer.
        """
        plan = self._plans.get(number)
        if plan is None:
            plan = self._plans[number] = self._asked(number)
        if isinstance(plan, str):
            raise Unreadable("unknown_schema", plan)
        return plan

    def _asked(self, number: int) -> AvroPlan | str:
        try:
            return plan_for(self._registry.schema(number), self._registry.version, self._paths)
        except UnusableSchemaError as exc:
            return f"schema {number} {exc}"
        except UnknownSchemaError as exc:
            raise Unreadable("unknown_schema", str(exc)) from None


class AvroDecoder(ObjectDecoder):
    """Decoder of Avro records in the registry's framing, each read with its writer's schema.

    Fields are found by name, so every schema of a topic's history is read; a channel that a schema
    lacks is missing. Times with a logical type need no unit, decimals are numbers, enums and texts
    are names. A record whose schema the registry does not know is rejected as unknown_schema. A
    record without framing, or not of its schema, is rejected as bad_avro. ConfigError without
    fastavro.

    `decode` raises RetryLater before it has counted anything, while the registry does not answer.
    The source then keeps the records, reads no further, reports the error as its `problem` and
    offers the same records at its next poll. No good record is lost, committed or dead-lettered
    meanwhile.
    """

    malformed = "bad_avro"

    def __init__(
        self,
        fields: RecordFields,
        schemas: Schemas,
        *,
        stream: str,
        lease: Lease | None = None,
        max_line_bytes: int = MAX_LINE_BYTES,
    ) -> None:
        super().__init__(fields, stream=stream, lease=lease, max_line_bytes=max_line_bytes)
        self._schemas, self._read = schemas, _reader()

    def _typed_parser(self, record: type) -> Callable[[bytes], Any]:
        return lambda line: msgspec.convert(self._plain(line), record)

    def _plain(self, line: bytes) -> Any:
        number = self._number(line)
        plan, body = self._schemas.plan(number), BytesIO(line)
        body.seek(HEAD.size)
        try:
            record = self._read(body, plan.schema, None)
        except (UnicodeDecodeError, RecursionError):
            raise
        except Exception:  # any exception of the foreign reader means bad bytes
            raise Unreadable(
                self.malformed, f"is no record of schema {number}: {shown(line[:80])}"
            ) from None
        left = len(line) - body.tell()
        if left:
            raise Unreadable(
                self.malformed, f"is no record of schema {number}: {left} bytes are left over"
            )
        return plan.plain(record)

    def _number(self, line: bytes) -> int:
        if len(line) < HEAD.size or line[0]:
            raise Unreadable(
                self.malformed,
                f"no zero and four bytes of a schema id in front: {shown(line[:80])}",
            )
        return int(HEAD.unpack_from(line)[1])


def _reader() -> Callable[[BytesIO, Any, None], Any]:
    try:
        from fastavro import schemaless_reader
    except ImportError as exc:
        problem = "needs fastavro; install it with: pip install 'streamer[avro]'"
        raise ConfigError("source.format", problem, "avro") from exc
    return schemaless_reader
