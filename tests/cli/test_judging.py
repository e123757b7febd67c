"""`backtest`, `eval`, `bench` and `train` as a user meets them."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

from streamer.cli.main import COMMANDS, load
from streamer.cli.train import need_tensorflow
from streamer.errors import BackendError, InputError
from streamer.event import EventBatch, Poll
from streamer.offline.capacity import Load, LoadRounds, lines_of
from streamer.offline.series import pieces_of, read_rows
from tests.cli.calls import call

CONFIG = """version: 1
streams:
  - name: plant
    source: {{kind: file, path: "{data}", pace: 0.001}}
    fields: {{time: {{path: ts, unit: s}}, entity: id}}
    alerts: {{budget: 3/day}}
model: {{backend: baseline}}
sinks: [{{kind: file, path: "{folder}/never.jsonl"}}]
server: {{enabled: false}}
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A stream of 300 rows over two days with a jump at row 200."""
    rows = [
        f"{1.7e9 + 600 * i:.0f},pump,{np.sin(i / 8) + (25 if i == 200 else 0):.4f}"
        for i in range(300)
    ]
    (tmp_path / "plant.csv").write_text("ts,id,rms\n" + "\n".join(rows) + "\n")
    path = tmp_path / "config.yaml"
    path.write_text(CONFIG.format(data=tmp_path / "plant.csv", folder=tmp_path))
    return path


def test_a_backtest_reads_flat_out_and_sends_nothing(config: Path, tmp_path: Path) -> None:
    done = call(
        "backtest",
        "-c",
        config,
        "--scores",
        tmp_path / "s.csv",
        "--alerts",
        tmp_path / "a.jsonl",
        "--format",
        "json",
    )
    assert done.exit_code == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["schema"], told["rows"]) == ("streamer.backtest/1", 300)
    assert told["days"] == pytest.approx(283 * 600 / 86_400, abs=0.01)
    assert told["alerts_per_day"]["promised"] == 3
    assert told["alerts_per_day"]["observed"] == pytest.approx(
        told["alerts"] / told["days"], abs=1e-3
    )
    assert not (tmp_path / "never.jsonl").exists() or (tmp_path / "never.jsonl").read_bytes() == b""


def test_a_backtest_can_be_rated_by_labels(config: Path, tmp_path: Path) -> None:
    assert call("backtest", "-c", config, "--scores", tmp_path / "s.csv").exit_code == 0
    (tmp_path / "labels.csv").write_text(
        "label\n" + "\n".join(str(int(195 <= i <= 215)) for i in range(300)) + "\n"
    )
    done = call("eval", "--scores", tmp_path / "s.csv", "--labels", tmp_path / "labels.csv")
    assert done.exit_code == 0, done.stderr
    assert "caught        1 of 1" in done.stdout
    assert "a random score: 0.070" in done.stdout
    loud = call(
        "eval",
        "--scores",
        tmp_path / "s.csv",
        "--labels",
        tmp_path / "labels.csv",
        "--threshold",
        99,
        "--format",
        "json",
    )
    assert json.loads(loud.stdout)["alarms"] == 0


def test_a_stream_without_an_end_cannot_be_backtested(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("version: 1\nstreams: [{name: a, source: {kind: synthetic}}]\n")
    done = call("backtest", "-c", path)
    assert done.exit_code == 3
    assert "give it an end with `events`" in done.stderr
    assert done.stderr.startswith(f"error: {path}: ")


def test_a_synthetic_stream_with_an_end_can(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    source = "{kind: synthetic, world: cards, entities: 5, events: 400}"
    path.write_text(
        f"version: 1\nmodel: {{backend: baseline}}\nstreams: [{{name: a, source: {source}}}]\n"
    )
    done = call("backtest", "-c", path, "--format", "json")
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout)["rows"] == 400


def test_one_of_several_streams_must_be_named(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(
        "version: 1\nstreams: [{name: a, source: {kind: host}}, {name: b, source: {kind: host}}]\n"
    )
    done = call("backtest", "-c", path)
    assert done.exit_code == 3
    assert "--stream: a, b" in done.stderr and f"error: {path}: streams: " in done.stderr


def test_a_problem_that_names_its_place_names_its_file_once(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("version: 1\nstreams: []\nnonsense: 1\n")
    done = call("backtest", "-c", path)
    assert done.exit_code == 3
    assert f"error: {path}:2" in done.stderr and f"{path}: {path}" not in done.stderr


def test_a_missing_data_file_is_one_line(config: Path, tmp_path: Path) -> None:
    (tmp_path / "plant.csv").unlink()
    done = call("backtest", "-c", config)
    assert done.exit_code == 1
    assert "plant.csv" in done.stderr


def test_bench_says_what_fits(tmp_path: Path) -> None:
    words = (
        "bench",
        "--entities",
        20,
        "--channels",
        2,
        "--warm",
        20,
        "--measured",
        4,
        "--backend",
        "baseline",
    )
    done = call(*words)
    assert done.exit_code == 0, done.stderr
    assert "20 entities x 2 channels" in done.stdout
    assert "1 GiB holds about" in done.stdout
    told = json.loads(call(*words, "--format", "json").stdout)
    assert told["events"] == told["scored"] == 80
    assert told["p50_ms"] <= told["p99_ms"] <= told["max_ms"]


def test_the_load_of_a_benchmark_is_the_same_for_a_seed_and_readable() -> None:
    one, two = (LoadRounds(5, 2, seed=3).next() for _ in range(2))
    assert np.array_equal(one.values, two.values)
    assert np.all(np.diff(one.time_s) >= 0)
    first = json.loads(lines_of(one, Load(channels=2).names)[0])
    assert first.keys() == {"entity", "time", "channel_1", "channel_2"}


class Pages:
    """A source of one poll."""

    channels = ("a",)

    def __init__(self, batch: EventBatch) -> None:
        self._polls = [Poll((batch,))]

    def poll(self, timeout_s: float) -> Poll | None:
        return self._polls.pop() if self._polls else None


def history(lengths: dict[str, int]) -> EventBatch:
    names = tuple(lengths)
    entity = np.repeat(np.arange(len(names)), list(lengths.values()))
    n = len(entity)
    values = np.arange(n, dtype=np.float32)[:, None]
    return EventBatch(
        "s",
        "s",
        0,
        names,
        entity[:, None].astype(np.int32),
        np.arange(n, dtype=np.float64),
        values,
        np.arange(n),
    )


def test_history_is_cut_into_pieces_of_one_entity_each_the_newest_rows_first() -> None:
    rows = read_rows(Pages(history({"x": 25, "y": 10, "z": 3})), needed=8, windows=[(33.0, 40.0)])  # type: ignore[arg-type]
    assert rows.values.shape == (3, 10, 1)  # two of x, one of y
    assert rows.left_out == 5 + 3
    assert rows.values[0, :, 0].tolist() == list(range(15, 25))
    assert rows.mask.sum() == 2  # rows 33 and 34, both of y


def test_pieces_never_overlap() -> None:
    time_s, values = np.arange(23.0), np.zeros((23, 1), np.float32)
    taken = np.concatenate([piece for piece, _ in pieces_of(time_s, values, 5)])
    assert len(taken) == len(set(taken.tolist())) == 20


def test_a_history_too_short_to_learn_from_says_how_long_it_is() -> None:
    with pytest.raises(
        InputError, match="training needs 100 rows of an entity, the longest of 2 has 12"
    ):
        read_rows(Pages(history({"x": 12, "y": 4})), needed=100)  # type: ignore[arg-type]


def test_every_command_of_this_page_has_help() -> None:
    for name in ("score", "backtest", "eval", "explain", "train", "bench"):
        assert load(COMMANDS[name]).help


def test_training_without_tensorflow_names_the_extra() -> None:
    if importlib.util.find_spec("tensorflow") is not None:
        need_tensorflow()  # nothing to say
        return
    with pytest.raises(BackendError, match=r"streamer\[train\]"):
        need_tensorflow()


@pytest.mark.slow
def test_a_short_training_on_a_file_writes_a_bundle_that_scores(
    config: Path, tmp_path: Path
) -> None:
    pytest.importorskip("tensorflow")
    row = np.arange(2500)
    wave = 20 * np.sin(row / 7) + 5 * np.sin(row / 31) + (row % 3)
    lines = "\n".join(f"{1.7e9 + 60 * i:.0f},pump,{v:.3f}" for i, v in zip(row, wave, strict=True))
    (tmp_path / "plant.csv").write_text("ts,id,rms\n" + lines + "\n")
    out = tmp_path / "bundle"
    done = call(
        "train",
        "-c",
        config,
        "--out",
        out,
        "--epochs",
        2,
        "--seed",
        1,
        "--loss-plot",
        tmp_path / "l.png",
        "--format",
        "json",
    )
    assert done.exit_code == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["after"] < told["before"]
    assert (tmp_path / "l.png").exists()
    again = call("score", tmp_path / "plant.csv", "--model", out, "--format", "json")
    assert json.loads(again.stdout)["model"]["sha256"] == told["sha256"]
