"""From a section to the source that reads its file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streamer.connect.files.infer import guess_fields
from streamer.connect.files.lines import is_pipe
from streamer.connect.files.source import FileSource
from streamer.connect.formats.columns import RecordFields
from streamer.connect.formats.factory import fields_of
from streamer.connect.formats.record_metadata import plain
from streamer.errors import ConfigError

if TYPE_CHECKING:
    from streamer import config
    from streamer.connect.base.opening import SourceContext


def open_source(
    stream: config.Stream, section: config.FileSource, context: SourceContext
) -> FileSource:
    """The source of a section. InputError or ConfigError if its file cannot be read."""
    return FileSource(
        section.path,
        _fields(stream.fields, section),
        stream=stream.name,
        form=section.format,
        separator=section.separator,
        rows=section.poll_rows,
        pace=section.pace,
        max_line_bytes=int(section.max_line),
    )


def _fields(section: config.Fields, source: config.FileSource) -> RecordFields:
    """The fields as configured; channels that are not named are looked for in the file."""
    if section.channels:
        return fields_of(section)
    if is_pipe(source.path):
        raise ConfigError(
            "fields.channels", "must be named for a pipe, which cannot be read twice", source.path
        )
    time = plain(section.time.path) if section.time else ""
    entity = tuple(map(plain, section.entity))
    separator = None if source.separator == "auto" else source.separator
    guess = guess_fields(source.path, time=time, entity=entity, separator=separator)
    return fields_of(section, guess.fields.channels)
