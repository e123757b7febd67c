"""Where dead letters lie, to be looked through and sent back: a file, or (in `kafka.letter_topic`)
a topic.
"""

from __future__ import annotations

import glob
import heapq
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import msgspec

from streamer.connect.dead_letters.letter import Origin, origin, read_letters
from streamer.connect.files.append import AppendFile
from streamer.errors import InputError
from streamer.protocols import Letter


@dataclass(frozen=True, slots=True)
class Stored:
    """A letter and where it lies: the line of a file, `worker@line` of several, or
    `partition@offset` of a topic.
    """

    place: str
    letter: Letter


class LetterBox(Protocol):
    """Letters that are kept, and which of them were sent back."""

    name: str
    damaged: int  # lines or records passed over that are no letters; known after a reading

    def letters(self) -> Iterator[Stored]:
        """All there are now, oldest first. InputError if they cannot be read."""

    def replayed(self) -> set[Origin]:
        """What is noted as sent back; known after a reading."""

    def note(self, origins: Iterable[Origin]) -> None:
        """Note that these were sent back. SinkError if that cannot be written."""

    def close(self) -> None: ...


class FileBox:
    """Letters in a file; what was sent back is noted in a file beside it, `<path>.replayed`."""

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
        """Nothing is held open."""

    def _on_damage(self, line: int) -> None:
        self.damaged += 1


class WorkerBox(FileBox):
    """Letters in the files of several workers, whose numbers stand where the path has `mark`; notes
    for all of them.

    Letters come in the order of their times, so that those of a partition that moved keep theirs.
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
    """The files whose path is `path` with one number wherever it has `mark`, by that number."""
    first, *others = path.split(mark)
    name = re.escape(first) + "([0-9]+)" + r"\1".join(map(re.escape, others))
    wanted = "*".join(map(glob.escape, (first, *others)))
    found = ((re.fullmatch(name, one), one) for one in glob.glob(wanted))  # noqa: PTH207  a mark may stand in folders
    return {int(match[1]): Path(one) for match, one in found if match}


def note_of(origins: Iterable[Origin]) -> bytes:
    """Origins as one line of JSON."""
    return msgspec.json.encode(list(origins))


def noted(note: bytes) -> list[Origin]:
    """The origins of a note; none where it is damaged: what is not known as sent will be sent
    again.
    """
    try:
        return msgspec.json.decode(note, type=list[Origin])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return []


def unique(letters: Iterable[Stored]) -> Iterator[Stored]:
    """One letter a record: a daemon that restarts may write a second one about it."""
    seen: set[Origin] = set()
    for stored in letters:
        about = origin(stored.letter)
        if about not in seen:
            seen.add(about)
            yield stored
