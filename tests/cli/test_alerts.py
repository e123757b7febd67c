"""`streamer alerts`: what is known of incidents, and what people say of them, across processes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from streamer.connect.storage.sqlite_journal import SqliteJournal
from streamer.journal import Incident
from tests.cli.calls import call

PUMP = Incident("ab12" * 8, "plant", "pump", 1e9, None, "warning", 1.5, "pump is hot", "t", 0, 5, 9)
VALVE = replace(
    PUMP,
    alert_id="cd34" * 8,
    entity="valve",
    started_s=1e9 + 60,
    ended_s=1e9 + 90,
    summary="valve stuck",
)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Of a stream whose journal knows two incidents."""
    (tmp_path / "rows.csv").write_text("t,a\n0,1\n")
    path = tmp_path / "config.yaml"
    path.write_text(
        "version: 1\n"
        f"streams: "
        f"[{{name: plant, source: {{kind: file, path: {tmp_path / 'rows.csv'}}}, fields: {{time: t}}}}]\n"
        f"store: {{kind: files, path: {tmp_path / 'state'}}}\n"
    )
    journal = SqliteJournal(tmp_path / "state" / "journal.db")
    journal.record([PUMP, VALVE])
    journal.close()
    return path


def test_incidents_are_listed_oldest_first_with_the_last_word_on_each(config: Path) -> None:
    assert call("alerts", "label", "cd34", "confirmed", "-c", config, "--by", "ann").exit_code == 0
    listed = call("alerts", "list", "-c", config)
    assert [line.split()[0] for line in listed.stdout.splitlines()] == [
        "ab12ab12ab12",
        "cd34cd34cd34",
    ]
    assert [
        word in line
        for word, line in zip(["open", "confirmed"], listed.stdout.splitlines(), strict=True)
    ]
    rows = [
        json.loads(line)
        for line in call("alerts", "list", "-c", config, "--format", "jsonl").stdout.splitlines()
    ]
    assert [(row["entity"], row["label"]) for row in rows] == [
        ("pump", None),
        ("valve", "confirmed"),
    ]


def test_only_what_has_not_ended_is_listed_when_asked(config: Path) -> None:
    assert call("alerts", "list", "-c", config, "--open").stdout.split()[0] == "ab12ab12ab12"


@pytest.mark.parametrize("kind", ["confirmed", "expected", "false_alarm", "new_normal", "unsure"])
def test_a_label_says_what_it_changes(config: Path, kind: str) -> None:
    said = call("alerts", "label", "ab12", kind, "-c", config, "--format", "json")
    told = json.loads(said.stdout)
    assert (said.exit_code, told["alert_id"]) == (0, PUMP.alert_id)
    assert told["effect"].startswith(f"plant/pump {kind}: ")


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("label", "ffff", "confirmed"), 1, "no alert has the id"),
        (("label", "ab12", "wrong"), 2, "false_alarm"),
        (("list", "--since", "yesterday"), 2, "-2h"),
        (("list", "--set", "store.kind=none"), 3, "store"),
    ],
)
def test_what_cannot_be_done_says_why_and_changes_nothing(
    config: Path, words: tuple[str, ...], code: int, says: str
) -> None:
    done = call("alerts", *words, "-c", config)
    assert done.exit_code == code
    assert says in done.stderr
    assert '"label": null' in call("alerts", "list", "-c", config, "--format", "jsonl").stdout
