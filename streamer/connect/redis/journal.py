"""The journal in Redis, shared by all members of a group. It is bounded: the oldest incidents and labels fall off."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from streamer.connect.redis.client import Client
from streamer.errors import InputError, StoreError
from streamer.journal import Incident, Journal, Label, LabelKind

if TYPE_CHECKING:
    from streamer.config import RedisStore as Section

KEPT_INCIDENTS, KEPT_LABELS = 20_000, 20_000

# Written again it says the same: by id.
RECORD = """
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
redis.call('ZADD', KEYS[2], ARGV[3], ARGV[1])
redis.call('ZADD', KEYS[3], 0, ARGV[1])
local over = redis.call('ZRANGE', KEYS[2], 0, -tonumber(ARGV[4]) - 1)
for _, id in ipairs(over) do
  redis.call('HDEL', KEYS[1], id)
  redis.call('ZREM', KEYS[2], id)
  redis.call('ZREM', KEYS[3], id)
end
return 1
"""
# An origin gets one number, however often its label is written.
LABEL = """
local known = redis.call('ZSCORE', KEYS[2], ARGV[1])
if known then return tonumber(known) end
local number = redis.call('INCR', KEYS[3])
redis.call('ZADD', KEYS[1], number, number .. ':' .. ARGV[2])
redis.call('ZADD', KEYS[2], number, ARGV[1])
redis.call('ZREMRANGEBYRANK', KEYS[1], 0, -tonumber(ARGV[3]) - 1)
redis.call('ZREMRANGEBYRANK', KEYS[2], 0, -tonumber(ARGV[3]) - 1)
return number
"""


class RedisJournal(Journal):
    """A Journal under a prefix of a Redis. StoreError if it does not answer."""

    def __init__(self, section: Section, *, client: Client | None = None) -> None:
        self._client = client or Client(section)
        self._prefix = f"{section.prefix}!journal/"

    def record(self, incidents: Sequence[Incident]) -> None:
        keys = [self._key(name) for name in ("incidents", "started", "ids")]
        for one in incidents:
            words = (one.alert_id, json.dumps(asdict(one)), repr(one.started_s), KEPT_INCIDENTS)
            self._client.ask("record", "incidents", "EVAL", RECORD, 3, *keys, *words)

    def incident(self, alert_id: str) -> Incident | None:
        words = (f"[{alert_id}", f"[{alert_id}\xff", "LIMIT", 0, 2)
        ids = [name.decode() for name in self._read("ids", "ZRANGEBYLEX", *words)]
        if len(ids) > 1 and alert_id not in ids:
            raise InputError(f"several alerts have ids that begin with {alert_id!r}; give more of it")
        return next(iter(self._of(ids[:1])), None)

    def around(self, topic: str, partition: int, offset: int) -> Incident | None:
        held = (one for one in reversed(self.incidents(limit=KEPT_INCIDENTS)) if _holds(one, topic, partition, offset))
        return next(held, None)

    def incidents(self, *, since_s: float = -math.inf, limit: int = 100) -> Sequence[Incident]:
        least = "-inf" if math.isinf(since_s) else repr(since_s)
        newest = self._read("started", "ZREVRANGEBYSCORE", "+inf", least, "LIMIT", 0, limit)
        return self._of([name.decode() for name in newest])[::-1]

    def label(self, label: Label) -> int:
        body = asdict(label) | {"end_s": None if math.isinf(label.end_s) else label.end_s}
        origin = label.origin or json.dumps(body)  # repeated after a lost answer it must not count twice
        keys = [self._key(name) for name in ("labels", "origins", "last")]
        words = (origin, json.dumps(body), KEPT_LABELS)
        return int(self._client.ask("write", "a label", "EVAL", LABEL, 3, *keys, *words))

    def labels(self, after: int = 0, limit: int = 1000) -> Sequence[Label]:
        found = self._read("labels", "ZRANGEBYSCORE", f"({after}", "+inf", "LIMIT", 0, limit)
        return [_label(item) for item in found]

    def place(self, source: str) -> int | None:
        found = self._read("places", "HGET", source)
        return None if found is None else int(found)

    def move(self, source: str, place: int) -> None:
        self._client.ask("write", "a place", "HSET", self._key("places"), source, place)

    def close(self) -> None:
        self._client.close()

    def _of(self, ids: Sequence[str]) -> list[Incident]:
        found = self._read("incidents", "HMGET", *ids) if ids else []
        return [_incident(body) for body in found if body is not None]

    def _read(self, name: str, command: str, *words: str | int) -> Any:
        return self._client.ask("read", name, command, self._key(name), *words)

    def _key(self, name: str) -> str:
        return self._prefix + name


def _holds(one: Incident, topic: str, partition: int, offset: int) -> bool:
    return (one.topic, one.partition) == (topic, partition) and one.first_offset <= offset <= one.last_offset


def _incident(body: bytes) -> Incident:
    try:
        return Incident(**json.loads(body))
    except (TypeError, ValueError) as exc:
        raise StoreError(f"the journal holds an incident of another version: {exc}; delete its keys") from exc


def _label(item: bytes) -> Label:
    number, _, body = item.partition(b":")
    try:
        found = json.loads(body)
        ended = math.inf if found["end_s"] is None else found["end_s"]
        return Label(**found | {"kind": LabelKind(found["kind"]), "end_s": ended, "number": int(number)})
    except (KeyError, TypeError, ValueError) as exc:
        raise StoreError(f"the journal holds a label of another version: {exc}; delete its keys") from exc
