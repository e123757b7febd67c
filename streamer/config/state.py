"""Sections of stored state: snapshots, dead letters in a file, labels, the schema registry."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal
from urllib.parse import urlsplit

from pydantic import Field

from streamer.config.address import HttpUrl, MaybeSecret, RedisUrl, host_of, is_loopback
from streamer.config.base import Name, Rule, Section, Text, between
from streamer.config.kafka import Topic
from streamer.config.kinds import Kinds, LabelSourceKind, StoreKind
from streamer.config.parts import DeadLetterSection, LabelSection, OpenSetting, StoreSection
from streamer.config.units import Duration


class NoStore(StoreSection):
    """No store: after a restart the memory is rebuilt from the log."""

    keeps: ClassVar[bool] = False

    kind: Literal["none"] = Field(default="none", description="Selects that nothing is kept.")


class FileStore(StoreSection):
    """A folder of this machine; each snapshot is replaced atomically and synced."""

    kind: Literal["files"] = Field(description="Selects a folder as the store.")
    path: Text = Field(
        default="state",
        description="Folder of snapshots and of the journal of incidents and labels. It must "
        "outlive a restart.",
    )

    @property
    def folder(self) -> str:
        return self.path


class RedisStore(StoreSection):
    """A Redis that every member of the group reaches.

    While it is down, scoring goes on and snapshots grow old.
    """

    holds_models: ClassVar[bool] = True
    requires: ClassVar[tuple[str, ...]] = ("redis",)

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

    def writers(self) -> tuple[str, bool]:
        if self.password is None:
            return "whoever reaches the Redis", is_loopback(host_of(self.url))
        return "whoever has the password of the Redis", True

    def exposures(self) -> Iterator[OpenSetting]:
        if self.plaintext:
            what = "snapshots" if self.password is None else "snapshots and the password"
            yield OpenSetting(
                "url", f"{what} travel in plain text", "use rediss:// and TLS at the server"
            )
        if self.password is None:
            yield OpenSetting(
                "password",
                "is not set: whoever reaches the Redis reads and changes what was learnt",
                "set requirepass or a user at the server, password here",
                note=not self.plaintext,
            )

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


STORES = Kinds(
    "store",
    StoreKind(
        NoStore,
        "streamer.connect.storage.files_store:open_nothing",
        journal="streamer.connect.storage.sqlite_journal:open_in_memory",
    ),
    StoreKind(
        FileStore,
        "streamer.connect.storage.files_store:open_store",
        journal="streamer.connect.storage.sqlite_journal:open_beside",
    ),
    StoreKind(
        RedisStore,
        "streamer.connect.storage.redis_store:RedisStore",
        reach="streamer.connect.storage.redis_reach:reach",
        journal="streamer.connect.storage.redis_journal:RedisJournal",
        training_lock="streamer.connect.storage.training_lock:RedisTrainingLock",
        registry="streamer.connect.storage.redis_registry:RedisRegistry",
    ),
)
Store = Annotated[StoreSection, STORES]


class Snapshots(Section):
    """The interval of snapshots of every partition."""

    every: Duration = Field(
        default=Duration(60),
        description="Time between two snapshots of a partition, 1s to 24h. Lower it for faster "
        "restarts, raise it to spare the store.",
    )

    def rules(self) -> Iterator[Rule]:
        yield from between(self, "every", Duration(1), Duration(86_400))


class DeadLetterFile(DeadLetterSection):
    """Rejected records appended to a JSONL file, with their bytes and the reason."""

    kind: Literal["file"] = Field(description="Selects a file for dead letters.")
    path: Text = Field(description="JSONL file that rejected records are appended to.")

    @property
    def local_file(self) -> str:
        return self.path


class LabelFile(LabelSection):
    """Labels of operators in a file, one JSON object per line; it is followed."""

    kind: Literal["file"] = Field(description="Selects a file as the origin of labels.")
    path: Text = Field(
        description="JSONL file that somebody appends labels to; it is followed while the daemon "
        "runs."
    )


class LabelTopic(LabelSection):
    """Labels of operators as JSON records of a topic."""

    speaks_kafka: ClassVar[bool] = True

    kind: Literal["kafka"] = Field(description="Selects a topic of Kafka as the origin of labels.")
    topic: Topic = Field(description="The topic that labels are read from.")


LABELS = Kinds(
    "labels",
    LabelSourceKind(LabelFile, "streamer.connect.label_sources:open_file"),
    LabelSourceKind(
        LabelTopic,
        "streamer.connect.label_sources:open_topic",
        reach="streamer.connect.kafka.diagnosis.reach:reach",
    ),
)
Labels = Annotated[LabelSection, LABELS]


class SchemaRegistry(Section):
    """The registry of the Avro schemas of records, by the id in front of each."""

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
