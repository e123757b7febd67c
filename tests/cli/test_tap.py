"""What `tap` shows of a record, to a person and to a machine."""

from __future__ import annotations

import json
import math

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.cli.tap import escaped, json_of, line_of, reader, see_alert, starting
from streamer.config import Config, config_from
from streamer.connect.kafka.consumer.peek import PeekedRecord

NOW = 1_700_000_000.0


def configured() -> Config:
    stream = {
        "name": "plant",
        "source": {"kind": "kafka", "topic": "raw"},
        "fields": {
            "entity": "device",
            "time": {"path": "ts", "unit": "s"},
            "channels": ["rms", "temp"],
        },
    }
    return config_from({"version": 1, "streams": [stream]})


def record(value: bytes | None) -> PeekedRecord:
    return PeekedRecord("raw", 3, 42, round(NOW * 1000), b"k", value)


def shown(value: bytes | None) -> tuple[str, dict[str, object]]:
    config = configured()
    seen = reader(config, config.streams[0])(record(value))
    return click.unstyle(line_of(record(value), seen)), json.loads(json_of(record(value), seen))


def test_a_good_record_is_its_time_entity_and_values() -> None:
    line, told = shown(b'{"ts": 1700000000, "device": "p1", "rms": 0.22, "temp": null}')
    assert line == "2023-11-14T22:13:20.000Z  p1  rms=0.22  temp=-  [raw/3@42]"
    assert told["values"] == {"rms": 0.22, "temp": None}
    assert (told["partition"], told["offset"], told["schema"]) == (3, 42, "streamer.tap/1")


@pytest.mark.parametrize(
    ("value", "reason"),
    [(b"{", "bad_json"), (b'{"ts": 1700000000, "rms": 1}', "missing_field"), (None, "tombstone")],
)
def test_a_bad_record_is_the_reason_of_its_refusal(value: bytes | None, reason: str) -> None:
    line, told = shown(value)
    assert line.startswith(f"rejected {reason}")
    assert told["rejected"] == reason


def test_an_entity_cannot_steer_the_terminal() -> None:
    line, _ = shown(b'{"ts": 1700000000, "device": "a\\u001b[2Jb", "rms": 1}')
    assert r"a\x1b[2Jb" in line


@given(st.text())
def test_nothing_that_is_shown_holds_a_control_character(text: str) -> None:
    assert escaped(text).isprintable()


def test_an_alert_is_its_sentence() -> None:
    alert = {
        "detected_at": "2024-01-01T00:00:00Z",
        "severity": "critical",
        "event": "opened",
        "summary": "p1 is\x07 hot",
    }
    value = json.dumps(alert).encode()
    line = click.unstyle(line_of(record(value), see_alert(record(value))))
    assert line == r"2024-01-01T00:00:00Z  critical  opened  p1 is\x07 hot  [raw/3@42]"


@pytest.mark.parametrize("value", [b"{", b"[1]", None, b"\xff"])
def test_what_is_no_alert_is_said(value: bytes | None) -> None:
    assert "rejected" in see_alert(record(value))


def test_where_to_begin() -> None:
    assert starting("end", NOW) == math.inf
    assert starting("start", NOW) == -math.inf
    assert starting("-2h", NOW) == NOW - 7200
    assert starting("2023-11-14T22:13:20Z", 0) == NOW
    with pytest.raises(click.UsageError, match="-2h"):
        starting("yesterday", NOW)
