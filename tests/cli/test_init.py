"""`streamer init` of files and of records in hand: the configuration it writes is the one that
reads them.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.cli.init import understand
from streamer.cli.init_yaml import flow, literal, render
from streamer.cli.kafka_address import load_base
from streamer.config import Config, load_config
from streamer.config.document import parse
from streamer.connect.kafka.consumer.peek import PeekedRecord
from tests.cli.calls import call

T0 = 1_700_000_000


@pytest.fixture
def plant(tmp_path: Path) -> Path:
    path = tmp_path / "plant.csv"
    rows = (f"{T0 + i // 2},m{i % 2},{i % 13 / 7:.3f},0" for i in range(400))
    path.write_text("\n".join(["ts,machine_id,rms,label", *rows]) + "\n")
    return path


def test_a_file_becomes_a_configuration_that_passes(plant: Path, tmp_path: Path) -> None:
    out = tmp_path / "config.yaml"
    done = call("init", plant, "--out", out)
    assert done.exit_code == 0, done.stderr
    assert "entity: machine_id" in done.stdout
    stream = load_config(out, env={}).streams[0]
    assert (stream.name, stream.fields.entity, stream.fields.channels) == (
        "plant",
        ("machine_id",),
        ("rms",),
    )
    assert stream.fields.time is not None and (
        stream.fields.time.path,
        stream.fields.time.unit,
    ) == ("ts", "s")
    assert stream.alerts.expected_entities == 2
    assert call("check", "-c", out).exit_code == 0


def test_a_file_that_is_there_is_kept(plant: Path, tmp_path: Path) -> None:
    out = tmp_path / "config.yaml"
    out.write_text("mine")
    done = call("init", plant, "--out", out)
    assert (done.exit_code, out.read_text()) == (2, "mine")
    assert "--yes" in done.stderr
    assert call("init", plant, "--out", out, "--yes").exit_code == 0
    assert out.read_text() != "mine"


@pytest.mark.parametrize("words", [(), ("x.csv", "--from", "kafka://h/t")])
def test_one_thing_is_looked_at(words: tuple[str, ...]) -> None:
    assert call("init", *words).exit_code == 2


def test_a_login_in_the_address_is_refused(tmp_path: Path) -> None:
    done = call("init", "--from", "kafka://ana:hunter2@h/t", "--out", tmp_path / "c.yaml")
    assert done.exit_code == 2
    assert "hunter2" not in done.stderr


def records(values: list[bytes], key: bytes | None = b"k") -> list[PeekedRecord]:
    return [
        PeekedRecord("sensors raw", 0, i, (T0 + i) * 1000, key, value)
        for i, value in enumerate(values)
    ]


def understood(
    values: list[bytes], tmp_path: Path, key: bytes | None = b"k"
) -> tuple[Config, list[str], list[str]]:
    found = understand(records(values, key), 2, "sensors", load_base(None))
    path = tmp_path / "made.yaml"
    path.write_text(render(found))
    return load_config(path, env={}), list(found.remarks.notes), list(found.remarks.unsure)


def test_records_of_json_become_a_configuration(tmp_path: Path) -> None:
    values = [
        json.dumps({"at": (T0 + i) * 1000, "dev": {"id": f"p{i % 3}"}, "v$": i % 7 / 3}).encode()
        for i in range(300)
    ]
    config, notes, unsure = understood(values, tmp_path)
    fields = config.streams[0].fields
    assert (fields.entity, fields.channels) == (("dev.id",), ("v$",))
    assert fields.time is not None and fields.time.unit == "ms"
    assert any("1 records/s" in note for note in notes)
    assert unsure == []


def test_what_is_uncertain_is_said(tmp_path: Path) -> None:
    values = [f"{i % 5},{i % 3 / 7:.3f}".encode() for i in range(40)] + [b"\xff"]
    _, _, unsure = understood(values, tmp_path, key=None)
    told = "\n".join(unsure)
    for doubt in (
        "looks like a time",
        "one series",
        "only 40 rows",
        "no key",
        "no header",
        "cannot be read",
    ):
        assert doubt in told


def test_what_the_values_lack_is_taken_from_beside_them(tmp_path: Path) -> None:
    rows = [(f"pump {i % 3}".encode(), b'{"@v": %d.5}' % (i % 7)) for i in range(300)]
    sent = [
        PeekedRecord("raw", 0, i, (T0 + i) * 1000, key, value)
        for i, (key, value) in enumerate(rows)
    ]
    found = understand(sent, 1, "raw", load_base(None))
    (path := tmp_path / "made.yaml").write_text(render(found))
    fields = load_config(path, env={}).streams[0].fields
    assert (fields.entity, fields.time and fields.time.path, fields.channels) == (
        ("@key",),
        "@timestamp",
        ("@v",),
    )
    assert found.entities == 3 and any(
        "keys of the records" in note for note in found.remarks.notes
    )


def test_keys_that_never_repeat_name_nothing(tmp_path: Path) -> None:
    sent = [
        PeekedRecord("raw", 0, i, T0 * 1000 + i, b"%d" % i, b'{"v": %d.5}' % (i % 7))
        for i in range(50)
    ]
    assert understand(sent, 1, "raw", load_base(None)).entity == ()


def test_a_field_of_the_record_that_begins_with_an_at_is_written_as_its_own(tmp_path: Path) -> None:
    values = [
        b'{"@timestamp": "2026-01-01T00:%02d:%02dZ", "v": %d.5}' % (i // 60, i % 60, i % 7)
        for i in range(300)
    ]
    config, _, _ = understood(values, tmp_path)
    time = config.streams[0].fields.time
    assert time is not None and time.path == "\\@timestamp"


@given(
    st.recursive(
        st.text(max_size=20) | st.booleans() | st.integers(0, 10**6),
        lambda inner: st.lists(inner, max_size=3),
    )
)
def test_what_is_written_is_read_back(value: object) -> None:
    def quoted(each: object) -> object:
        return (
            literal(each)
            if isinstance(each, str)
            else list(map(quoted, each))
            if isinstance(each, list)
            else each
        )

    document = parse(f"x: {flow(quoted(value))}\n".encode(errors="replace"), "made", {})
    surrogates = "\ufffd" if any(0xD800 <= ord(c) < 0xE000 for c in str(value)) else ""
    assert surrogates or document.data == {"x": value}
