"""What the service knows of the past and hears from people, opened: journal, chronicle and listener."""

from __future__ import annotations

from dataclasses import dataclass

from streamer.config import Config
from streamer.connect import open_journal
from streamer.connect.label_sources import LabelSource, open_labels
from streamer.connect.storage.sqlite_journal import SqliteJournal
from streamer.event import Alert
from streamer.feedback.incident_recorder import Chronicle
from streamer.feedback.label_consumer import Board, Listener
from streamer.journal import Journal


@dataclass(frozen=True, slots=True)
class Hearing:
    """The journal and who works on it."""

    journal: Journal
    chronicle: Chronicle
    listener: Listener
    board: Board

    def tell(self, message: object) -> None:
        """Note what was sent to the sinks, if it is an alert."""
        if isinstance(message, Alert):
            self.chronicle.tell(message)


def open_hearing(config: Config, *, dry_run: bool = False) -> Hearing:
    """Opened; in a dry run nothing is written and nobody is heard. StoreError if the journal cannot be opened."""
    if dry_run:
        return forgetful()
    journal, board, section = open_journal(config), Board(), config.labels

    def source() -> LabelSource:
        assert section is not None
        return open_labels(section, config.kafka, journal.place)

    return Hearing(journal, Chronicle(journal), Listener(journal, board, None if section is None else source), board)


def forgetful() -> Hearing:
    """Of a process that keeps nothing: what is known ends with it."""
    journal, board = SqliteJournal(None), Board()
    return Hearing(journal, Chronicle(journal), Listener(journal, board), board)
