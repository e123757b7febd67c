"""`streamer init`: inspects a topic or a file and writes the configuration that reads it."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from streamer.cli.init_notes import InitNotes, with_value
from streamer.cli.init_yaml import FoundStream, Remarks, literal, render
from streamer.cli.kafka_address import (
    SCHEME,
    Base,
    TopicAddress,
    at,
    load_base,
    parse_address,
    quiet,
)

if TYPE_CHECKING:
    from streamer.connect.formats.columns import RecordFields
    from streamer.connect.formats.sniff import Shape
    from streamer.connect.kafka.consumer.peek import PeekedRecord
    from streamer.event import EventBatch, Rejected

SAMPLE = 2000
LEAST_LATE_S, MOST_LATE_S = 60.0, 86_400.0
BURST_S = 2.0  # records within less time give no rate


@click.command()
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.option(
    "--from",
    "origin",
    metavar="kafka://HOST:PORT/TOPIC",
    help="The topic to look into, instead of a FILE.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default="config.yaml",
    show_default=True,
    metavar="FILE",
    help="Where the configuration is written.",
)
@click.option("--yes", is_flag=True, help="Write over a file that is there.")
@click.option(
    "-c",
    "--config",
    "config",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Takes the kafka and schema_registry sections from this file.",
)
@click.option("--registry", metavar="URL", help="The schema registry of Avro records.")
@click.option(
    "--seconds",
    type=click.IntRange(1, 600),
    default=10,
    show_default=True,
    help="How long to wait for records.",
)
def init(
    *,
    file: Path | None,
    origin: str | None,
    out: Path,
    yes: bool,
    config: Path | None,
    registry: str | None,
    seconds: int,
) -> None:
    """Look at a FILE or at the newest records of a topic, and write a config.yaml that reads them.

    The findings and the uncertain ones are printed in plain words. The file is checked before it is
    written.
    """
    if (file is None) == (origin is None):
        raise click.UsageError(f"name a FILE, or a topic with --from {SCHEME}host:port/topic")
    if out.exists() and not yes:
        raise click.UsageError(
            f"{out} is there already; name another with --out FILE, or write over it with --yes"
        )
    quiet()
    found = (
        from_file(file)
        if file is not None
        else from_topic(_address(origin or ""), config, registry, seconds)
    )
    _write(out, render(found), has_secret=_has_secret(found))
    for note in found.remarks.notes:
        click.echo(f"  {note}")
    for doubt in found.remarks.unsure:
        click.echo(f"  {click.style('unsure', fg='yellow')}: {doubt}")
    click.echo(f"written: {out}; next: streamer check -c {out}, then streamer run -c {out}")


def _address(text: str) -> TopicAddress:
    try:
        return parse_address(text)
    except ValueError as exc:
        raise click.UsageError(str(exc)) from None


def from_file(path: Path) -> FoundStream:
    """Return what the first rows of a CSV or JSON lines file hold."""
    from streamer.connect.files.infer import guess_fields
    from streamer.connect.files.source import FileSource
    from streamer.connect.formats.columns import RecordFields
    from streamer.connect.formats.sniff import shape_of

    guess = guess_fields(path)
    columns = guess.columns
    source = FileSource(
        path, guess.fields, form=guess.form, separator=guess.separator, columns=columns, rows=SAMPLE
    )
    with closing(source):
        poll = source.poll(1.0)
    batches, rejected = ((), ()) if poll is None else (poll.batches, poll.rejected)
    fields = RecordFields(
        guess.fields.channels, guess.fields.entity, guess.fields.time, guess.time_unit
    )
    said = InitNotes(list(guess.notes))
    shape = shape_of(batches, fields.channels)
    said.shape(shape, fields, rate=None)
    said.rejected(shape.rows, rejected)
    section = {"kind": "file", "path": literal(str(path))}
    section |= {} if guess.form == "jsonl" else {"separator": guess.separator}
    return _found(
        path.stem, f"the first {shape.rows:,} rows of {path}", section, fields, shape, said
    )


def from_topic(
    address: TopicAddress, path: Path | None, registry: str | None, seconds: int
) -> FoundStream:
    """Return what the newest records of a topic hold."""
    from streamer.connect.kafka.consumer.peek import Peek
    from streamer.errors import InputError

    base = load_base(path, (f"schema_registry.url={registry}",) if registry else ())
    kafka = at(base.kafka, address)
    with closing(Peek(kafka, [address.topic])) as peek:
        partitions = len(peek.partitions)
        records = peek.latest(SAMPLE, seconds)
    if not records:
        raise InputError(
            f"{address}: nothing is there and nothing came in {seconds} s; start its producer and "
            f"try again"
        )
    found = understand(records, partitions, address.topic, base)
    sections = raw_sections(path)
    servers = {"bootstrap_servers": list(address.servers)}
    schemas = {"url": registry} if registry else sections.get("schema_registry")
    schemas = schemas if found.source["format"] == "avro" else None
    return replace(found, kafka={**sections.get("kafka", {}), **servers}, schema_registry=schemas)


def understand(
    records: Sequence[PeekedRecord], partitions: int, topic: str, base: Base
) -> FoundStream:
    """Return the configuration for some records, without the sections of servers."""
    from streamer.connect.files.infer import guess_fields
    from streamer.connect.formats.columns import RecordFields
    from streamer.connect.formats.sniff import common_format, lines_of, shape_of

    values = [record.value for record in records if record.value is not None]
    form = common_format(values)
    guess = guess_fields(lines_of(values, form, base.schema_registry))
    source: dict[str, Any] = {"kind": "kafka", "topic": topic, "group": "streamer", "format": form}
    source |= {"columns": list(guess.columns or ())} if form == "csv" else {}
    said = InitNotes(
        [
            f"{len(records):,} records of {partitions} partitions looked at: {_format_note(form)}",
            *guess.notes[1:],
        ]
    )
    fields = said.beside(
        records, RecordFields(guess.fields.channels, guess.fields.entity, guess.fields.time, "auto")
    )
    batches, rejected = decoded(records, source, fields, base)
    fields = replace(fields, time_unit="auto" if fields.time in fields.outside else guess.time_unit)
    shape = shape_of(batches, fields.channels)
    said.shape(shape, fields, rate=_rate(records))
    said.rejected(shape.rows, rejected)
    said.topic(records, batches, partitions)
    said.columns(guess, form)
    source = {
        name: list(map(literal, value)) if name == "columns" else value
        for name, value in source.items()
    }
    return _found(
        topic, f"the newest {len(records):,} records of {topic}", source, fields, shape, said
    )


def decoded(
    records: Sequence[PeekedRecord], source: Mapping[str, Any], fields: RecordFields, base: Base
) -> tuple[list[EventBatch], list[Rejected]]:
    """Decode the records with the decoder of the daemon, in order."""
    import numpy as np

    from streamer.config import config_from
    from streamer.connect.formats.factory import decoder_for
    from streamer.connect.formats.record_metadata import RecordMetadata
    from streamer.event import Lease

    body = {"name": "sample", "source": source, "fields": _fields(fields, str)}
    registry = (
        {}
        if base.schema_registry is None
        else {"schema_registry": {"url": base.schema_registry.url}}
    )
    stream = config_from(
        {"version": 1, "streams": [body], "kafka": {}, **registry}, env=os.environ
    ).streams[0]
    lease, full = Lease(str(source["topic"]), 0), with_value(records)
    decoder = decoder_for(stream, base.schema_registry)(lease)
    times_ms = np.array([record.timestamp_ms for record in full], np.int64)
    beside = RecordMetadata(lease, [record.key for record in full], times_ms)
    batch, rejected = decoder.decode(
        [record.value or b"" for record in full], np.arange(len(full)), beside
    )
    return [batch] if len(batch) else [], rejected


def _fields(fields: RecordFields, named: Callable[[str], str]) -> dict[str, Any]:
    """Return the section `fields` as data; `named` writes each name."""
    from streamer.connect.formats.record_metadata import written

    def at(name: str) -> str:
        return name if name in fields.outside else named(written(name))

    time = None if fields.time is None else {"path": at(fields.time), "unit": fields.time_unit}
    return {
        "entity": list(map(at, fields.entity)),
        "time": time,
        "channels": list(map(named, fields.channels)),
    }


def _rate(records: Sequence[PeekedRecord]) -> float | None:
    """Return records per second by their own timestamps; None if they came in one burst."""
    span_s = (records[-1].timestamp_ms - records[0].timestamp_ms) / 1000
    return (len(records) - 1) / span_s if span_s >= BURST_S else None


def _format_note(form: str) -> str:
    return {"json": "JSON", "msgpack": "MessagePack", "avro": "Avro", "csv": "CSV"}[form]


def _found(
    name: str,
    looked_at: str,
    source: Mapping[str, Any],
    fields: RecordFields,
    shape: Shape,
    said: InitNotes,
) -> FoundStream:
    told = _fields(fields, literal)
    return FoundStream(
        name=_stream_name(name),
        looked_at=looked_at,
        source=source,
        entity=tuple(told["entity"]),
        time=None if fields.time is None else told["time"]["path"],
        unit=fields.time_unit,
        channels=tuple(told["channels"]),
        late=_late(shape.late_s),
        entities=shape.entities,
        remarks=Remarks(said.notes, said.unsure),
    )


def _stream_name(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).lstrip("._-")[:100] or "stream"


def _late(seen_s: float) -> str:
    """Return four times the largest lateness that was seen, in whole seconds."""
    from streamer.config import Duration

    return str(Duration(min(MOST_LATE_S, max(LEAST_LATE_S, float(math.ceil(4 * seen_s))))))


def raw_sections(path: Path | None) -> dict[str, Any]:
    """Return the sections of servers as written; `${VAR}` stays `${VAR}`."""
    from streamer.config.document import parse_text
    from streamer.config.expand import Expanded

    data = {} if path is None else parse_text(path.read_text("utf-8-sig"), str(path), Expanded).data
    return {
        name: data[name]
        for name in ("kafka", "schema_registry")
        if isinstance(data, dict) and data.get(name)
    }


def _has_secret(found: FoundStream) -> bool:
    told = f"{found.kafka} {found.schema_registry}"
    return "password" in told or "secret" in told


def _write(out: Path, text: str, *, has_secret: bool) -> None:
    """Check the text, then replace the file atomically.

    Only the owner may read it if it holds a login.
    """
    from streamer.config import ConfigErrors, load_config
    from streamer.errors import InputError

    draft = out.with_name(f".{out.name}.{os.getpid()}")
    try:
        with os.fdopen(
            os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600 if has_secret else 0o644),
            "w",
        ) as file:
            file.write(text)
        load_config(draft)
        draft.replace(out)
    except ConfigErrors as exc:
        raise InputError(
            f"what was found makes no configuration that works; write one by hand:\n{exc}"
        ) from exc
    except OSError as exc:
        raise InputError(f"{out}: cannot be written: {exc.strerror or exc}") from exc
    finally:
        draft.unlink(missing_ok=True)
