"""Dead letters on the command line, in a file; tests/integration holds those in a topic."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from streamer.cli.dlq_views import hexdump
from streamer.connect.dead_letters.inbox import WorkerBox
from streamer.connect.dead_letters.letter import LetterFile, origin
from streamer.event import Lease, Rejected
from streamer.protocols import Letter
from tests.cli.calls import call

CONFIG = """
version: 1
streams: [{name: s, source: {kind: memory}}]
kafka: {bootstrap_servers: ["127.0.0.1:1"], request_timeout: 1s}
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A configuration whose letters are three: two of bad_json, one of bad_time, the last with a
    nasty value.
    """
    file = LetterFile(tmp_path / "dlq.jsonl")
    for number, reason in enumerate(("bad_json", "bad_time", "bad_json")):
        record = Rejected(
            number,
            reason,
            "d\x1b[31m",
            b"\x00\x1b[31m{",
            Lease("raw", 2),
            None,
            (("h", b"\x07"),),
            1000,
        )
        file.send(Letter("s", record, f"2026-01-0{number + 1}T00:00:00Z"))
    file.close()
    path = tmp_path / "config.yaml"
    path.write_text(f"{CONFIG}dead_letters: {{kind: file, path: {tmp_path / 'dlq.jsonl'}}}\n")
    return path


def test_letters_are_counted_by_reason_the_most_frequent_first(config: Path) -> None:
    done = call("dlq", "list", "-c", config)
    head, first, second = (line.split() for line in done.stdout.splitlines())
    assert head[:3] == ["count", "stream", "reason"]
    assert first == ["2", "s", "bad_json", "2026-01-01T00:00:00Z", "2026-01-03T00:00:00Z", "3"]
    assert second[:3] == ["1", "s", "bad_time"] and "3 letters" in done.stderr


@pytest.mark.parametrize(
    ("words", "places"),
    [
        ([], ["1", "2", "3"]),
        (["--limit", "2"], ["2", "3"]),
        (["--reason", "bad_time"], ["2"]),
        (["--since", "2026-01-02T00:00:00Z"], ["2", "3"]),
        (["--stream", "other"], []),
    ],
)
def test_rows_are_narrowed_down(config: Path, words: list[str], places: list[str]) -> None:
    done = call("dlq", "list", "--rows", "-c", config, *words)
    assert [line.split()[0] for line in done.stdout.splitlines()] == places
    assert ("\x1b" not in done.stdout and "raw/2@" in done.stdout) or not places


def test_a_listing_for_machines_says_its_schema(config: Path) -> None:
    told = json.loads(call("dlq", "list", "--format", "json", "-c", config).stdout)
    assert (told["schema"], told["letters"], told["rows"]) == ("streamer.dlq/1", 3, [])
    assert told["groups"][0] == {
        "stream": "s",
        "reason": "bad_json",
        "count": 2,
        "first": "2026-01-01T00:00:00Z",
        "last": "2026-01-03T00:00:00Z",
        "example": "3",
    }


def test_a_letter_is_shown_in_full_and_cannot_steer_the_terminal(config: Path) -> None:
    page = call("dlq", "show", "2", "-c", config).stdout
    for words in (
        "bad_time",
        "raw/2@1",
        "1970-01-01T00:00:01.000+00:00",
        "header h",
        "00 1b 5b 33 31 6d 7b",
        "..[31m{",
    ):
        assert words in page
    assert "\x1b" not in page and "\x07" not in page


def test_a_letter_for_machines_holds_its_bytes(config: Path) -> None:
    told = json.loads(call("dlq", "show", "2", "--format", "json", "-c", config).stdout)
    assert base64.b64decode(told["value"]) == b"\x00\x1b[31m{" and told["key"] is None


def test_a_place_without_a_letter_is_said(config: Path) -> None:
    done = call("dlq", "show", "99", "-c", config)
    assert done.exit_code == 1 and "no letter lies at 99" in done.stderr


@pytest.fixture
def workers(tmp_path: Path) -> Path:
    """A configuration of several workers whose letters lie in three files, in turn; and others that
    are not theirs.
    """
    for number in range(6):
        file = LetterFile(tmp_path / f"dlq[1]-{(0, 2, 10)[number % 3]}.jsonl")
        file.send(
            Letter(
                "s",
                Rejected(number, "bad_json", "d", b"{", Lease("raw", 0)),
                f"2026-01-0{number + 1}T00:00:00Z",
            )
        )
        file.close()
    for name in ("dlq[1]-x.jsonl", "dlq[1]-1.jsonl.replayed", "dlq1-3.jsonl"):
        (tmp_path / name).write_text("no letters of a worker\n")
    path = tmp_path / "config.yaml"
    path.write_text(
        f"{CONFIG}dead_letters: {{kind: file, path: '{tmp_path}/dlq[1]-{{worker}}.jsonl'}}\n"
    )
    return path


def test_letters_of_all_workers_are_listed_in_the_order_of_their_times(workers: Path) -> None:
    done = call("dlq", "list", "--rows", "-c", workers)
    assert [line.split()[0] for line in done.stdout.splitlines()] == [
        "0@1",
        "2@1",
        "10@1",
        "0@2",
        "2@2",
        "10@2",
    ]
    assert "6 letters" in done.stderr and "damaged" not in done.stderr


def test_a_letter_of_a_worker_is_shown_by_its_place(workers: Path) -> None:
    assert "raw/0@4" in call("dlq", "show", "2@2", "-c", workers).stdout
    assert call("dlq", "show", "3@1", "-c", workers).exit_code == 1


def test_letters_of_all_workers_are_noted_once_for_all(workers: Path) -> None:
    box = WorkerBox(str(workers.parent / "dlq[1]-{worker}.jsonl"), "{worker}")
    first, second, *_ = (origin(stored.letter) for stored in box.letters())
    box.note([first])
    box.note([second])
    told = json.loads(call("dlq", "replay", "--yes", "--format", "json", "-c", workers).stdout)
    assert (told["not_sent"], told["skipped"]) == (4, {"was sent back before": 2})
    assert (workers.parent / "dlq[1]-all.jsonl.replayed").exists()


def test_workers_without_any_letter_file_are_told(workers: Path) -> None:
    done = call("dlq", "list", "-c", workers, "--set", "dead_letters.path=nowhere-{worker}.jsonl")
    assert done.exit_code == 1 and "no worker has such a file" in done.stderr


def test_nothing_is_sent_without_a_yes(config: Path) -> None:
    done = call("dlq", "replay", "-c", config)
    assert done.exit_code == 2 and "send 3 to raw back?" in done.stderr


def test_a_broker_that_is_away_ends_the_replay_and_nothing_is_noted(config: Path) -> None:
    done = call("dlq", "replay", "--yes", "--format", "json", "-c", config)
    told = json.loads(done.stdout)
    assert (
        done.exit_code == 1
        and (told["sent"], told["not_sent"]) == ({}, 3)
        and "127.0.0.1:1" in told["problem"]
    )
    assert not (config.parent / "dlq.jsonl.replayed").exists()


def test_without_dead_letters_the_missing_section_is_named(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(CONFIG)
    done = call("dlq", "list", "-c", tmp_path / "config.yaml")
    assert done.exit_code == 3 and "dead_letters: is not set" in done.stderr


def test_a_time_that_is_none_is_a_usage_error(config: Path) -> None:
    assert call("dlq", "list", "--since", "soon", "-c", config).exit_code == 2


def test_every_byte_of_a_value_is_dumped() -> None:
    lines = list(hexdump(bytes(range(256))))
    assert len(lines) == 16 and bytes.fromhex("".join(line[10:57] for line in lines)) == bytes(
        range(256)
    )
    assert lines[2].endswith(""" !"#$%&'()*+,-./""") and "\x7f" not in lines[7]
