"""The client's log: a few lines in any flood, every suppressed one counted, the last
causes kept.
"""

from __future__ import annotations

import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.connect.kafka.client import client_log
from streamer.connect.kafka.client.client_log import Captured


class Lines(logging.Handler):
    """Where passed lines arrive."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(record.getMessage())


def captured(now: list[float]) -> tuple[Captured, Lines]:
    root, lines = logging.Logger("root of a test", logging.WARNING), Lines()
    root.addHandler(lines)
    return Captured(lambda: now[0], root), lines


def record(
    place: int, text: str, level: int = logging.WARNING, name: str = "kafka.coordinator"
) -> logging.LogRecord:
    return logging.LogRecord(name, level, "base.py", place, text, (), None)


def test_a_dead_coordinator_told_9990_times_is_a_few_lines() -> None:
    now = [0.0]
    handler, lines = captured(now)
    for n in range(9990):
        now[0] = n / 1000
        handler.emit(record(876, f"Marking the coordinator dead (node {n}) for group g"))
    assert len(lines.texts) == client_log.BURST
    now[0] += client_log.PERIOD_S
    handler.emit(record(876, "Marking the coordinator dead"))
    assert (
        lines.texts[-1]
        == f"Marking the coordinator dead (and {9990 - client_log.BURST} more like it, held back)"
    )


@given(st.lists(st.tuples(st.integers(0, 40), st.floats(0, 30)), max_size=300))
def test_every_line_is_passed_or_counted(steps: list[tuple[int, float]]) -> None:
    now = [0.0]
    handler, lines = captured(now)
    for place, wait_s in steps:
        now[0] += wait_s
        handler.emit(record(place, "trouble"))
    told = sum(int(text.split("(and ")[1].split()[0]) for text in lines.texts if "(and " in text)
    assert len(lines.texts) + told + handler.held_back() == len(steps)


@given(st.lists(st.tuples(st.integers(0, 40), st.floats(0, 2)), max_size=300))
def test_any_outage_of_two_minutes_stays_under_a_hundred_lines(
    steps: list[tuple[int, float]],
) -> None:
    now, passed_at = [0.0], []
    handler, lines = captured(now)
    for place, wait_s in steps:
        now[0] += wait_s
        before = len(lines.texts)
        handler.emit(record(place, "trouble"))
        passed_at += [now[0]] * (len(lines.texts) - before)
    for start in passed_at:
        assert sum(start <= at < start + 120 for at in passed_at) < 100


def test_while_hushed_lines_are_causes_and_counted() -> None:
    now = [0.0]
    handler, lines = captured(now)
    with handler.hushed(), handler.hushed():
        handler.emit(record(1, "refused"))
    assert (lines.texts, handler.causes(), handler.held_back()) == ([], ["refused"], 1)
    handler.emit(record(1, "refused"))
    assert lines.texts == ["refused (and 1 more like it, held back)"]


def test_a_traceback_becomes_one_line() -> None:
    handler, lines = captured([0.0])
    try:
        raise ConnectionResetError("the peer is gone")
    except ConnectionResetError as exc:
        line = logging.LogRecord(
            "kafka.net", logging.ERROR, "t.py", 1, "read %s", ("x",), (type(exc), exc, None)
        )
        handler.emit(line)
    assert lines.texts == ["read x (ConnectionResetError: the peer is gone)"]


def test_causes_are_the_newest_first_and_age() -> None:
    now = [0.0]
    handler, _ = captured(now)
    for now[0], (place, text) in enumerate([(1, "old"), (2, "refused"), (1, "again")]):
        handler.emit(record(place, text))
    assert handler.causes() == ["again", "refused"]
    now[0] = 61.5
    assert handler.causes() == ["again"]


def test_what_is_held_back_is_still_a_cause() -> None:
    handler, _ = captured([0.0])
    for n in range(50):
        handler.emit(record(1, f"failure {n}"))
    assert handler.causes() == ["failure 49"]


@pytest.mark.parametrize("name", ["kafka.net.sasl.plain", "kafka.net.sasl.scram"])
def test_advice_about_logins_is_no_cause(name: str) -> None:
    handler, lines = captured([0.0])
    handler.emit(record(1, "Sending username and password in the clear", name=name))
    assert handler.causes() == []
    assert lines.texts


def test_a_record_whose_text_cannot_be_made_is_written_as_it_is() -> None:
    handler, lines = captured([0.0])
    handler.emit(logging.LogRecord("kafka", logging.ERROR, "t.py", 1, "%d of %s", ("x",), None))
    assert lines.texts == ["%d of %s"]


def test_debug_lines_which_hold_the_bytes_of_the_login_never_come(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    client_log.tame()
    logging.getLogger("kafka.net.connection").debug("Request 1: auth_bytes=b'secret'")
    logging.getLogger("kafka.protocol.parser").debug("Send: b'secret'")
    assert "secret" not in caplog.text


def test_taming_twice_is_taming_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "")
    caplog.set_level(logging.WARNING, "kafka")  # a command of this process may have chosen others
    assert client_log.tame() is client_log.tame()
    logging.getLogger("kafka.tests").warning("a line of its own %s", "here")
    assert [line.getMessage() for line in caplog.records].count("a line of its own here") == 1
