"""Which decoder reads the records of a topic."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from streamer.connect.formats.columns import RecordFields
from streamer.connect.formats.decoder import Decoder
from streamer.connect.formats.record_metadata import plain
from streamer.errors import ConfigError
from streamer.event import Lease

if TYPE_CHECKING:
    from streamer import config
    from streamer.config.parts import Framing

DecoderFor = Callable[[Lease], Decoder]


def decoder_for(stream: config.Stream, registry: config.SchemaRegistry | None) -> DecoderFor:
    """A decoder for each lease of a stream of records, by the format of its source.

    ConfigError or InputError, at once and not at the first record, where one cannot be made: fields
    that clash, csv without the named columns, avro without a registry or without fastavro.
    """
    framing = stream.source.framing
    if framing is None:
        raise ConfigError(
            "source.kind", "only records of a topic have a decoder", stream.source.kind
        )
    make = _maker(framing, fields_of(stream.fields), registry)

    def decoder(lease: Lease | None) -> Decoder:
        return make(stream=stream.name, lease=lease, max_line_bytes=framing.max_record)

    decoder(None)
    return decoder


def fields_of(section: config.Fields, channels: Sequence[str] = ()) -> RecordFields:
    """The fields of a configuration; `channels` where it names none. `\\@x` is a field of the
    value, named @x.
    """
    time = section.time
    named = (*section.entity, *([time.path] if time else []))
    return RecordFields(
        tuple(section.channels or channels),
        tuple(map(plain, section.entity)),
        plain(time.path) if time else None,
        time.unit if time else "auto",
        frozenset(name for name in named if name.startswith("@")),
    )


def _maker(
    framing: Framing, fields: RecordFields, registry: config.SchemaRegistry | None
) -> Callable[..., Decoder]:
    if framing.format == "avro":
        return _avro(fields, registry)
    if framing.format == "csv":
        from streamer.connect.formats.csv import CsvDecoder

        return partial(CsvDecoder, fields, framing.columns)
    if framing.format == "msgpack":
        from streamer.connect.formats.msgpack import MsgpackDecoder

        return partial(MsgpackDecoder, fields)
    from streamer.connect.formats.json import JsonDecoder

    return partial(JsonDecoder, fields)


def _avro(fields: RecordFields, registry: config.SchemaRegistry | None) -> Callable[..., Decoder]:
    from streamer.connect.formats.avro import AvroDecoder, Schemas
    from streamer.connect.formats.schema_registry import SchemaRegistry

    if registry is None:
        raise ConfigError("schema_registry", "is needed where a source has format: avro")
    return partial(AvroDecoder, fields, Schemas(SchemaRegistry(registry), fields))
