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

    kind: Literal["none"] = Field(default="none", description="Selects that nothing is kept.")


class FileStore(Section):
    """A folder of this machine; each snapshot is written whole and synced."""

    kind: Literal["files"] = Field(description="Selects a folder as the store.")
    path: Text = Field(
        default="state",
        description="Folder of snapshots and of the journal of incidents and labels. It must "
        "outlive a restart.",
    )


class RedisStore(Section):
    """A Redis that every member of the group reaches; it may be down, and nothing but its freshness
    suffers.
    """

    kind: Literal["redis"] = Field(description="Selects a Redis as the store.")
    url: RedisUrl = Field(
        default="redis://localhost:6379/0",
        description="Address of the Redis with the number of the database; rediss:// is TLS. "
        "Credentials have settings of their own.",
    )
    username: Text | None = Field(
        default=None,
        description="User of the Redis' access control list. Null is the default user.",
    )
    password: MaybeSecret = Field(
        default=None,
        description="Password. Write `${file:/run/secrets/name}` or a variable, never the password "
        "itself.",
    )
    ca: Text | None = Field(
        default=None,
        description="PEM file of an authority that is trusted beside the ones of this machine, for "
        "rediss://.",
    )
    prefix: Name = Field(
        default="streamer",
        description="Prefix of every key. Change it where several deployments share a Redis.",
    )
    timeout: Duration = Field(
        default=Duration(0.25),
        description="Longest wait for one command, 10ms to 1m. Raise it where the Redis is far "
        "away.",
    )

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

    every: Duration = Field(
        default=Duration(60),
        description="Time between two snapshots of a partition, 1s to 24h. Lower it for faster "
        "restarts, raise it to spare the store.",
    )

    def rules(self) -> Iterator[Rule]:
        yield from between(self, "every", Duration(1), Duration(86_400))


class DeadLetterFile(Section):
    """Rejected records appended to a JSONL file, with their bytes and the reason."""

    kind: Literal["file"] = Field(description="Selects a file for dead letters.")
    path: Text = Field(description="JSONL file that rejected records are appended to.")


class LabelFile(Section):
    """What operators say of incidents, one JSON object a line, appended by somebody."""

    kind: Literal["file"] = Field(description="Selects a file as the origin of labels.")
    path: Text = Field(
        description="JSONL file that somebody appends labels to; it is followed while the daemon "
        "runs."
    )


class LabelTopic(Section):
    """What operators say of incidents, as JSON records of a topic."""

    kind: Literal["kafka"] = Field(description="Selects a topic of Kafka as the origin of labels.")
    topic: Topic = Field(description="The topic that labels are read from.")


Labels = Annotated[LabelFile | LabelTopic, Field(discriminator="kind")]


class SchemaRegistry(Section):
    """Where the Avro schemas of records are looked up, by the id in front of each."""

    url: HttpUrl = Field(description="Address of the schema registry.")
    username: Text | None = Field(
        default=None,
        description="User name, where the registry needs a login; often called an API key.",
    )
    password: MaybeSecret = Field(
        default=None,
        description="Password, where the registry needs a login; often called an API secret.",
    )
    ca: Text | None = Field(
        default=None,
        description="PEM file of the authority that signed the registry's certificate. Null trusts "
        "the authorities that this machine trusts.",
    )

    @property
    def plaintext(self) -> bool:
        return self.url.startswith("http:") and not is_loopback(host_of(self.url))

    def rules(self) -> Iterator[Rule]:
        if (self.username is None) != (self.password is None):
            missing = "password" if self.password is None else "username"
            yield (missing,), "is missing: username and password go together"
        if self.ca is not None and self.url.startswith("http:"):
            yield ("ca",), "needs an https:// url"
