"""`streamer score` as a user meets it: guesses said, a line per row, plain errors."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from streamer.cli.offline_report import Destinations
from streamer.cli.score import distinct_names
from tests.cli.calls import Done, call


@pytest.fixture
def measured(tmp_path: Path) -> Path:
    """600 rows of two sensors at two machines; a jump at row 500, a broken row at 60, a
    hole at 70.
    """
    path = tmp_path / "plant.csv"
    lines = ["when,machine_id,rms,temp,label"]
    for i in range(600):
        rms, temp = np.sin(i / 9) + (30 if i == 500 else 0), 50 + np.cos(i / 11)
        lines.append(
            f"2024-03-01T{i // 60:02d}:{i % 60:02d}:00Z,m{i % 2},{rms:.3f},{temp:.3f},{int(i == 500)}"
        )
    lines[61] = "2024-03-01T01:00:00Z,m0,broken,50,0"
    lines[71] = lines[71].split(",rms")[0].replace(lines[71].split(",")[2], "", 1)
    path.write_text("\n".join(lines) + "\n")
    return path


def score(*words: object) -> Done:
    return call("score", "--backend", "baseline", *words)


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_guess_is_said_on_standard_error(measured: Path) -> None:
    done = score(measured)
    assert done.exit_code == 0, done.stderr
    assert "time: when" in done.stderr
    assert "entity: machine_id" in done.stderr
    assert "channels: rms, temp" in done.stderr
    assert "label" in done.stderr
    assert "time: when" not in done.stdout


def test_every_input_row_has_a_line_in_input_order_rejected_ones_too(
    measured: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.csv"
    assert score(measured, "--scores", out).exit_code == 0
    rows = rows_of(out)
    assert list(rows[0]) == [
        "row",
        "time",
        "entity",
        "score",
        "alarm",
        "status",
        "share_rms",
        "share_temp",
        "share_rhythm",
    ]
    assert [int(row["row"]) for row in rows] == list(range(600))
    assert (rows[60]["status"], rows[60]["entity"]) == ("rejected", "")
    assert {row["status"] for row in rows} == {"scored", "warming", "rejected"}
    assert all(float(row["score"]) == 0 for row in rows if row["status"] != "scored")


def test_alerts_and_alarms_of_the_account_are_those_of_the_files(
    measured: Path, tmp_path: Path
) -> None:
    done = score(
        measured,
        "--scores",
        tmp_path / "o.csv",
        "--alerts",
        tmp_path / "o.jsonl",
        "--format",
        "json",
    )
    told = json.loads(done.stdout)
    assert told["schema"] == "streamer.score/1"
    assert told["rows"] == 600 == sum(told["fates"].values())
    assert told["rejected"] == {"wrong_type": 1}
    alerts = [json.loads(line) for line in (tmp_path / "o.jsonl").read_text().splitlines()]
    assert told["alerts"] == sum(alert["event"] == "opened" for alert in alerts) >= 1
    assert told["alarms"] == sum(float(row["alarm"]) >= 1 for row in rows_of(tmp_path / "o.csv"))
    assert told["model"]["backend"] == "baseline"


def test_scoring_twice_gives_the_same_bytes(measured: Path, tmp_path: Path) -> None:
    files = [tmp_path / f"{name}{ext}" for name in "ab" for ext in (".csv", ".jsonl")]
    for scores, alerts in (files[:2], files[2:]):
        assert score(measured, "--scores", scores, "--alerts", alerts).exit_code == 0
        assert (
            score(measured, "--scores", scores, "--alerts", alerts).exit_code == 0
        )  # over the old files
    assert files[0].read_bytes() == files[2].read_bytes()
    assert files[1].read_bytes() == files[3].read_bytes()


def test_rows_to_fit_on_only_teach(measured: Path, tmp_path: Path) -> None:
    assert score(measured, "--fit-rows", 560, "--scores", tmp_path / "o.csv").exit_code == 0
    rows = rows_of(tmp_path / "o.csv")
    assert {row["status"] for row in rows[:560]} == {"warming", "rejected"}
    assert {row["status"] for row in rows[560:]} == {"scored"}


def test_what_is_asked_for_overrules_the_guess(measured: Path, tmp_path: Path) -> None:
    done = score(
        measured,
        "--values",
        "temp",
        "--time",
        "",
        "--scores",
        tmp_path / "o.csv",
        "--preset",
        "edge",
    )
    assert done.exit_code == 0, done.stderr
    assert "share_rms" not in rows_of(tmp_path / "o.csv")[0]
    assert rows_of(tmp_path / "o.csv")[0]["time"] == "0"


def test_the_human_account_tells_rows_alerts_and_what_was_rejected(measured: Path) -> None:
    said = score(measured).stdout
    assert "600 rows" in said
    assert "1 rejected" in said
    assert "rejected: 1 wrong_type; the first is row 60: rms" in said
    assert "baseline (no model)" in said
    assert "--plot OUT.png" in said


def test_a_plot_is_drawn_of_the_entity_with_the_most_alarms(measured: Path, tmp_path: Path) -> None:
    done = score(measured, "--plot", tmp_path / "p.png")
    assert done.exit_code == 0, done.stderr
    assert (tmp_path / "p.png").read_bytes().startswith(b"\x89PNG")
    assert "p.png" in done.stdout


def test_several_files_get_outputs_of_their_own_and_one_bad_file_does_not_stop_the_others(
    measured: Path, tmp_path: Path
) -> None:
    (tmp_path / "empty.csv").write_text("")
    other = tmp_path / "other.csv"
    other.write_bytes(measured.read_bytes())
    done = score(
        measured, tmp_path / "empty.csv", other, "--scores", tmp_path / "s.csv", "--format", "json"
    )
    assert done.exit_code == 1
    assert "empty.csv" in done.stderr
    assert len(done.stdout.splitlines()) == 2
    assert (tmp_path / "s-plant.csv").exists()
    assert (tmp_path / "s-other.csv").read_bytes() == (tmp_path / "s-plant.csv").read_bytes()


def test_files_of_one_name_do_not_overwrite_each_other() -> None:
    assert distinct_names((Path("a/x.csv"), Path("b/x.csv.gz"), Path("y.csv"))) == ["x", "x-2", "y"]


def test_a_folder_collects_the_outputs_of_several_files(tmp_path: Path) -> None:
    assert Destinations(scores=tmp_path).of("x").scores == tmp_path / "x.csv"


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "empty.csv"),
        (b"\n\n", "blank"),
        (b"a,b\n", "no"),
        (b"only words\nmore words\n", "no column holds numbers"),
        (b"\x00\xff\xfe\x00" * 50, "f.csv"),
        (b"[1, 2]\n", "JSON array"),
    ],
)
def test_a_file_that_cannot_be_understood_is_one_clear_line(
    tmp_path: Path, content: bytes, problem: str
) -> None:
    path = tmp_path / ("empty.csv" if not content else "f.csv")
    path.write_bytes(content)
    done = score(path)
    assert done.exit_code == 1
    assert problem in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("words", "code", "problem"),
    [
        (["missing.csv"], 1, "missing.csv"),
        ([], 2, "Missing argument"),
        (["--fit-rows", "-1", "x.csv"], 2, "--fit-rows"),
        (["--preset", "nothing", "x.csv"], 2, "nothing"),
    ],
)
def test_a_wrong_call_says_what_is_wrong(words: list[str], code: int, problem: str) -> None:
    done = score(*words)
    assert done.exit_code == code
    assert problem in done.stderr


def test_a_column_that_is_not_there_is_named(measured: Path) -> None:
    done = score(measured, "--values", "rsm")
    assert done.exit_code == 1
    assert "rsm" in done.stderr


def test_a_bundle_that_is_none_is_refused(measured: Path, tmp_path: Path) -> None:
    done = call("score", measured, "--model", tmp_path)
    assert done.exit_code == 1
    assert "manifest.json" in done.stderr


def test_an_output_that_cannot_be_written_is_named(measured: Path) -> None:
    done = score(measured, "--scores", "/proc/none/out.csv")
    assert done.exit_code == 1
    assert "/proc/none" in done.stderr
