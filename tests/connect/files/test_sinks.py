"""Alerts to terminals and files, scores to CSV and JSON lines."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest

from streamer.connect.files.scores import ScoreCsv, ScoreFile, ScoreJsonl, rfc3339
from streamer.connect.files.sinks import JsonlSink, StdoutSink
from streamer.connect.formats.alert_event import alert_json, printable
from streamer.errors import SinkError
from streamer.event import Fate
from tests.contracts import examples

FULL = Path("/dev/full")


def test_an_alert_is_one_plain_sentence() -> None:
    out = io.StringIO()
    StdoutSink(out).send(examples.alert())
    assert (
        out.getvalue()
        == "2026-01-01T00:00:05Z  WARNING   opened    a rms is 7.9 mm/s, expected 4.8 to 5.5\n"
    )


def test_names_have_no_power_over_the_terminal() -> None:
    out = io.StringIO()
    StdoutSink(out).send(examples.alert(summary="a\x1b[31m\nred\u202e \u00b0C"))
    assert out.getvalue().endswith("a\\x1b[31m\\nred\\u202e \u00b0C\n")
    assert printable("plain \u00e4") == "plain \u00e4"


def test_a_reader_who_went_away_is_a_sink_error() -> None:
    out = io.StringIO()
    out.close()
    with pytest.raises(SinkError, match="stdout"):
        StdoutSink(out).send(examples.alert())


def test_a_terminal_of_few_letters_gets_escapes() -> None:
    raw = io.BytesIO()
    terminal = io.TextIOWrapper(raw, encoding="ascii", write_through=True)
    StdoutSink(terminal).send(examples.alert(summary="50 \u00b0C"))
    assert raw.getvalue().endswith(b"50 \\xb0C\n")


def test_an_alert_is_strict_json() -> None:
    parsed = json.loads(alert_json(examples.alert(score=float("inf"))), parse_constant=pytest.fail)
    assert parsed["score"] is None and parsed["channels"][0]["high"] is None
    assert parsed["incident_key"] == "stream:a" and parsed["labels"] == {"site": "plant"}


def test_a_file_is_continued_not_replaced(tmp_path: Path) -> None:
    for number in range(2):
        sink = JsonlSink(tmp_path / "alerts.jsonl")
        sink.send(examples.alert(number))
        sink.close()
    lines = (tmp_path / "alerts.jsonl").read_text().splitlines()
    assert [json.loads(line)["alert_id"] for line in lines] == ["id-0", "id-1"]


def test_half_a_line_left_by_a_crash_costs_no_other_alert(tmp_path: Path) -> None:
    path = tmp_path / "alerts.jsonl"
    path.write_bytes(b'{"alert_id": "id-0", "ev')
    sink = JsonlSink(path)
    sink.send(examples.alert(1))
    sink.close()
    assert json.loads(path.read_bytes().splitlines()[1])["alert_id"] == "id-1"


def test_a_path_that_cannot_be_written_is_refused_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(SinkError, match="name a file inside a directory"):
        JsonlSink(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(SinkError, match="cannot be opened"):
        ScoreCsv(tmp_path / "file" / "scores.csv", ("x",))


@pytest.mark.skipif(not FULL.exists(), reason="no full device here")
def test_a_full_disk_is_told_and_nothing_counts_as_sent() -> None:
    sink = JsonlSink(FULL)
    with pytest.raises(SinkError, match="free some space"):
        sink.send(examples.alert())
    with pytest.raises(SinkError):
        ScoreCsv(FULL, ("x",))


def test_a_write_that_failed_half_way_is_taken_back(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    path = tmp_path / "s.jsonl"
    sink = ScoreJsonl(path, ("x", "y"))
    sink.write(examples.batch(), examples.scores(), 0)
    size = path.stat().st_size
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 10, hard))
    try:
        with pytest.raises(SinkError):
            sink.write(examples.batch(), examples.scores(), 0)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.stat().st_size == size
    sink.write(examples.batch(), examples.scores(), 0)
    assert len(path.read_text().splitlines()) == 10


def test_scores_have_the_promised_columns(tmp_path: Path) -> None:
    sink = ScoreCsv(tmp_path / "s.csv", ("rms", "temp"))
    sink.write(examples.batch(2), examples.scores(2), 0)
    assert (tmp_path / "s.csv").read_text().splitlines() == [
        "row,time,entity,score,alarm,status,share_rms,share_temp,share_rhythm",
        "0,2023-11-14T22:13:20Z,a,0,0,scored,0,0,0",
        "1,2023-11-14T22:13:21Z,b,1,0.5,scored,0.3333333,0.3333333,0.3333333",
    ]


STATUS = {
    Fate.SCORED: "scored",
    Fate.WARMING: "warming",
    Fate.MISSING: "missing",
    Fate.DUPLICATE: "rejected",
    Fate.LATE: "rejected",
    Fate.DEAD_LETTERED: "rejected",
    Fate.EXPIRED: "rejected",
    Fate.REPLAYED: "rejected",
    Fate.RETURNED: "rejected",
}


@pytest.mark.parametrize("fate", Fate)
def test_every_fate_has_its_status(tmp_path: Path, fate: Fate) -> None:
    sink = ScoreJsonl(tmp_path / "s.jsonl", ("x", "y"))
    sink.write(examples.batch(1), examples.scores(1, fate=fate), 0)
    assert json.loads((tmp_path / "s.jsonl").read_text())["status"] == STATUS[fate]


NASTY = 'a,"b"\n%s \u00e4'


@pytest.mark.parametrize("kind", [ScoreCsv, ScoreJsonl])
def test_nasty_names_come_back_as_they_were(tmp_path: Path, kind: type[ScoreFile]) -> None:
    batch = examples.batch(1)
    batch = type(batch)(
        "s", "t", 0, (NASTY, "b"), batch.entity, batch.time_s, batch.values, batch.offset
    )
    sink = kind(tmp_path / "s", (NASTY, "y"))
    sink.write(batch, examples.scores(1), 0)
    text = (tmp_path / "s").read_text()
    row = (
        next(csv.DictReader(io.StringIO(text, newline="")))
        if kind is ScoreCsv
        else json.loads(text)
    )
    assert row["entity"] == NASTY and f"share_{NASTY}" in row


def test_a_refused_record_has_a_line_without_time(tmp_path: Path) -> None:
    batch = examples.batch(1)
    batch.time_s[:] = np.nan
    for kind, nothing in ((ScoreCsv, "0,,a,0,0,rejected"), (ScoreJsonl, '"time":null')):
        sink = kind(tmp_path / kind.__name__, ("x", "y"))
        sink.write(batch, examples.scores(1, fate=Fate.DEAD_LETTERED), 0)
        assert nothing in (tmp_path / kind.__name__).read_text()


def test_scores_are_always_finite(tmp_path: Path) -> None:
    scores = examples.scores(3)
    scores.score[:] = [np.nan, np.inf, -np.inf]
    sink = ScoreJsonl(tmp_path / "s.jsonl", ("x", "y"))
    sink.write(examples.batch(3), scores, 0)
    numbers = [
        json.loads(line)["score"] for line in (tmp_path / "s.jsonl").read_text().splitlines()
    ]
    assert numbers[0] == 0 and numbers[1] > 1e38 and numbers[2] == 0


def test_with_several_keys_every_line_says_which(tmp_path: Path) -> None:
    sink = ScoreCsv(tmp_path / "s.csv", ("x", "y"), keys=("card", "shop"))
    for key in (0, 1):
        sink.write(examples.batch(1, keys=2), examples.scores(1), key)
    rows = list(csv.DictReader((tmp_path / "s.csv").open()))
    assert [(row["entity"], row["key"]) for row in rows] == [("a", "card"), ("b", "shop")]


def test_row_numbers_are_no_dates(tmp_path: Path) -> None:
    sink = ScoreCsv(tmp_path / "s.csv", ("x", "y"), clock=False)
    sink.write(examples.batch(1), examples.scores(1), 0)
    assert "0,1700000000,a" in (tmp_path / "s.csv").read_text()


def test_a_score_file_is_replaced_or_continued_as_asked(tmp_path: Path) -> None:
    path = tmp_path / "s.csv"
    for append, lines in ((False, 2), (False, 2), (True, 3)):
        sink = ScoreCsv(path, ("x", "y"), append=append)
        sink.write(examples.batch(1), examples.scores(1), 0)
        sink.close()
        assert len(path.read_text().splitlines()) == lines


def test_scores_of_other_channels_are_not_mixed_into_a_file(tmp_path: Path) -> None:
    ScoreCsv(tmp_path / "s.csv", ("x",)).close()
    with pytest.raises(SinkError, match="other columns"):
        ScoreCsv(tmp_path / "s.csv", ("y",), append=True)


def test_times_have_a_fraction_only_where_one_needs_it() -> None:
    assert rfc3339(np.array([0.0, 1.0])) == ["1970-01-01T00:00:00Z", "1970-01-01T00:00:01Z"]
    assert rfc3339(np.array([0.0, 0.25])) == [
        "1970-01-01T00:00:00.000Z",
        "1970-01-01T00:00:00.250Z",
    ]
