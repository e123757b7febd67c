"""The benchmark's own machinery: figures judged by their promises, documents filled
from results.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from bench import figures, tables
from bench.figures import Figure


def test_a_promise_is_kept_or_marked() -> None:
    fast, slow = (
        Figure("fast", 70_000, "events/s", must=60_000),
        Figure("late", 8, "ms", "lower", must=6),
    )
    assert fast.kept is True
    assert slow.kept is False
    assert Figure("free", 1, "").kept is None
    printed = figures.table([fast, slow])
    assert [line.endswith("BELOW ITS MUST") for line in printed.splitlines()] == [
        False,
        False,
        True,
    ]


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(figures, "RESULTS", tmp_path)
    monkeypatch.setattr(tables, "RESULTS", tmp_path)
    return tmp_path


def test_a_table_in_a_document_comes_from_the_results_and_names_command_machine_and_commit(
    results: Path,
) -> None:
    figures.write(
        "speed",
        [
            Figure("flow", 61_000, "events/s", low=6e4, high=62_000, must=6e4),
            Figure("other", 1, "x"),
        ],
    )
    body = json.loads((results / "speed.json").read_text())
    assert body["schema"] == "streamer.bench/1"
    text = "before\n<!-- bench:speed:flow -->\nstale\n<!-- /bench -->\nafter\n"
    new = tables.filled(text)
    assert "| flow | 61,000 events/s | 60,000 to 62,000 | at least 60,000 |  |" in new
    assert "other" not in new
    assert "stale" not in new
    assert all(part in new for part in (body["machine"], body["commit"], "python -m bench.speed"))
    assert tables.filled(new) == new
    assert (new.startswith("before\n"), new.endswith("\nafter\n")) == (True, True)


def test_a_table_without_its_result_says_what_to_run(
    results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "ROOT", results)
    with pytest.raises(SystemExit, match=r"nothing\.json is missing: run python -m bench\.nothing"):
        tables.filled("<!-- bench:nothing -->\n<!-- /bench -->")


def test_the_documents_of_this_checkout_carry_the_figures_of_their_results() -> None:
    assert tables.outdated(tables.documents()) == []


def test_the_readme_names_every_promise_that_is_not_kept() -> None:
    bodies = [json.loads(path.read_text()) for path in figures.RESULTS.glob("*.json")]
    broken = {
        one.name
        for body in bodies
        for one in (Figure(**raw) for raw in body["figures"])
        if one.kept is False
    }
    sentence = re.search(
        r"Not kept today: (.*?)\. ", (figures.ROOT / "README.md").read_text(), re.S
    )
    assert set(re.findall(r"`(\w+)`", sentence[1] if sentence else "")) == broken
