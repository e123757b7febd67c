"""Files, pipes and stdin: packed, damaged, paced, without a header; every refusal says
what to do.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
from pathlib import Path

import numpy as np
import pytest

from streamer.connect.files.infer import guess_fields
from streamer.connect.files.source import FileSource
from streamer.connect.formats.columns import RecordFields
from streamer.errors import ConfigError, InputError
from streamer.event import EventBatch, Poll, Rejected

FIELDS = RecordFields(("x",), ("who",), "ts")
HEADER = b"ts,who,x\n"


def rows(n: int) -> bytes:
    return b"".join(b"%d,a,%d\n" % (1_700_000_000 + i, i) for i in range(n))


def write(directory: Path, data: bytes, name: str = "data.csv") -> Path:
    path = directory / name
    path.write_bytes(data)
    return path


def read(source: FileSource, timeout_s: float = 0.0) -> tuple[list[EventBatch], list[Rejected]]:
    batches: list[EventBatch] = []
    rejected: list[Rejected] = []
    while (poll := source.poll(timeout_s)) is not None:
        batches += poll.batches
        rejected += poll.rejected
    return batches, rejected


def values(source: FileSource) -> list[float]:
    return [float(value) for batch in read(source)[0] for value in batch.values[:, 0]]


@pytest.mark.parametrize("pack", [bytes, gzip.compress, lzma.compress, bz2.compress])
def test_packed_files_are_known_by_their_first_bytes(tmp_path: Path, pack: type[bytes]) -> None:
    path = write(tmp_path, pack(HEADER + rows(100)))
    assert values(FileSource(path, FIELDS, rows=7)) == list(range(100))


@pytest.mark.parametrize("size", [1, 3, 100, 5000])
def test_the_cut_into_polls_changes_nothing(tmp_path: Path, size: int) -> None:
    path = write(tmp_path, HEADER + b'1,"a\nb",5\n' + rows(20) + b"bad\n\n" + rows(3).rstrip())
    batches, rejected = read(FileSource(path, FIELDS, rows=size))
    assert np.concatenate([batch.offset for batch in batches]).tolist() == [*range(21), 22, 23, 24]
    assert [record.offset for record in rejected] == [21]
    assert batches[0].keys[0] == "a\nb"


def test_a_bom_windows_line_ends_and_blank_lines_are_no_data(tmp_path: Path) -> None:
    path = write(
        tmp_path, b"\xef\xbb\xbf\r\n" + HEADER.replace(b"\n", b"\r\n") + b"\r\n1,a,2\r\n\r\n"
    )
    assert values(FileSource(path, FIELDS)) == [2]


@pytest.mark.parametrize("separator", [b";", b"\t", b"|"])
def test_the_separator_is_found(tmp_path: Path, separator: bytes) -> None:
    path = write(tmp_path, (HEADER + rows(30)).replace(b",", separator))
    assert values(FileSource(path, FIELDS)) == list(range(30))


def test_a_file_without_header_has_numbered_columns(tmp_path: Path) -> None:
    path = write(tmp_path, b"1,2\n3,4\n")
    assert values(FileSource(path, RecordFields(("column_2",)))) == [2, 4]
    assert values(FileSource(path, RecordFields(("b",)), columns=("a", "b"))) == [2, 4]


def test_json_lines_are_known_by_their_first_character(tmp_path: Path) -> None:
    path = write(tmp_path, b'{"x": 1}\n{"x": 2}\nnope\n')
    batches, rejected = read(FileSource(path, RecordFields(("x",))))
    assert batches[0].values.ravel().tolist() == [1, 2] and rejected[0].offset == 2


def test_a_header_alone_is_an_empty_stream(tmp_path: Path) -> None:
    assert FileSource(write(tmp_path, HEADER), FIELDS).poll(0.0) is None


UNUSABLE = {
    "empty": (b"", "is empty"),
    "blank": (b"\n \n\n", "only blank lines"),
    "utf-16": ("ts,x".encode("utf-16"), "UTF-16.*iconv"),
    "zip": (b"PK\x03\x04rest", "zip archive"),
    "parquet": (b"PAR1rest", "Parquet"),
    "zstd": (b"\x28\xb5\x2f\xfdrest", "zstd -d"),
    "json array": (b'[{"x":1}]', "jq -c"),
    "doubled column": (b"ts,who,x,x\n1,a,2,3\n", "two columns are named 'x'"),
    "other columns": (
        b"time,name,volts\n1,a,2\n",
        "there is no column 'who'; the columns are 'time, name, volts'",
    ),
}


@pytest.mark.parametrize("case", UNUSABLE)
def test_an_unusable_file_is_refused_at_the_start_with_its_name(tmp_path: Path, case: str) -> None:
    data, problem = UNUSABLE[case]
    path = write(tmp_path, data)
    with pytest.raises(InputError, match=problem) as caught:
        FileSource(path, FIELDS)
    assert str(path) in str(caught.value)


def test_a_header_in_another_encoding_hides_only_its_own_column(tmp_path: Path) -> None:
    assert values(FileSource(write(tmp_path, b"ts,who,gr\xf6sse,x\n1,a,2,3\n"), FIELDS)) == [3]


def test_a_missing_file_and_a_directory_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no such file"):
        FileSource(tmp_path / "nothing.csv", FIELDS)
    with pytest.raises(InputError, match="is a directory"):
        FileSource(tmp_path, FIELDS)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_an_unreadable_file_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, HEADER)
    path.chmod(0)
    with pytest.raises(InputError, match="permissions"):
        FileSource(path, FIELDS)


@pytest.mark.parametrize("pack", [gzip.compress, lzma.compress, bz2.compress])
def test_damage_comes_after_everything_that_could_be_read(
    tmp_path: Path, pack: type[bytes], rng: np.random.Generator
) -> None:
    data = HEADER + b"".join(b"%d,a,%.17g\n" % (i, x) for i, x in enumerate(rng.random(50_000)))
    path = write(tmp_path, pack(data)[:-100_000])
    source = FileSource(path, FIELDS)
    batches: list[EventBatch] = []
    with pytest.raises(InputError, match="damaged or ends early"):
        collect(source, batches)
    assert 100 < sum(map(len, batches)) < 50_000
    with pytest.raises(InputError, match="damaged or ends early"):
        source.poll(0.0)


def collect(source: FileSource, batches: list[EventBatch]) -> None:
    while (poll := source.poll(0.0)) is not None:
        batches += poll.batches


def test_a_line_without_end_costs_bounded_memory(tmp_path: Path) -> None:
    path = write(tmp_path, HEADER + b"1,a,2\n" + b"x" * 3_000_000 + b"\n3,a,4\n")
    batches, rejected = read(FileSource(path, FIELDS, max_line_bytes=1000))
    assert [(r.offset, r.reason, len(r.raw)) for r in rejected] == [(1, "too_long", 1001)]
    assert batches[0].offset.tolist() == [0, 2]


def test_an_open_quote_at_the_end_is_one_bad_record(tmp_path: Path) -> None:
    path = write(tmp_path, HEADER + b'1,"a,2\n3,a,4\n')
    batches, rejected = read(FileSource(path, FIELDS))
    assert [record.reason for record in rejected] == ["bad_csv"]
    assert batches[0].offset.tolist() == [1]


def test_an_open_quote_over_many_polls_ends_too(tmp_path: Path) -> None:
    path = write(tmp_path, HEADER + b'1,"a,2\n' + rows(50))
    batches, rejected = read(FileSource(path, FIELDS, rows=4))
    assert len(rejected) == 1 and sum(map(len, batches)) == 50


def test_stdin_is_read_as_it_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    read_end, write_end = os.pipe()
    with os.fdopen(read_end, "rb") as stdin, os.fdopen(write_end, "wb", buffering=0) as pipe:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(stdin))
        pipe.write(HEADER + b"1,a,2\n3,")
        source = FileSource("-", FIELDS)
        assert first_value(source.poll(0.0)) == 2
        assert source.poll(0.0) == Poll()
        pipe.write(b"a,4\n5,a,6")
        assert first_value(source.poll(0.0)) == 4
        pipe.close()
        assert first_value(source.poll(0.0)) == 6
        assert source.poll(0.0) is None
        source.close()


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_a_look_at_the_head_of_stdin_takes_nothing_away(
    monkeypatch: pytest.MonkeyPatch, pack: type[bytes]
) -> None:
    monkeypatch.setattr(
        "sys.stdin", io.TextIOWrapper(io.BufferedReader(io.BytesIO(pack(HEADER + rows(2000)))))
    )
    guess = guess_fields("-")
    assert values(
        FileSource("-", guess.fields, form=guess.form, separator=guess.separator)
    ) == list(range(2000))


def first_value(poll: Poll | None) -> float:
    assert poll is not None
    return float(poll.batches[0].values[0, 0])


class Time:
    """A clock that moves only when somebody waits."""

    def __init__(self) -> None:
        self.now = 100.0

    def clock(self) -> float:
        return self.now

    def wait(self, seconds: float) -> None:
        self.now += seconds


def test_at_its_pace_a_row_comes_when_it_is_due(tmp_path: Path) -> None:
    time = Time()
    path = write(tmp_path, HEADER + b"1000,a,0\n1010,a,1\n1005,a,2\n1040,a,3\n")
    source = FileSource(path, FIELDS, pace=10.0, clock=time.clock, wait=time.wait)
    seen = []
    while (poll := source.poll(0.25)) is not None:
        seen += [
            (round(time.now - 100, 6), float(v))
            for batch in poll.batches
            for v in batch.values[:, 0]
        ]
    # One second after the first row comes the second, and with it the third, which is late in the
    # file.
    assert seen == [(0.0, 0.0), (1.0, 1.0), (1.0, 2.0), (4.0, 3.0)]


def test_a_pace_keeps_every_row_and_every_refusal(tmp_path: Path) -> None:
    time = Time()
    path = write(tmp_path, HEADER + rows(5) + b"bad\n" + rows(5))
    batches, rejected = read(
        FileSource(path, FIELDS, pace=100.0, clock=time.clock, wait=time.wait, rows=4), 0.5
    )
    assert sum(map(len, batches)) == 10 and len(rejected) == 1


@pytest.mark.parametrize("pace", [0.0, -1.0, float("nan")])
def test_a_pace_must_be_positive(tmp_path: Path, pace: float) -> None:
    with pytest.raises(ConfigError, match=r"source\.pace"):
        FileSource(write(tmp_path, HEADER), FIELDS, pace=pace)


def test_waiting_is_bounded_by_the_timeout(tmp_path: Path) -> None:
    time = Time()
    source = FileSource(
        write(tmp_path, HEADER + b"0,a,1\n99,a,2\n"),
        FIELDS,
        pace=1.0,
        clock=time.clock,
        wait=time.wait,
    )
    source.poll(0.0)
    assert source.poll(2.0) == Poll() and time.now == 102.0


def test_a_paused_source_waits_instead_of_spinning(tmp_path: Path) -> None:
    time = Time()
    source = FileSource(write(tmp_path, HEADER + rows(3)), FIELDS, clock=time.clock, wait=time.wait)
    source.pause()
    assert source.poll(0.5) == Poll() and time.now == 100.5


def test_what_was_repaired_is_counted(tmp_path: Path) -> None:
    source = FileSource(write(tmp_path, HEADER + b"1,a,nan\n2,a,\n"), FIELDS)
    read(source)
    assert source.counts["non_finite"] == 1 and source.rows_read == 2
