"""Sources of labels besides the command line: a JSONL file that grows, or a topic."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from streamer.connect.base.opening import function
from streamer.errors import InputError

if TYPE_CHECKING:
    from streamer import config
    from streamer.config import Kafka, Labels

MOST_BYTES = 2**20  # read at once
Place = Callable[[str], int | None]


@dataclass(frozen=True, slots=True)
class LabelLine:
    """One label as read; `place` is the position of its source after it."""

    text: bytes
    origin: str
    source: str
    place: int


class LabelSource(Protocol):
    """Labels in the order of their source. Used by one thread."""

    def poll(self, timeout_s: float) -> list[LabelLine]:
        """Return new labels; InputError or BrokerError if the source cannot be read now."""

    def close(self) -> None: ...


class LabelFile:
    """Whole lines appended to a file since the stored position.

    A missing file counts as empty.
    """

    def __init__(self, path: str | Path, place: Place) -> None:
        self._path, self._source = Path(path), f"file:{Path(path).name}"
        self._at = place(self._source) or 0

    def poll(self, timeout_s: float) -> list[LabelLine]:
        try:
            data = self._new()
        except OSError as exc:
            raise InputError(
                f"{self._path}: labels cannot be read: {exc.strerror}; check the permissions"
            ) from exc
        return [
            self._line(text) for text in data[: data.rfind(b"\n") + 1].splitlines(keepends=True)
        ]

    def close(self) -> None:
        """Do nothing: no file is held open."""

    def _new(self) -> bytes:
        with suppress(FileNotFoundError), self._path.open("rb") as file:
            if file.seek(0, 2) < self._at:  # the file was truncated or replaced
                self._at = 0
            file.seek(self._at)
            data = file.read(MOST_BYTES)
            if len(data) == MOST_BYTES and b"\n" not in data:
                raise InputError(
                    f"{self._path}: has a line of more than {MOST_BYTES} bytes, which is no "
                    f"label; remove it"
                )
            return data
        return b""

    def _line(self, text: bytes) -> LabelLine:
        """Return the label of a line.

        The same text at the same position has the same origin, even if the file was replaced.
        """
        origin = f"{self._source}@{self._at}:{hashlib.sha256(text).hexdigest()[:12]}"
        self._at += len(text)
        return LabelLine(text.strip(), origin, self._source, self._at)


class LabelTopic:
    """The records of a topic from the stored positions, else from its beginning.

    It joins no group.
    """

    def __init__(self, kafka: Kafka, topic: str, place: Place) -> None:
        """Open the topic; BrokerError if it cannot be reached or does not exist."""
        from streamer.connect.kafka.consumer.peek import Peek

        self._peek = Peek(kafka, [topic])
        self._peek.from_start()
        self._peek.from_offsets(_places(topic, self._peek.partitions, place))

    def poll(self, timeout_s: float) -> list[LabelLine]:
        found = self._peek.poll(timeout_s)
        return [
            LabelLine(
                r.value or b"",
                f"{r.topic}-{r.partition}@{r.offset}",
                f"{r.topic}-{r.partition}",
                r.offset + 1,
            )
            for r in found
        ]

    def close(self) -> None:
        self._peek.close()


def _places(topic: str, partitions: list[tuple[str, int]], place: Place) -> Mapping[int, int]:
    remembered = {number: place(f"{topic}-{number}") for _, number in partitions}
    return {number: at for number, at in remembered.items() if at is not None}


def open_labels(section: Labels, kafka: Kafka, place: Place) -> LabelSource:
    """Open the source of labels; BrokerError if it cannot be opened."""
    from streamer.config.state import LABELS

    source: LabelSource = function(LABELS.of(section).open)(section, kafka, place)
    return source


def open_file(section: config.LabelFile, kafka: Kafka, place: Place) -> LabelFile:
    """Open the file of labels of a section."""
    return LabelFile(section.path, place)


def open_topic(section: config.LabelTopic, kafka: Kafka, place: Place) -> LabelTopic:
    """The labels of a section's topic. BrokerError if it cannot be read."""
    return LabelTopic(kafka, section.topic, place)
