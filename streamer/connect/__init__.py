"""Where data comes in and alerts go out. The only place that knows files, sockets and other people's formats.

Here: from the sections of config.yaml to open sources and sinks. What a section names is imported only then.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from streamer.errors import ConfigError

if TYPE_CHECKING:
    from streamer import config
    from streamer.connect.codec import Fields
    from streamer.protocols import ScoreSink, Sink, Source

CARD_KEYS = ("customer", "terminal")


def open_source(stream: config.Stream) -> Source:
    """The source of a stream, opened. InputError or ConfigError if it cannot be."""
    section = stream.source
    if section.kind == "file":
        return _file(stream, section)
    if section.kind == "synthetic":
        return _synthetic(stream.name, section)
    if section.kind == "host":
        from streamer.connect.host import HostSource

        return HostSource(float(section.every), stream=stream.name)
    from streamer.connect.memory import MemorySource

    return MemorySource([], endless=True)


def open_sink(section: config.Sink) -> Sink:
    """The sink, opened. SinkError if it cannot be."""
    from streamer.connect import sinks
    from streamer.connect.memory import MemorySink

    if section.kind == "stdout":
        return sinks.StdoutSink()
    return sinks.JsonlSink(section.path, fsync=section.fsync) if section.kind == "file" else MemorySink()


def open_scores(section: config.ScoreOutput, stream: config.Stream, channels: Sequence[str]) -> ScoreSink:
    """The file for the scores of a stream, continued if it is there. SinkError if it cannot be."""
    from streamer.connect.scores import ScoreCsv, ScoreJsonl

    kind = ScoreCsv if section.kind == "csv" else ScoreJsonl
    path = section.path_for(stream.name)
    return kind(path, channels, keys=_entity_names(stream), clock=_has_clock(stream), append=True)


def _entity_names(stream: config.Stream) -> tuple[str, ...]:
    cards = stream.source.kind == "synthetic" and stream.source.world == "cards"
    return CARD_KEYS if cards else tuple(stream.fields.entity)


def _has_clock(stream: config.Stream) -> bool:
    return stream.fields.time is not None or stream.source.kind != "file"


def _file(stream: config.Stream, section: config.FileSource) -> Source:
    from streamer.connect.file import FileSource

    return FileSource(
        section.path, _fields(stream.fields, section), stream=stream.name, form=section.format,
        separator=section.separator, rows=section.poll_rows, pace=section.pace, max_line_bytes=int(section.max_line),
    )  # fmt: skip


def _fields(section: config.Fields, source: config.FileSource) -> Fields:
    """The fields as configured; channels that are not named are looked for in the file."""
    from streamer.connect.codec import Fields
    from streamer.connect.guess import guess_fields
    from streamer.connect.lines import is_pipe

    unit = section.time.unit if section.time else "auto"
    time = section.time.path if section.time else None
    if section.channels:
        return Fields(tuple(section.channels), tuple(section.entity), time, unit)
    if is_pipe(source.path):
        raise ConfigError("fields.channels", "must be named for a pipe, which cannot be read twice", source.path)
    separator = None if source.separator == "auto" else source.separator
    found = guess_fields(source.path, time=time or "", entity=section.entity or (), separator=separator)
    return Fields(found.fields.channels, tuple(section.entity), time, unit)


def _synthetic(name: str, section: config.SyntheticSource) -> Source:
    from streamer.connect.synthetic import SyntheticSource

    return SyntheticSource(
        section.world, seed=section.seed, entities=section.entities, faults=section.faults, stream=name,
        rows=section.poll_rows, events=section.events, pace=section.pace,
    )  # fmt: skip
