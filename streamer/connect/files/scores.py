"""The continuous score of every event in a file: one CSV or JSON line per row.

Columns: row, time, entity, score, alarm, status, share_<channel>..., share_rhythm. `row` is the
offset in the log. `status` is scored, warming, missing or rejected. Shares are fractions of the
score. With several entity keys there is a column `key` after `entity`, and one line per key.
"""

from __future__ import annotations

import abc
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from streamer.connect.files.append import AppendFile
from streamer.errors import SinkError
from streamer.event import F32, F64, EventBatch, Fate, Scores

STATUS = {
    Fate.SCORED: "scored",
    Fate.WARMING: "warming",
    Fate.MISSING: "missing",
    Fate.DUPLICATE: "rejected",
    Fate.LATE: "rejected",
    Fate.DEAD_LETTERED: "rejected",
    Fate.EXPIRED: "rejected",
    Fate.REPLAYED: "rejected",
    Fate.RETURNED: "rejected",
}
_FORMAT = {"row": "%d", "time": "%s", "entity": "%s", "key": "%s", "status": "%s", "model": "%s"}
Column = list[Any]
LARGEST = float(np.finfo(np.float32).max)


def score_columns(channels: Sequence[str], keys: Sequence[str] = ()) -> list[str]:
    """Names of the columns."""
    key = ["key"] if len(keys) > 1 else []
    shares = [f"share_{channel}" for channel in channels]
    return ["row", "time", "entity", *key, "score", "alarm", "status", *shares, "share_rhythm"]


def rfc3339(time_s: F64) -> list[str]:
    """Times as RFC 3339 in UTC; 1970 for NaN.

    With milliseconds if any time has a fraction.
    """
    known = np.isfinite(time_s)
    moments = np.round(np.where(known, time_s, 0) * 1e3).astype(np.int64).astype("datetime64[ms]")
    whole = bool(np.all(moments.astype(np.int64) % 1000 == 0))
    texts: list[str] = np.datetime_as_string(
        moments, unit="s" if whole else "ms", timezone="UTC"
    ).tolist()
    return texts


class ScoreFile(abc.ABC):
    """A ScoreSink that writes one line per row to a file, truncated first or appended to.

    `keys` names the entity keys of the stream. Without `clock`, times are row numbers and written
    as numbers. With `model`, a last column holds the SHA-256 of the model that judged the row (""
    for the baseline).
    """

    _nothing: str  # text for a missing time
    _mark: str  # quotation mark of a time

    def __init__(
        self,
        path: str | Path,
        channels: Sequence[str],
        *,
        keys: Sequence[str] = (),
        clock: bool = True,
        append: bool = False,
        model: bool = False,
    ) -> None:
        self.columns = score_columns(channels, keys) + ["model"] * model
        self._model = model
        self._keys = tuple(map(self._quoted, keys)) if len(keys) > 1 else ()
        self._clock = clock
        self._status = {fate.value: self._quoted(status) for fate, status in STATUS.items()}
        self._line = self._template(self.columns)
        self._file = AppendFile(path, append=append)
        self._begin(self._head())

    def write(self, batch: EventBatch, scores: Scores, key: int) -> None:
        """Write all rows of the batch, or raise SinkError and write none."""
        rows = zip(*self._by_column(batch, scores, key), strict=True)
        self._file.write("".join(map(self._line.__mod__, rows)).encode())

    def close(self) -> None:
        """Close the file. Idempotent."""
        self._file.close()

    def _by_column(self, batch: EventBatch, scores: Scores, key: int) -> list[Column]:
        names = list(map(self._quoted, batch.keys))
        entity = list(map(names.__getitem__, batch.entity[:, key].tolist()))
        mark = [[self._keys[key]] * len(batch)] if self._keys else []
        status = list(map(self._status.__getitem__, scores.fate.tolist()))
        numbers = [_finite(column) for column in (scores.score, scores.alarm, *scores.shares().T)]
        judge = (
            [[self._quoted(scores.model.sha256 if scores.model else "")] * len(batch)]
            if self._model
            else []
        )
        return [
            batch.offset.tolist(),
            self._times(batch.time_s),
            entity,
            *mark,
            *numbers[:2],
            status,
            *numbers[2:],
            *judge,
        ]

    def _times(self, time_s: F64) -> list[str]:
        mark = self._mark if self._clock else ""
        texts = (
            rfc3339(time_s) if self._clock else [f"{seconds:.12g}" for seconds in time_s.tolist()]
        )
        if np.isnan(time_s).any():
            known = np.isfinite(time_s).tolist()
            return [
                f"{mark}{text}{mark}" if ok else self._nothing
                for text, ok in zip(texts, known, strict=True)
            ]
        return [f"{mark}{text}{mark}" for text in texts] if mark else texts

    def _begin(self, head: bytes) -> None:
        """Write the head of a new file; SinkError if an existing file has another head."""
        if not self._file.size:
            self._file.write(head)
        elif self._head_of_file(len(head)) != head:
            self._file.close()
            raise SinkError(
                f"{self._file.path}: has other columns than this stream; move it away or name "
                f"another file"
            )

    def _head_of_file(self, size: int) -> bytes:
        with self._file.path.open("rb") as file:
            return file.read(size)

    @abc.abstractmethod
    def _quoted(self, text: str) -> str:
        """Quote a name for the format."""

    @abc.abstractmethod
    def _template(self, columns: Sequence[str]) -> str:
        """Return the %-template of a line."""

    def _head(self) -> bytes:
        return b""


class ScoreCsv(ScoreFile):
    """Scores as CSV with a header."""

    _nothing, _mark = "", ""

    def _quoted(self, text: str) -> str:
        return (
            '"' + text.replace('"', '""') + '"' if any(mark in text for mark in ',"\r\n') else text
        )

    def _template(self, columns: Sequence[str]) -> str:
        return ",".join(_FORMAT.get(column, "%.7g") for column in columns) + "\n"

    def _head(self) -> bytes:
        return (",".join(map(self._quoted, self.columns)) + "\n").encode()


class ScoreJsonl(ScoreFile):
    """Scores as JSON lines, one flat object per row."""

    _nothing, _mark = "null", '"'

    def _quoted(self, text: str) -> str:
        return json.dumps(text, ensure_ascii=False)

    def _template(self, columns: Sequence[str]) -> str:
        cells = (
            f"{json.dumps(name).replace('%', '%%')}:{_FORMAT.get(name, '%.7g')}" for name in columns
        )
        return "{" + ",".join(cells) + "}\n"


def _finite(column: F32) -> list[float]:
    """Replace infinity by the largest number and NaN by 0: a score is always finite."""
    numbers: list[float] = np.nan_to_num(column, nan=0.0, posinf=LARGEST, neginf=0.0).tolist()
    return numbers
