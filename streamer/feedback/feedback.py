"""Opens the journal, the incident recorder and the label consumer of the service."""

from __future__ import annotations

from dataclasses import dataclass

from streamer.config import Config
from streamer.connect import open_journal
from streamer.connect.label_sources import LabelSource, open_labels
from streamer.connect.storage.sqlite_journal import SqliteJournal
from streamer.event import Alert
from streamer.feedback.incident_recorder import IncidentRecorder
from streamer.feedback.label_consumer import LabelConsumer
from streamer.feedback.label_feed import LabelFeed
from streamer.journal import Journal


@dataclass(frozen=True, slots=True)
class FeedbackService:
    """The journal, and the objects that read and write it."""

    journal: Journal
    incident_recorder: IncidentRecorder
    listener: LabelConsumer
    label_feed: LabelFeed

    def tell(self, message: object) -> None:
        """Record a message that was sent to the sinks, if it is an alert."""
        if isinstance(message, Alert):
            self.incident_recorder.tell(message)


def open_hearing(config: Config, *, dry_run: bool = False) -> FeedbackService:
    """Open the feedback service; StoreError if the journal cannot be opened.

    In a dry run nothing is written and no labels are read.
    """
    if dry_run:
        return forgetful()
    journal, label_feed, section = open_journal(config), LabelFeed(), config.labels

    def source() -> LabelSource:
        assert section is not None
        return open_labels(section, config.kafka, journal.place)

    return FeedbackService(
        journal,
        IncidentRecorder(journal),
        LabelConsumer(journal, label_feed, None if section is None else source),
        label_feed,
    )


def forgetful() -> FeedbackService:
    """Return a feedback service in memory, which ends with the process."""
    journal, label_feed = SqliteJournal(None), LabelFeed()
    return FeedbackService(
        journal, IncidentRecorder(journal), LabelConsumer(journal, label_feed), label_feed
    )
