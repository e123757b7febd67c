"""Bytes of a file, a pipe or stdin to lines: decompressed, bounded in length and in waiting."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import select
import sys
import zlib
from collections import deque
from pathlib import Path
from typing import IO, Any, Protocol, cast

from streamer.errors import InputError

BLOCK_BYTES = 1 << 20
MAGIC: dict[bytes, tuple[str, Any]] = {
    b"\x1f\x8b": ("gzip", gzip.open),
    b"\xfd7zXZ\x00": ("xz", lzma.open),
    b"BZh": ("bzip2", bz2.open),
}
BOM = b"\xef\xbb\xbf"
FOREIGN = {
    b"\xff\xfe": "UTF-16: convert it with `iconv -f utf-16 -t utf-8`",
    b"\xfe\xff": "UTF-16: convert it with `iconv -f utf-16 -t utf-8`",
    b"PK\x03\x04": "a zip archive (or a spreadsheet): unpack it, or save it as CSV",
    b"PAR1": "Parquet: export it as CSV or JSON lines",
    b"\x93NUMPY": "a numpy array: export it as CSV",
    b"SQLite format 3": "a SQLite database: export a table as CSV",
    b"\x28\xb5\x2f\xfd": "packed by zstd: unpack it with `zstd -d`",
}


class ByteReader(Protocol):
    """The input: at most n bytes as soon as some are available; b"" at the end."""

    def read1(self, size: int, /) -> bytes: ...


def open_bytes(path: str | Path) -> IO[bytes]:
    """Open the file, or stdin for "-"; InputError says what to do."""
    if str(path) == "-":
        return sys.stdin.buffer
    try:
        return Path(path).open("rb")
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such file") from None
    except IsADirectoryError:
        raise InputError(f"{path}: is a directory; name a file in it") from None
    except PermissionError:
        raise InputError(f"{path}: not readable; check its permissions (`ls -l`)") from None
    except OSError as exc:
        raise InputError(f"{path}: cannot be opened: {exc.strerror}") from exc


def unpacked(raw: IO[bytes], name: str | Path) -> tuple[ByteReader, str]:
    """Return a reader of plain bytes, and the compression ("" if none).

    InputError if the input is empty or not text.
    """
    try:
        head = cast(Any, raw).peek(16)[:16]
    except OSError as exc:
        raise InputError(f"{name}: cannot be read: {exc.strerror}") from exc
    if not head:
        raise InputError(f"{name}: is empty")
    for magic, kind in FOREIGN.items():
        if head.startswith(magic):
            raise InputError(f"{name}: is {kind}")
    for magic, (packing, opener) in MAGIC.items():
        if head.startswith(magic):
            return opener(raw, "rb"), packing
    return cast(ByteReader, raw), ""


class LineBuffer:
    """Lines of a reader, read in portions.

    A line over `limit` bytes is cut to limit + 1, so that a decoder refuses it.
    """

    def __init__(self, path: str | Path, limit: int) -> None:
        self.name = "stdin" if str(path) == "-" else str(path)
        self._raw = open_bytes(path)
        self._reader, self.packed = unpacked(self._raw, self.name)
        self._limit = limit
        self._lines: deque[bytes] = deque()
        self._tail, self._skipping, self._started, self.ended = b"", False, False, False
        self._broken: InputError | None = None

    def take(self, n: int, timeout_s: float = 0.0) -> list[bytes]:
        """Return up to n lines.

        Fewer if the timeout, the end or damage is reached.
        """
        while (
            len(self._lines) < n
            and not self.ended
            and self._ready(0.0 if self._lines else timeout_s)
        ):
            self._read()
        if self._broken is not None and not self._lines:
            raise self._broken
        return [self._lines.popleft() for _ in range(min(n, len(self._lines)))]

    def give_back(self, lines: list[bytes]) -> None:
        """Put lines back at the front."""
        self._lines.extendleft(reversed(lines))

    def close(self) -> None:
        if self.name != "stdin":
            self._raw.close()

    def _ready(self, timeout_s: float) -> bool:
        """Whether bytes can be read; always True for files.

        Compressed input may block longer than the timeout.
        """
        if self.packed or not self._started:  # bytes may be in a buffer that select does not see
            return True
        try:
            return bool(select.select([self._raw], [], [], timeout_s)[0])
        except (OSError, ValueError):  # stdin was replaced by an object without a descriptor
            return True

    def _read(self) -> None:
        try:
            block = self._reader.read1(BLOCK_BYTES)
        except (EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile) as exc:
            self._end(
                InputError(
                    f"{self.name}: its {self.packed} data is damaged or ends early ({exc}); fetch "
                    f"it again"
                )
            )
        except OSError as exc:
            self._end(InputError(f"{self.name}: reading failed: {exc.strerror or exc}"))
        else:
            self._add(block) if block else self._end(None)

    def _end(self, broken: InputError | None) -> None:
        self.ended, self._broken = True, broken
        if self._tail and broken is None:
            self._lines.append(self._tail)
        self._tail = b""

    def _add(self, block: bytes) -> None:
        if not self._started:
            self._started, block = True, block.removeprefix(BOM)
        first, *rest = block.split(b"\n")
        self._grow(first)
        for line in rest:
            self._lines.append(self._tail)
            self._tail = b""
            self._grow(line)

    def _grow(self, part: bytes) -> None:
        self._tail += part if len(part) <= self._limit else part[: self._limit + 1]
        if len(self._tail) > self._limit:
            self._tail = self._tail[: self._limit + 1]


def head_of(path: str | Path, size: int = 1 << 18) -> bytes:
    """Return the first plain bytes of a file; InputError as in `open_bytes`.

    Of standard input only the buffered bytes (a few KiB) are returned, and they are read again
    later.
    """
    if str(path) == "-":
        raw = open_bytes(path)
        unpacked(raw, "stdin")
        reader, _ = unpacked(
            io.BufferedReader(cast(Any, io.BytesIO(cast(Any, raw).peek()))), "stdin"
        )
        return _read_some(reader, size, "stdin")
    with open_bytes(path) as raw:
        reader, _ = unpacked(raw, path)
        return _read_some(reader, size, str(path))


def _read_some(reader: ByteReader, size: int, name: str) -> bytes:
    parts, missing = [], size
    try:
        while missing > 0 and (block := reader.read1(missing)):
            parts.append(block)
            missing -= len(block)
    except (OSError, EOFError, zlib.error, lzma.LZMAError) as exc:
        if not parts:
            raise InputError(f"{name}: is damaged: {exc}") from exc
    return b"".join(parts).removeprefix(BOM)


def is_pipe(path: str | Path) -> bool:
    """Whether the input cannot be read twice: standard input, pipes, devices."""
    there = Path(path)
    return str(path) == "-" or (there.exists() and not there.is_file() and not there.is_dir())
