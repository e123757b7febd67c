"""The journal in Redis, shared by all members of a group.

It is bounded, and stores up to which time it has dropped entries.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from streamer.connect.storage.redis_client import Client
from streamer.errors import InputError, StoreError
from streamer.journal import Incident, Journal, Label, LabelKind

if TYPE_CHECKING:
    from streamer.config import RedisStore as Section

KEPT_INCIDENTS, KEPT_LABELS = 20_000, 20_000  # some 15 MB each

RAISE = """
local function raise(key, stream, at)
  local was = redis.call('HGET', key, stream)
  if not was or tonumber(was) < tonumber(at) then redis.call('HSET', key, stream, at) end
end
"""
# Idempotent by id. Incidents that ended first are dropped first. A dropped open incident counts as
# lasting until the newest known time of its stream.
RECORD = (
    RAISE
    + """
local incidents, started, ids, ended, newest, forgotten = unpack(KEYS)
local id, body, start_s, end_s, stream, kept = unpack(ARGV)
redis.call('HSET', incidents, id, body)
redis.call('ZADD', started, start_s, id)
redis.call('ZADD', ids, 0, id)
redis.call('ZADD', ended, end_s == '' and 'inf' or end_s, id)
raise(newest, stream, end_s == '' and start_s or end_s)
local over = redis.call('ZCARD', ended) - tonumber(kept)
if over <= 0 then return 1 end
local first = redis.call('ZRANGE', ended, 0, over - 1, 'WITHSCORES')
for at = 1, #first, 2 do
  local gone, until_s = first[at], first[at + 1]
  local owner = cjson.decode(redis.call('HGET', incidents, gone)).stream
  raise(forgotten, owner, until_s == 'inf' and redis.call('HGET', newest, owner) or until_s)
  redis.call('HDEL', incidents, gone)
  for _, key in ipairs({started, ids, ended}) do redis.call('ZREM', key, gone) end
end
return 1
"""
)
# An origin gets one number, however often its label is written. Dropped labels raise the forgotten
# time of their stream.
LABEL = (
    RAISE
    + """
local labels, origins, last, newest, forgotten = unpack(KEYS)
local origin, body, kept = unpack(ARGV)
local known = redis.call('ZSCORE', origins, origin)
if known then return tonumber(known) end
local number = redis.call('INCR', last)
redis.call('ZADD', labels, number, number .. ':' .. body)
redis.call('ZADD', origins, number, origin)
local over = redis.call('ZCARD', labels) - tonumber(kept)
if over <= 0 then return number end
for _, item in ipairs(redis.call('ZRANGE', labels, 0, over - 1)) do
  local one = cjson.decode(string.sub(item, string.find(item, ':') + 1))
  local lasting = redis.call('HGET', newest, one.stream) or one.start_s
  raise(forgotten, one.stream, one.end_s == cjson.null and lasting or one.end_s)
end
redis.call('ZREMRANGEBYRANK', labels, 0, -tonumber(kept) - 1)
redis.call('ZREMRANGEBYRANK', origins, 0, -tonumber(kept) - 1)
return number
"""
)


class RedisJournal(Journal):
    """A Journal under a prefix of a Redis; StoreError if it does not answer."""

    def __init__(
        self,
        section: Section,
        *,
        client: Client | None = None,
        kept: int = KEPT_INCIDENTS,
        kept_labels: int = KEPT_LABELS,
    ) -> None:
        self._client = client or Client(section)
        self._kept, self._kept_labels = kept, kept_labels
        self._prefix = f"{section.prefix}!journal/"

    def record(self, incidents: Sequence[Incident]) -> None:
        keys = [
            self._key(name)
            for name in ("incidents", "started", "ids", "ended", "newest", "forgotten")
        ]
        for one in incidents:
            ended = "" if one.ended_s is None else repr(one.ended_s)
            words = (
                one.alert_id,
                json.dumps(asdict(one)),
                repr(one.started_s),
                ended,
                one.stream,
                self._kept,
            )
            self._client.ask("record", "incidents", "EVAL", RECORD, len(keys), *keys, *words)

    def forgotten(self, stream: str) -> float:
        found = self._read("forgotten", "HGET", stream)
        return -math.inf if found is None else float(found)

    def incident(self, alert_id: str) -> Incident | None:
        words = (f"[{alert_id}", f"[{alert_id}\xff", "LIMIT", 0, 2)
        ids = [name.decode() for name in self._read("ids", "ZRANGEBYLEX", *words)]
        if len(ids) > 1 and alert_id not in ids:
            raise InputError(
                f"several alerts have ids that begin with {alert_id!r}; give more of it"
            )
        return next(iter(self._of(ids[:1])), None)

    def around(self, topic: str, partition: int, offset: int) -> Incident | None:
        held = (
            one
            for one in reversed(self.incidents(limit=KEPT_INCIDENTS))
            if one.holds(topic, partition, offset)
        )
        return next(held, None)

    def incidents(self, *, since_s: float = -math.inf, limit: int = 100) -> Sequence[Incident]:
        least = "-inf" if math.isinf(since_s) else repr(since_s)
        newest = self._read("started", "ZREVRANGEBYSCORE", "+inf", least, "LIMIT", 0, limit)
        return self._of([name.decode() for name in newest])[::-1]

    def label(self, label: Label) -> int:
        body = asdict(label) | {"end_s": None if math.isinf(label.end_s) else label.end_s}
        # a repetition after a lost answer must not count twice
        origin = label.origin or json.dumps(body)
        keys = [self._key(name) for name in ("labels", "origins", "last", "newest", "forgotten")]
        words = (origin, json.dumps(body), self._kept_labels)
        return int(self._client.ask("write", "a label", "EVAL", LABEL, len(keys), *keys, *words))

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


def _incident(body: bytes) -> Incident:
    try:
        return Incident(**json.loads(body))
    except (TypeError, ValueError) as exc:
        raise StoreError(
            f"the journal holds an incident of another version: {exc}; delete its keys"
        ) from exc


def _label(item: bytes) -> Label:
    number, _, body = item.partition(b":")
    try:
        found = json.loads(body)
        ended = math.inf if found["end_s"] is None else found["end_s"]
        return Label(
            **found | {"kind": LabelKind(found["kind"]), "end_s": ended, "number": int(number)}
        )
    except (KeyError, TypeError, ValueError) as exc:
        raise StoreError(
            f"the journal holds a label of another version: {exc}; delete its keys"
        ) from exc
