"""Columns of unknown files: what is guessed, what is said, what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from streamer.connect.files.infer import Guess, guess_fields
from streamer.errors import InputError


def table(header: str, row: str, n: int = 60) -> bytes:
    """n rows; in `row`, {i} counts, {t} is an epoch second, {m} one of three names, {x} a wave."""
    lines = (
        row.format(i=i, t=1_700_000_000 + 5 * i, m=f"m{i % 3}", x=(i * 7) % 13 / 2)
        for i in range(n)
    )
    return (header + "\n" * bool(header) + "\n".join(lines) + "\n").encode()


def roles(guess: Guess) -> tuple[str | None, tuple[str, ...], tuple[str, ...]]:
    return guess.fields.time, guess.fields.entity, guess.fields.channels


FOUND = {
    "nab": (
        table("timestamp,value", "2014-04-01 00:{i:02d}:00,{x}"),
        ("timestamp", (), ("value",)),
    ),
    "epoch by name": (
        table("ts,device_id,rms,temp", "{t},{m},{x},{x}"),
        ("ts", ("device_id",), ("rms", "temp")),
    ),
    "epoch by size": (table("a,b", "{t},{x}"), ("a", (), ("b",))),
    "small time by name": (table("Time,V1", "{i},{x}"), ("Time", (), ("V1",))),
    "no time": (table("a,b", "{x},{x}"), (None, (), ("a", "b"))),
    "label": (table("t,x,is_anomaly", "{t},{x},0"), ("t", (), ("x",))),
    "skab": (
        table("datetime;Current;anomaly;changepoint", "2020-03-09 10:14:{i:02d};{x};0;0"),
        ("datetime", (), ("Current",)),
    ),
    "row counter": (table(",a,b", "{i},{x},{x}"), (None, (), ("a", "b"))),
    "only a counter": (table("value", "{i}"), (None, (), ("value",))),
    "text names": (
        table("when,pumpe,x", "2020-01-01T00:00:{i:02d}Z,{m},{x}"),
        ("when", ("pumpe",), ("x",)),
    ),
    "state is no name": (table("ts,state,x", "{t},ok,{x}"), ("ts", (), ("x",))),
    "numbered entity": (
        table("ts,CustomerId,amount,tx_fraud", "{t},{m}7,{x},0"),
        ("ts", ("CustomerId",), ("amount",)),
    ),
    "identifier": (table("ts,event_id,x", "{t},{i}9,{x}"), ("ts", (), ("x",))),
    "headless": (table("", "{t},{x},{x}"), ("column_1", (), ("column_2", "column_3"))),
    "tabs": (table("ts\ttemp", "{t}\t{x}"), ("ts", (), ("temp",))),
    "half empty": (table("ts,a,b", "{t},{x},"), ("ts", (), ("a",))),
    "json": (
        table("", '{{"ts":{t},"v":{{"rms":{x},"a.b":1,"l":[1]}},"host":"{m}"}}'),
        ("ts", ("host",), ("v.rms", r"v.a\.b")),
    ),
}


@pytest.mark.parametrize("case", FOUND)
def test_the_roles_of_columns_are_found(case: str) -> None:
    data, expected = FOUND[case]
    assert roles(guess_fields(data)) == expected


def test_series_one_after_the_other_are_told_apart() -> None:
    parts = [f"2020-01-01 00:00:{i:02d},{name},{i % 7}\n" for name in ("a", "b") for i in range(50)]
    assert guess_fields(("when,what,x\n" + "".join(parts)).encode()).fields.entity == ("what",)


def test_the_guess_is_said() -> None:
    notes = guess_fields(table("ts;device;rms;label", "{t};{m};{x};0")).notes
    assert notes == (
        "semicolon-separated, with a header",
        "time: ts, usually 5 s apart",
        "entity: device",
        "channels: rms",
        "not read: label (a label is an answer, not an input)",
    )


def test_what_is_given_is_not_guessed() -> None:
    data = table("ts,device,a,b,label", "{t},{m},{x},{x},1")
    assert roles(guess_fields(data, channels=["b", "label"], entity="a")) == (
        "ts",
        ("a",),
        ("b", "label"),
    )
    assert roles(guess_fields(data, time=""))[0] is None
    assert guess_fields(table("a;b", "{x};{x},5"), separator=";").separator == ";"


REFUSED = {
    "text": (table("a,b", "x{i},y"), {}, "no column holds numbers"),
    "decimal commas": (table("a;b", "{i},5;{i},7"), {}, "decimal commas"),
    "only a header": (b"a,b\n", {}, "header but no rows|no column holds"),
    "blank": (b"\n\n", {}, "only blank lines"),
    "no json objects": (b'{"a"\n{\n', {}, "none of its first 2 lines is a JSON object"),
    "json array": (b"[1]", {}, "jq"),
    "unknown column": (table("ts,temp", "{t},{x}"), {"channels": ["tmp"]}, "did you mean 'temp'"),
    "no times": (
        table("ts,mode,x", "{t},{m},{x}"),
        {"time": "mode"},
        "'mode' holds no times, for example 'm0'",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_guess_that_cannot_be_made_says_why(case: str) -> None:
    data, given, problem = REFUSED[case]
    with pytest.raises(InputError, match=problem):
        guess_fields(data, **given)  # type: ignore[arg-type]


def test_every_public_series_is_understood(shared: Path) -> None:
    paths = sorted((shared / "data" / "nab").glob("*/*.csv"))
    assert paths
    assert {roles(guess_fields(path)) for path in paths} == {("timestamp", (), ("value",))}
