"""Laws of reading YAML: plain data, places of everything, nothing executed, everything bounded."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from streamer.config.document import MAX_BYTES, Document, parse, resolve

plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**12), 10**12)
    | st.text("abc xyz:#-'\"{}[],&*!%é", max_size=12),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text("abcd", min_size=1), inner, max_size=4)
    ),
    max_leaves=20,
)


def read(text: str, **env: str) -> Document:
    return parse(text.encode(), "c.yaml", env)


def problem(text: str, **env: str) -> str:
    """The only problem of a document."""
    (found,) = read(text, **env).problems
    return found.render()


@given(plain)
def test_what_yaml_writes_reads_back(data: object) -> None:
    document = read(yaml.safe_dump(data, allow_unicode=True).removesuffix("...\n"))
    assert document.problems == []
    assert document.data == data


@given(st.binary(max_size=300))
def test_any_bytes_give_data_or_a_problem_with_a_place(blob: bytes) -> None:
    document = parse(blob, "c.yaml", {})
    assert all(found.render().startswith("c.yaml") for found in document.problems)


@given(st.text("{}[]&*!|>-?:, \n\t#'\"%@`a1", max_size=60))
def test_any_punctuation_gives_data_or_a_problem(text: str) -> None:
    document = read(text)
    assert document.problems or document.data is not None or text.strip()


def test_every_value_and_key_has_its_place() -> None:
    document = read("a:\n  - b: 1\n    c: [x, y]\n")
    assert document.values["a", 0, "c", 1].where == "c.yaml:3:12"
    assert document.keys["a", 0, "c"].where == "c.yaml:3:5"
    assert document.values["a", 0, "c", 1].line == "    c: [x, y]"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("no", "no"),
        ("on", "on"),
        ("010", 10),
        ("12:30", "12:30"),
        ("1e3", 1000.0),
        ("~", None),
        ("0x1f", "0x1f"),
        ("true", True),
        ("-5", -5),
        (".5", 0.5),
        ("2024-01-01", "2024-01-01"),
        ("9" * 30, float("9" * 30)),
    ],
)
def test_scalars_follow_yaml_1_2(text: str, value: object) -> None:
    assert resolve(text) == value


def test_a_duplicate_key_is_refused_with_both_lines() -> None:
    assert problem("a: 1\nb: 2\na: 3\n") == (
        "c.yaml:3:1: a: the key is set twice; the first one is on line 1\n     3 | a: 3\n       | ^"
    )


@pytest.mark.parametrize(
    "tag", ["!!python/object/apply:os.system [echo]", "!!binary aGk=", "!custom x", "!!int 3"]
)
def test_tags_are_refused(tag: str) -> None:
    assert "is not allowed" in problem(f"a: {tag}\n")


def test_an_alias_bomb_is_bounded() -> None:
    levels = "".join(f"l{i}: &l{i} [{', '.join([f'*l{i - 1}'] * 9)}]\n" for i in range(1, 12))
    assert "more than 20000 values" in problem(f"l0: &l0 [x, x]\n{levels}")


def test_an_alias_that_holds_itself_is_refused() -> None:
    assert "hold itself" in problem("a: &a [*a]\n")


@pytest.mark.parametrize(
    "blob",
    [
        b"a: " + b"token." * 40_000,
        b"a: '" + b'password: "' * 20_000 + b"'",
        b"[" * 200_000,
        b"a: [" + b"x, " * 80_000,
    ],
    ids=["long-name", "many-secrets", "deep", "many-values"],
)
def test_hostile_text_costs_seconds_at_most(blob: bytes) -> None:
    start = time.process_time()
    document = parse(blob[:MAX_BYTES], "c.yaml", {})
    assert document.problems or document.data
    assert time.process_time() - start < 10


def test_a_very_long_line_is_not_shown_but_its_place_is() -> None:
    assert (
        problem(f"a: [{'x, ' * 500}!bad x]")
        == "c.yaml:1:1505: a[500]: the tag !bad is not allowed; write a plain value"
    )


def test_merge_keys_fill_what_the_mapping_leaves_open() -> None:
    document = read("base: &b {x: 1, y: 2}\nuse:\n  y: 3\n  <<: *b\n")
    assert document.data["use"] == {"x": 1, "y": 3}
    assert document.values["use", "y"].where == "c.yaml:3:6"


@pytest.mark.parametrize(
    ("blob", "words"),
    [
        (b"", "empty"),
        (b"# only a comment\n", "empty"),
        (b"\x7fELF\0\0\0", "binary"),
        (b"a: 1\nb: \xff\n", "c.yaml:2:4: not UTF-8"),
        (b"a: [1, 2\n", "not YAML"),
        (b"a:\n\t- b\n", "indent with spaces"),
        (b"a: *nobody\n", "undefined alias"),
        (b"a: 1\n---\nb: 2\n", "another document"),
        (b"a: \x07\n", "not allowed in YAML"),
        (b"? [x, y]\n: 1\n", "a key must be plain text"),
        (b"[" * 5000, "deep"),
        (b"a: b\n" * (MAX_BYTES // 5 + 1), "larger than 256 KiB"),
        ("﻿".encode() + b"<<: 5\n", "<< needs a mapping"),
    ],
)
def test_what_is_no_configuration_is_said(blob: bytes, words: str) -> None:
    (found,) = parse(blob, "c.yaml", {}).problems
    assert words in found.render()


def test_a_byte_order_mark_is_no_obstacle() -> None:
    assert parse("﻿a: 1".encode(), "c.yaml", {}).data == {"a": 1}


def test_variables_are_expanded_inside_scalars_only() -> None:
    document = read('a: "${X}"\nb: ${Y:-d}.csv\n${X}: 1\nc: $${X} $5\n', X="k: [1]\nz: 2")
    assert document.data == {"a": "k: [1]\nz: 2", "b": "d.csv", "${X}": 1, "c": "${X} $5"}


@pytest.mark.parametrize("value", ["", "v"])
def test_a_default_stands_in_for_an_unset_or_empty_variable(value: str) -> None:
    assert read("a: ${X:-d}", X=value).data == {"a": value or "d"}
    assert read("a: ${X}", X=value).data == {"a": value}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("${NOPE}", "the variable NOPE is not set; set it, or write ${NOPE:-default}"),
        ("${X", "${ without }"),
        ("${A:-${B}}", "inside a reference"),
        ("${9}", "is not ${VAR}"),
        ("${}", "is not ${VAR}"),
        ("${file:/does/not/exist}", "cannot be read: No such file"),
        ("${file:/}", "cannot be read"),
    ],
)
def test_a_bad_reference_is_a_problem_at_its_place(text: str, words: str) -> None:
    shown = problem(f"k:\n  - '{text}'\n")
    assert shown.startswith("c.yaml:2:5: k[0]: ")
    assert words in shown


def test_a_file_is_read_without_its_last_line_break_and_is_secret(tmp_path: Path) -> None:
    (tmp_path / "s").write_text("hunter2\n")
    document = read(f"a: ${{file:{tmp_path}/s}}")
    assert document.data == {"a": "hunter2"}
    assert document.values["a",].secret


@pytest.mark.parametrize(
    ("blob", "words"), [(b"\xff\xfe", "not UTF-8"), (b"x" * 70_000, "larger than")]
)
def test_a_file_that_is_no_secret_is_refused(tmp_path: Path, blob: bytes, words: str) -> None:
    (tmp_path / "s").write_bytes(blob)
    assert words in problem(f"a: ${{file:{tmp_path}/s}}")


def test_every_problem_of_a_document_is_found_at_once() -> None:
    assert len(read("a: ${P}\nb: !x 1\na: 2\nc: ${Q}\n").problems) == 4
