"""Sections of what outlives the process: snapshots and their store, dead letters in a file, the
schema registry.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import Field

from streamer.config.address import HttpUrl, MaybeSecret, RedisUrl, host_of, is_loopback
from streamer.config.base import Name, Rule, Section, Text, between
from streamer.config.kafka import Topic
from streamer.config.units import Duration


class NoStore(Section):
    """Nothing is kept: after a restart the memory is rebuilt from the log."""

    kind: Literal["none"] = "none"


class FileStore(Section):
    """A folder of this machine; each snapshot is written whole and synced."""

    kind: Literal["files"]
    path: Text = "state"


class RedisStore(Section):
    """A Redis that every member of the group reaches; it may be down, and nothing but its freshness
    suffers.
    """

    kind: Literal["redis"]
    url: RedisUrl = "redis://localhost:6379/0"
    username: Text | None = None  # of an ACL; null = the default user
    password: MaybeSecret = None
    ca: Text | None = None  # PEM file of an authority that is trusted beside the system's
    prefix: Name = "streamer"  # of every key
    timeout: Duration = Duration(0.25)  # of one command

    @property
    def plaintext(self) -> bool:
        """Whether snapshots and password cross a network unencrypted."""
        return self.url.startswith("redis:") and not is_loopback(host_of(self.url))

    def rules(self) -> Iterator[Rule]:
        database = urlsplit(self.url).path.strip("/")
        if database and not (database.isascii() and database.isdigit()):
            yield ("url",), f"must end with the number of a database, such as /0, got /{database}"
        if urlsplit(self.url).query or urlsplit(self.url).fragment:
            yield (
                ("url",),
                "must end with the number of the database; options are settings of their own",
            )
        if self.username is not None and self.password is None:
            yield ("password",), "is missing: a username needs one"
        if self.ca is not None and self.url.startswith("redis:"):
            yield ("ca",), "needs a rediss:// url"
        yield from between(self, "timeout", Duration(0.01), Duration(60))


Store = Annotated[NoStore | FileStore | RedisStore, Field(discriminator="kind")]


class Snapshots(Section):
    """How often the memory of every partition is written to the store."""

    every: Duration = Duration(60)

    def rules(self) -> Iterator[Rule]:
        yield from between(self, "every", Duration(1), Duration(86_400))


class DeadLetterFile(Section):
    """Rejected records appended to a JSONL file, with their bytes and the reason."""

    kind: Literal["file"]
    path: Text


class LabelFile(Section):
    """What operators say of incidents, one JSON object a line, appended by somebody."""

    kind: Literal["file"]
    path: Text


class LabelTopic(Section):
    """What operators say of incidents, as JSON records of a topic."""

    kind: Literal["kafka"]
    topic: Topic


Labels = Annotated[LabelFile | LabelTopic, Field(discriminator="kind")]


class SchemaRegistry(Section):
    """Where the Avro schemas of records are looked up, by the id in front of each."""

    url: HttpUrl
    username: Text | None = None
    password: MaybeSecret = None
    ca: Text | None = None  # PEM file; null = the system's

    @property
    def plaintext(self) -> bool:
        return self.url.startswith("http:") and not is_loopback(host_of(self.url))

    def rules(self) -> Iterator[Rule]:
        if (self.username is None) != (self.password is None):
            missing = "password" if self.password is None else "username"
            yield (missing,), "is missing: username and password go together"
        if self.ca is not None and self.url.startswith("http:"):
            yield ("ca",), "needs an https:// url"
