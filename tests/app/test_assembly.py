from __future__ import annotations

import threading
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from streamer import artifact
from streamer.app import assembly
from streamer.app.daemon import Daemon
from streamer.config import Config, StdoutSink, config_from
from streamer.errors import BackendError, InputError
from streamer.runtime import model as loading

CARDS: dict[str, Any] = {
    "kind": "synthetic",
    "world": "cards",
    "entities": 5,
    "events": 200,
    "poll_rows": 64,
}


def config_of(*sources: dict[str, Any], **sections: Any) -> Config:
    streams = [{"name": f"s{i}", "source": source} for i, source in enumerate(sources)]
    return config_from({"version": 1, "streams": streams, "sinks": [{"kind": "memory"}]} | sections)


def test_a_bundle_that_cannot_be_used_falls_back_to_the_baseline(tmp_path: Path) -> None:
    config = config_of({"kind": "memory"}, model={"path": str(tmp_path)})
    loaded = loading.load_model(config.model)
    assert (loaded.network.ref.backend, loaded.state.role) == ("baseline", "fallback")
    assert "manifest.json: not found" in (loaded.fallback or "")


def test_a_baseline_that_was_asked_for_is_no_fallback() -> None:
    loaded = loading.load_model(config_of({"kind": "memory"}, model={"backend": "baseline"}).model)
    assert (loaded.network.ref.backend, loaded.fallback) == ("baseline", None)


def test_a_backend_that_cannot_run_here_is_an_error_and_no_fallback() -> None:
    model = config_of({"kind": "memory"}).model.model_copy(update={"backend": "abacus"})
    with pytest.raises(BackendError, match="abacus"):
        loading.load_model(model)


def test_the_starter_bundle_is_the_default() -> None:
    loaded = loading.load_model(config_of({"kind": "memory"}, model={"backend": "numpy"}).model)
    assert loaded.network.ref.sha256 == artifact.load(artifact.PRETRAINED).sha256


def test_a_card_event_belongs_to_a_customer_and_to_a_terminal() -> None:
    service = assembly.build(config_of(CARDS, model={"backend": "baseline"}))
    assert Daemon(service, threading.Event()).run() == 0
    processor = service.processors[0]
    assert [int(judge.fates.sum()) for judge in processor.detectors] == [200, 200]
    assert processor.accounting.summary()["in"] == 200


def test_sinks_of_one_kind_are_numbered_by_their_place() -> None:
    sinks = config_of(
        {"kind": "memory"}, sinks=[{"kind": "stdout"}, {"kind": "memory"}, {"kind": "memory"}]
    ).sinks
    assert [name for name, _ in assembly.named(sinks)] == ["stdout", "memory-1", "memory-2"]


@pytest.mark.parametrize(
    ("source", "pace"),
    [
        ({"kind": "host"}, 1.0),
        ({"kind": "memory"}, 1.0),
        ({"kind": "synthetic"}, 0.0),
        ({"kind": "synthetic", "pace": 60}, 60.0),
    ],
)
def test_event_time_runs_as_fast_as_the_source(source: dict[str, Any], pace: float) -> None:
    assert assembly.live_pace(config_of(source).streams[0]) == pace


def test_a_dry_run_has_standard_output_only(tmp_path: Path) -> None:
    config = config_of(
        {"kind": "memory"}, sinks=[{"kind": "file", "path": str(tmp_path / "a.jsonl")}]
    )
    with ExitStack() as opened:
        dry = assembly.open_outbox(config, opened, (), dry_run=True)
        assert [outlet.name for outlet in dry.outlets] == [StdoutSink(kind="stdout").kind]
    assert list(tmp_path.iterdir()) == []


def open_files() -> set[str]:
    return {str(link.readlink()) for link in Path("/proc/self/fd").iterdir() if link.is_symlink()}


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="reads the open files from /proc")
def test_what_was_opened_is_closed_when_a_later_part_cannot_be(tmp_path: Path) -> None:
    missing = {"kind": "file", "path": str(tmp_path / "gone.csv")}
    stream = {"name": "s", "source": missing, "fields": {"time": "t", "channels": ["a"]}}
    alerts = tmp_path / "alerts.jsonl"
    config = config_from(
        {"version": 1, "streams": [stream], "sinks": [{"kind": "file", "path": str(alerts)}]}
    )
    with pytest.raises(InputError, match=r"gone\.csv"):
        assembly.build(config)
    assert alerts.exists()
    assert str(alerts) not in open_files()
