"""`streamer replay` before any broker is asked: where to, which speed, which key."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from streamer.cli.replay import encoder
from streamer.config import Config, KafkaSource, config_from
from streamer.connect.files.rows import Row, rows_of
from streamer.connect.formats.factory import decoder_for, fields_of
from streamer.event import EventBatch, Lease
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
def test_what_cannot_be_meant_is_a_usage_error(
    plant: Path, words: tuple[str, ...], told: str
) -> None:
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


@pytest.mark.parametrize(
    ("key", "keys"), [(None, [b"a", b"b", b"a"]), ("line", [b"1", b"1", b"2"])]
)
def test_the_key_is_the_entity_or_the_field_that_is_named(
    plant: Path, key: str | None, keys: list[bytes]
) -> None:
    rows, _ = rows_of(plant)
    encode = encoder(rows, key)
    assert [encode(row.record)[0] for row in rows.read() if isinstance(row, Row)] == keys


def test_a_series_without_entities_has_one_key(tmp_path: Path) -> None:
    path = tmp_path / "pump.csv"
    path.write_text("rms\n1.5\n2.5\n")
    rows, _ = rows_of(path)
    encode = encoder(rows, None)
    assert {encode(row.record) for row in rows.read() if isinstance(row, Row)} == {
        (b"pump", b'{"rms":1.5}'),
        (b"pump", b'{"rms":2.5}'),
    }


FILES = {
    "csv": 'ts,device,rms,temp\n1700000000,"a, '
    '1",1.5,20\n1700000001.5,b,,21.25\n1700000002,7,-3e-5,x\n',
    "jsonl": '{"ts": 1700000000, "device": "a\\n\\"1", "rms": 1.5}\n{"ts": 1700000001.5, '
    '"device": 7, "temp": null}\n',
}


def reading(**source: object) -> Config:
    """A configuration of one stream of a topic."""
    fields = {"entity": "device", "time": {"path": "ts", "unit": "s"}, "channels": ["rms", "temp"]}
    stream = {"name": "s", "source": {"kind": "kafka", "topic": "t", **source}, "fields": fields}
    return config_from(
        {"version": 1, "streams": [stream], "schema_registry": {"url": "http://localhost:1"}},
        env={},
    )


def read_back(path: Path, config: Config) -> tuple[EventBatch, list[str]]:
    """What the stream makes of the rows that are pushed for it, and why it refuses the others."""
    stream = config.streams[0]
    assert isinstance(stream.source, KafkaSource)
    rows, _ = rows_of(path, fields_of(stream.fields))
    encode = encoder(rows, None, stream.source.framing)
    values = [encode(row.record)[1] for row in rows.read() if isinstance(row, Row)]
    batch, rejected = decoder_for(stream, None)(Lease("t", 0)).decode(
        values, np.arange(len(values))
    )
    return batch, [one.reason for one in rejected]


@pytest.mark.parametrize("form", FILES)
@pytest.mark.parametrize(
    "source", [{"format": "msgpack"}, {"format": "csv", "columns": ["temp", "device", "ts", "rms"]}]
)
def test_rows_are_the_same_events_whatever_format_their_stream_reads(
    tmp_path: Path, form: str, source: dict[str, object]
) -> None:
    path = tmp_path / f"plant.{form}"
    path.write_text(FILES[form])
    batch, refused = read_back(path, reading(**source))
    expected, also = read_back(path, reading())
    assert len(batch) == 2 and refused == also
    assert [batch.keys[n] for n in batch.entity[:, 0]] == [
        expected.keys[n] for n in expected.entity[:, 0]
    ]
    assert batch.time_s.tolist() == expected.time_s.tolist()
    np.testing.assert_array_equal(batch.values, expected.values)


@pytest.mark.parametrize("to", [(), ("--to", "kafka://localhost:1/t", "--stream", "s")])
def test_a_stream_that_reads_avro_is_refused_before_anything_is_asked(
    plant: Path, to: tuple[str, ...]
) -> None:
    path = plant.parent / "config.yaml"
    path.write_text(reading(format="avro").model_dump_json(exclude_defaults=True))
    done = call("replay", plant, "-c", path, *to)
    assert done.exit_code == 3
    assert f"{path}: " in done.stderr
    assert "stream s reads avro, which needs a schema to be written; push with" in done.stderr
