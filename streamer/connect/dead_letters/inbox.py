"""Stored dead letters: a LetterBox per kind of storage; the one for topics is in kafka_inbox."""

from __future__ import annotations

import glob
import heapq
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import msgspec

from streamer.connect.dead_letters.letter import Origin, origin, read_letters
from streamer.connect.files.append import AppendFile
from streamer.errors import InputError
from streamer.protocols import Letter

if TYPE_CHECKING:
    from streamer import config


@dataclass(frozen=True, slots=True)
class Stored:
    """A letter and its place.

    The place is the line of a file, `worker@line` of several files, or `partition@offset` of a
    topic.
    """

    place: str
    letter: Letter


class LetterBox(Protocol):
    """Stored letters, and which of them were replayed."""

    name: str
    # number of lines or records skipped because they are no letters; known after reading
    damaged: int

    def letters(self) -> Iterator[Stored]:
        """Yield all letters, oldest first; InputError if they cannot be read."""

    def replayed(self) -> set[Origin]:
        """Origins of the letters that were replayed; known after reading."""

    def note(self, origins: Iterable[Origin]) -> None:
        """Record letters as replayed; SinkError if that cannot be written."""

    def close(self) -> None: ...


class FileBox:
    """Letters in a file; replayed ones are recorded beside it, in `<path>.replayed`."""

    def __init__(self, path: str | Path, notes: str | Path | None = None) -> None:
        self.name, self.damaged = str(path), 0
        self._path, self._notes = Path(path), Path(notes or f"{path}.replayed")

    def letters(self) -> Iterator[Stored]:
        self.damaged = 0
        return (
            Stored(str(line), letter) for line, letter in read_letters(self._path, self._on_damage)
        )

    def replayed(self) -> set[Origin]:
        if not self._notes.exists():
            return set()
        try:
            lines = self._notes.read_bytes().splitlines()
        except OSError as exc:
            raise InputError(f"{self._notes}: cannot be read: {exc.strerror or exc}") from exc
        return {found for line in lines for found in noted(line)}

    def note(self, origins: Iterable[Origin]) -> None:
        file = AppendFile(self._notes)
        try:
            file.write(note_of(origins) + b"\n")
            file.sync()
        finally:
            file.close()

    def close(self) -> None:
        """Do nothing: no file is held open."""

    def _on_damage(self, line: int) -> None:
        self.damaged += 1


class WorkerBox(FileBox):
    """Letters in the files of several workers, with one file of notes for all.

    The number of a worker replaces `mark` in the path. Letters come in the order of their times, so
    a moved partition keeps its order.
    """

    def __init__(self, path: str, mark: str) -> None:
        super().__init__(path, f"{path.replace(mark, 'all')}.replayed")
        self._mark = mark

    def letters(self) -> Iterator[Stored]:
        self.damaged = 0
        files = numbered(self.name, self._mark)
        if not files:
            raise InputError(
                f"{self.name}: no worker has such a file, so nothing was rejected, or it lies "
                f"elsewhere"
            )
        each = (self._of(worker, path) for worker, path in sorted(files.items()))
        return heapq.merge(*each, key=lambda stored: stored.letter.at)

    def _of(self, worker: int, path: Path) -> Iterator[Stored]:
        return (
            Stored(f"{worker}@{line}", letter)
            for line, letter in read_letters(path, self._on_damage)
        )


def numbered(path: str, mark: str) -> dict[int, Path]:
    """Files by worker number: paths equal to `path` with a number in place of `mark`."""
    first, *others = path.split(mark)
    name = re.escape(first) + "([0-9]+)" + r"\1".join(map(re.escape, others))
    wanted = "*".join(map(glob.escape, (first, *others)))
    # glob.glob, because the mark may be part of folder names.
    found = ((re.fullmatch(name, one), one) for one in glob.glob(wanted))  # noqa: PTH207
    return {int(match[1]): Path(one) for match, one in found if match}


def note_of(origins: Iterable[Origin]) -> bytes:
    """Return origins as one line of JSON."""
    return msgspec.json.encode(list(origins))


def noted(note: bytes) -> list[Origin]:
    """Return the origins of a note.

    Empty if the note is damaged: those letters will be sent again.
    """
    try:
        return msgspec.json.decode(note, type=list[Origin])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return []


def unique(letters: Iterable[Stored]) -> Iterator[Stored]:
    """Yield one letter per record: a restarted daemon may write a second one about it."""
    seen: set[Origin] = set()
    for stored in letters:
        about = origin(stored.letter)
        if about not in seen:
            seen.add(about)
            yield stored


def open_inbox(section: config.DeadLetterFile, whole: config.Config, mark: str) -> FileBox:
    """The letters of a section; those of all workers where its path has their mark."""
    return WorkerBox(section.path, mark) if mark in section.path else FileBox(section.path)
