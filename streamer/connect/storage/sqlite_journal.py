"""The journal as one SQLite file, shared by the processes of a machine, or in memory.

Incidents are bounded. Labels are not: people write few, and a training reads all of them.
"""

from __future__ import annotations

import math
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import astuple, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from streamer.errors import InputError, StoreError
from streamer.journal import MOST_INCIDENTS, Incident, Journal, Label, LabelKind

if TYPE_CHECKING:
    from streamer import config

JOURNAL = "journal.db"  # in the folder of a file store
SCHEMA = 1
BUSY_S = 5.0  # wait for another writer; a write takes milliseconds
TABLES = """
CREATE TABLE IF NOT EXISTS incidents (
  alert_id TEXT PRIMARY KEY, stream TEXT NOT NULL, entity TEXT NOT NULL, started_s REAL NOT NULL,
  ended_s REAL,
  severity TEXT NOT NULL, score REAL NOT NULL, summary TEXT NOT NULL, topic TEXT NOT NULL,
  partition INTEGER NOT NULL,
  first_offset INTEGER NOT NULL, last_offset INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS incidents_started ON incidents (started_s);
CREATE INDEX IF NOT EXISTS incidents_ended ON incidents
  (ended_s IS NULL, ended_s, started_s, alert_id);
CREATE INDEX IF NOT EXISTS incidents_offset ON incidents (topic, partition, last_offset);
CREATE TABLE IF NOT EXISTS labels (
  kind TEXT NOT NULL, stream TEXT NOT NULL, entity TEXT NOT NULL, start_s REAL NOT NULL, end_s REAL,
  alert_id TEXT NOT NULL, said_by TEXT NOT NULL, note TEXT NOT NULL, said_at_s REAL NOT NULL,
  origin TEXT NOT NULL,
  number INTEGER PRIMARY KEY AUTOINCREMENT);
CREATE UNIQUE INDEX IF NOT EXISTS labels_origin ON labels (origin) WHERE origin != '';
CREATE TABLE IF NOT EXISTS places (source TEXT PRIMARY KEY, place INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS forgotten (stream TEXT PRIMARY KEY, until_s REAL NOT NULL) WITHOUT ROWID;
"""
# Incidents to drop. A dropped open incident counts as lasting until the newest known time of its
# stream.
OVER = "SELECT * FROM incidents ORDER BY ended_s IS NULL, ended_s, started_s, alert_id LIMIT ?"
UNTIL = f"""
INSERT INTO forgotten
SELECT over.stream,
  MAX(IFNULL(over.ended_s, (SELECT MAX(IFNULL(ended_s, started_s)) FROM incidents AS one
                                              WHERE one.stream = over.stream)))
FROM ({OVER}) AS over WHERE true GROUP BY over.stream
ON CONFLICT (stream) DO UPDATE SET until_s = MAX(until_s, excluded.until_s)
"""
DROP = f"DELETE FROM incidents WHERE alert_id IN (SELECT alert_id FROM ({OVER}))"
LAST = "\U0010ffff"  # the last code point: strings with prefix P lie between P and P + LAST
RECORD = f"INSERT OR REPLACE INTO incidents VALUES ({', '.join('?' * len(fields(Incident)))})"
LABEL = f"INSERT INTO labels VALUES ({', '.join('?' * (len(fields(Label)) - 1))}, NULL)"


class SqliteJournal(Journal):
    """A Journal in a file (synchronous FULL), readable by its owner only.

    `path` None keeps it in memory.
    """

    def __init__(self, path: str | Path | None, *, kept: int = MOST_INCIDENTS) -> None:
        """Open the journal.

        StoreError if the file cannot be opened, is damaged, or is of a later version.
        """
        self._where, self._lock = str(path or "the journal in memory"), threading.Lock()
        self._kept = kept
        with self._errors("open"):
            if path is not None:
                _make(Path(path))
            self._db = sqlite3.connect(
                path or ":memory:", timeout=BUSY_S, isolation_level=None, check_same_thread=False
            )
            self._db.execute("PRAGMA journal_mode = WAL")
            self._found(self._db.execute("PRAGMA user_version").fetchone()[0])
            self._db.executescript(TABLES)
            self._db.execute(f"PRAGMA user_version = {SCHEMA}")

    def record(self, incidents: Sequence[Incident]) -> None:
        with self._writing("record in"):
            self._db.executemany(RECORD, [astuple(incident) for incident in incidents])
            self._trim()

    def forgotten(self, stream: str) -> float:
        found = self._rows("SELECT until_s FROM forgotten WHERE stream = ?", stream)
        return float(found[0][0]) if found else -math.inf

    def incident(self, alert_id: str) -> Incident | None:
        found = self._incidents(
            "alert_id BETWEEN ? AND ? ORDER BY alert_id LIMIT 2", alert_id, alert_id + LAST
        )
        exact = [one for one in found if one.alert_id == alert_id]
        if len(found) > 1 and not exact:
            raise InputError(
                f"several alerts have ids that begin with {alert_id!r}; give more of it"
            )
        return next(iter(exact or found), None)

    def around(self, topic: str, partition: int, offset: int) -> Incident | None:
        where = (
            "topic = ? AND partition = ? AND first_offset <= ? AND last_offset >= ? ORDER BY "
            "started_s DESC LIMIT 1"
        )
        return next(iter(self._incidents(where, topic, partition, offset, offset)), None)

    def incidents(self, *, since_s: float = -math.inf, limit: int = 100) -> Sequence[Incident]:
        return self._incidents(
            "started_s >= ? ORDER BY started_s DESC, alert_id LIMIT ?", since_s, limit
        )[::-1]

    def label(self, label: Label) -> int:
        with self._writing("write a label to"):
            known = self._db.execute(
                "SELECT number FROM labels WHERE origin = ? AND origin != ''", (label.origin,)
            )
            if (row := known.fetchone()) is not None:
                return int(row[0])
            row = (*astuple(replace(label, end_s=_stored(label.end_s)))[:-1],)
            return int(self._db.execute(LABEL, (label.kind.value, *row[1:])).lastrowid or 0)

    def labels(self, after: int = 0, limit: int = 1000) -> Sequence[Label]:
        rows = self._rows(
            "SELECT * FROM labels WHERE number > ? ORDER BY number LIMIT ?", after, limit
        )
        return [_label(row) for row in rows]

    def place(self, source: str) -> int | None:
        return next(
            (
                int(row[0])
                for row in self._rows("SELECT place FROM places WHERE source = ?", source)
            ),
            None,
        )

    def move(self, source: str, place: int) -> None:
        with self._writing("write to"):
            self._db.execute("INSERT OR REPLACE INTO places VALUES (?, ?)", (source, place))

    def close(self) -> None:
        with self._lock:
            self._db.close()

    def _trim(self) -> None:
        over = self._db.execute("SELECT COUNT(*) FROM incidents").fetchone()[0] - self._kept
        if over > 0:
            self._db.execute(UNTIL, (over,))
            self._db.execute(DROP, (over,))

    def _found(self, version: int) -> None:
        if version > SCHEMA:
            raise StoreError(
                f"{self._where}: a later version of streamer wrote it (schema {version}); use "
                f"that one"
            )

    def _incidents(self, where: str, *values: Any) -> list[Incident]:
        return [
            Incident(*row) for row in self._rows(f"SELECT * FROM incidents WHERE {where}", *values)
        ]

    def _rows(self, query: str, *values: Any) -> list[Any]:
        with self._lock, self._errors("read"):
            return self._db.execute(query, values).fetchall()

    @contextmanager
    def _writing(self, action: str) -> Iterator[None]:
        """Run one transaction."""
        with self._lock, self._errors(action):
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    @contextmanager
    def _errors(self, action: str) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as exc:
            raise StoreError(
                f"cannot {action} {self._where}: {exc}; check the disk and the permissions, or "
                f"name another store.path"
            ) from exc


def _make(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    path.touch(mode=0o600)


def _stored(end_s: float) -> Any:
    """Encode infinity as NULL: SQLite has no infinity."""
    return None if math.isinf(end_s) else end_s


def _label(row: Sequence[Any]) -> Label:
    kind, stream, entity, start_s, end_s, *rest = row
    return Label(
        LabelKind(kind), stream, entity, start_s, math.inf if end_s is None else end_s, *rest
    )


def open_in_memory(section: config.NoStore) -> SqliteJournal:
    """The journal where nothing outlives the process."""
    return SqliteJournal(None)


def open_beside(section: config.FileStore) -> SqliteJournal:
    """The journal in the folder of a store. StoreError if it cannot be opened."""
    return SqliteJournal(Path(section.path) / JOURNAL)
