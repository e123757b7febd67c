"""Laws of logging: one line per event, no secret, no control character on a terminal, repeats
counted.
"""

from __future__ import annotations

import io
import json
import logging
import warnings
from typing import Any

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from streamer import log

fields = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.binary(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text("abc_", min_size=1), inner, max_size=3)
    ),
    max_leaves=8,
)


def written(form: str = "json", **options: Any) -> tuple[Any, io.StringIO]:
    stream = io.StringIO()
    log.setup(stream=stream, format=form, **options)
    return structlog.get_logger(), stream


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().split("\n")[:-1]]


@given(st.text(max_size=30), st.dictionaries(st.text("abcdefg", min_size=1), fields, max_size=4))
def test_any_event_is_one_line_of_json(event: str, values: dict[str, Any]) -> None:
    logger, stream = written()
    logger.info(event, **values)
    (line,) = lines(stream)
    assert line["level"] == "info"
    assert line["time"].endswith("Z")


@given(st.text(max_size=30), st.text(max_size=30), fields)
def test_no_control_character_reaches_a_terminal(event: str, text: str, value: Any) -> None:
    logger, stream = written("console")
    logger.info(event, text=text, value=value)
    assert stream.getvalue().removesuffix("\n").isprintable()


def test_a_traceback_keeps_its_lines_but_cannot_pose_as_one() -> None:
    logger, stream = written("console")
    try:
        raise ValueError("x\n2026-01-01 [info] all is well\x1b[2J")
    except ValueError:
        logger.exception("step_failed")
    assert "\x1b" not in stream.getvalue()
    assert all(line.startswith("  ") for line in stream.getvalue().splitlines()[1:])


def test_locals_stay_out_of_tracebacks() -> None:
    logger, stream = written()
    harmless_name = "hunter2"
    try:
        raise ValueError(len(harmless_name))
    except ValueError:
        logger.exception("step_failed")
    assert "ValueError: 7" in stream.getvalue()
    assert "hunter2" not in stream.getvalue()


@pytest.mark.parametrize(
    "values",
    [
        {"password": "hunter2"},
        {"sasl_password": "hunter2"},
        {"token": "hunter2"},
        {"api_key": "hunter2"},
        {"client_secret": ["hunter2"]},
        {"config": {"server": {"token": "hunter2"}}},
        {"url": "redis://u:hunter2@h:1/0"},
        {"text": "Authorization: Bearer hunter2"},
        {"text": "password=hunter2, user=x"},
        {"items": [("token: hunter2",)]},
        {"text": "the known one is hunter2."},
        {"raw": b"secret=hunter2"},
    ],
)
def test_no_secret_is_logged(values: dict[str, Any]) -> None:
    for form in ("json", "console"):
        logger, stream = written(form, secrets=["hunter2"] if "known" in repr(values) else [])
        logger.info("client_made", **values)
        assert "***" in stream.getvalue()
        assert "hunter2" not in stream.getvalue()


def test_secrets_are_scrubbed_from_tracebacks_too() -> None:
    logger, stream = written()
    try:
        raise OSError("cannot reach http://u:hunter2@h/")
    except OSError:
        logger.exception("fetch_failed")
    assert "http://***@h/" in stream.getvalue()


@pytest.mark.parametrize("name", ["key", "tokens", "entity_key", "keys", "monkey"])
def test_harmless_names_are_shown(name: str) -> None:
    logger, stream = written()
    logger.info("x_done", **{name: "pump-17"})
    assert lines(stream)[0][name] == "pump-17"


def test_levels_are_kept() -> None:
    logger, stream = written(level="warning")
    logger.info("too_low")
    logger.warning("high_enough")
    assert [line["event"] for line in lines(stream)] == ["high_enough"]


def test_repeats_are_held_back_and_counted_in_the_next_period() -> None:
    now = [0.0]
    logger, stream = written(clock=lambda: now[0])
    for _ in range(25):
        logger.info("sink_down")
    logger.info("other")
    now[0] = 60.0
    logger.info("sink_down")
    shown = lines(stream)
    assert [line["event"] for line in shown] == ["sink_down"] * 10 + ["other", "sink_down"]
    assert shown[-1]["suppressed"] == 15


@given(st.lists(st.tuples(st.sampled_from("ab"), st.floats(0, 40)), max_size=120))
def test_no_line_is_lost_uncounted(calls: list[tuple[str, float]]) -> None:
    now = [0.0]
    limiter = log.Limiter(burst=3, period_s=60, clock=lambda: now[0])
    passed = suppressed = 0
    for event, step in calls:
        now[0] += step
        try:
            out = limiter(None, "info", {"event": event})
        except structlog.DropEvent:
            continue
        passed, suppressed = passed + 1, suppressed + out.get("suppressed", 0)
    assert passed + suppressed + sum(limiter.held_back().values()) == len(calls)
    assert limiter.held_back() == {}


def test_what_was_held_back_is_told_at_the_end() -> None:
    stream = io.StringIO()
    limiter = log.setup(stream=stream, format="json")
    for _ in range(12):
        structlog.get_logger().error("sink_down")
    log.tell_held_back(limiter)
    assert lines(stream)[-1]["counts"] == {"sink_down//error": 2}


def test_the_limiter_remembers_a_bounded_number_of_events() -> None:
    limiter = log.Limiter()
    for i in range(3 * log.MAX_EVENTS):
        limiter(None, "info", {"event": f"e{i}"})
    assert len(limiter._seen) == log.MAX_EVENTS


def test_lines_of_libraries_become_events() -> None:
    _, stream = written()
    for name in ("asyncio", "uvicorn.error", "tensorflow"):  # kafka's have a limit of their own
        logging.getLogger(name).warning("hello %s", "you")
    logging.getLogger("tensorflow").info("chatter")
    shown = lines(stream)
    assert [line["logger"] for line in shown] == ["asyncio", "uvicorn.error", "tensorflow"]
    assert {line["event"] for line in shown} == {"library_message"}
    assert shown[0]["message"] == "hello you"


def test_without_libraries_only_our_own_lines_are_written(
    capsys: pytest.CaptureFixture[str],
) -> None:
    logger, stream = written(libraries=False)
    logging.getLogger("kafka.net").error("connection refused")
    logger.error("ours")
    assert [line["event"] for line in lines(stream)] == ["ours"]
    assert capsys.readouterr() == ("", "")


def test_warnings_become_events() -> None:
    _, stream = written()
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("old spelling", DeprecationWarning, stacklevel=1)
    assert "old spelling" in lines(stream)[0]["message"]


def test_a_library_line_that_cannot_be_formatted_is_kept() -> None:
    _, stream = written()
    log.Bridge().emit(
        logging.LogRecord("kafka", logging.ERROR, "x.py", 1, "%d items", ("many",), None)
    )
    assert lines(stream)[0]["message"] == "%d items"


def test_a_closed_stream_costs_the_line_and_nothing_else() -> None:
    logger, stream = written()
    stream.close()
    logger.info("nobody_hears")


def test_a_second_setup_reaches_loggers_that_modules_hold() -> None:
    logger, first = written()
    _, second = written()
    logger.info("here")
    assert first.getvalue() == ""
    assert lines(second)[0]["event"] == "here"
    logging.getLogger("kafka").error("once")
    assert len(lines(second)) == 2


def test_very_long_texts_are_cut() -> None:
    logger, stream = written()
    logger.info("got", text="x" * 100_000)
    assert lines(stream)[0]["text"].endswith("(100000 characters)")
