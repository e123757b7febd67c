"""`streamer replay` before any broker is asked: where to, which speed, which key."""

from __future__ import annotations

from pathlib import Path

import pytest

from streamer.cli.replay import encoder
from streamer.connect.file_rows import Row, rows_of
from tests.cli.calls import call


@pytest.fixture
def plant(tmp_path: Path) -> Path:
    path = tmp_path / "plant.csv"
    path.write_text("device,line,rms\na,1,1.5\nb,1,2.5\na,2,3.5\n")
    return path


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((), "--to kafka://host:port/topic"),
        (("--to", "localhost/raw"), "kafka://localhost:9092/sensors.raw"),
        (("--to", "kafka://h/raw", "--speed", "0"), "write 1, 0.5, 60 or max"),
        (("--to", "kafka://h/raw", "--speed", "fast"), "write 1, 0.5, 60 or max"),
    ],
)
def test_what_cannot_be_meant_is_a_usage_error(plant: Path, words: tuple[str, ...], told: str) -> None:
    done = call("replay", plant, *words)
    assert done.exit_code == 2
    assert told in done.stderr


def test_a_speed_needs_times(plant: Path) -> None:
    done = call("replay", plant, "--to", "kafka://localhost:1/raw", "--speed", "5")
    assert done.exit_code == 1
    assert "looks like a time" in done.stderr


def test_an_unreachable_broker_is_exit_code_5(plant: Path) -> None:
    done = call("replay", plant, "--to", "kafka://localhost:1/raw")
    assert done.exit_code == 5
    assert "localhost:1" in done.stderr


@pytest.mark.parametrize(("key", "keys"), [(None, [b"a", b"b", b"a"]), ("line", [b"1", b"1", b"2"])])
def test_the_key_is_the_entity_or_the_field_that_is_named(plant: Path, key: str | None, keys: list[bytes]) -> None:
    rows, _ = rows_of(plant)
    encode = encoder(rows, key)
    assert [encode(row.record)[0] for row in rows.read() if isinstance(row, Row)] == keys


def test_a_series_without_entities_has_one_key(tmp_path: Path) -> None:
    path = tmp_path / "pump.csv"
    path.write_text("rms\n1.5\n2.5\n")
    rows, _ = rows_of(path)
    encode = encoder(rows, None)
    assert {encode(row.record) for row in rows.read() if isinstance(row, Row)} == {
        (b"pump", b'{"rms":1.5}'), (b"pump", b'{"rms":2.5}'),
    }  # fmt: skip
