"""Laws of `streamer doctor`: each finding is a pure function of what it was given, and carries its
fix.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from streamer.cli import doctor as dr
from streamer.cli import doctor_servers as ds
from streamer.config import config_from
from streamer.connect.kafka.client.columnar_patch import WRITTEN_FOR
from streamer.finding import Finding

MIB = 2**20


def test_an_old_python_fails_with_the_fix() -> None:
    assert dr.python((3, 10, 4)) == Finding(
        "python", "fail", "3.10.4", "install Python 3.11 or newer"
    )
    assert dr.python((3, 11, 0)).status == "ok"


def test_missing_packages_are_named() -> None:
    assert "missing: msgspec" in dr.packages(lambda name: name != "msgspec").detail


@pytest.mark.parametrize(
    ("wanted", "status"),
    [("auto", "warn"), ("numpy", "warn"), ("litert", "fail"), ("litert-int8", "fail")],
)
def test_only_a_backend_that_is_asked_for_must_be_there(wanted: str, status: str) -> None:
    litert, keras = dr.backends(wanted, lambda name: False)
    assert (litert.status, keras.status) == (status, "warn")
    assert litert.fix == "pip install 'streamer[edge]'"


def test_a_gpu_is_named_and_never_needed(tmp_path: Path) -> None:
    assert dr.gpu(tmp_path).status == "ok"
    (tmp_path / "nvidia0").touch()
    (tmp_path / "nvidiactl").touch()
    assert dr.gpu(tmp_path).detail == "nvidia0"


@pytest.mark.parametrize(
    ("mib", "status"), [(None, "warn"), (64, "fail"), (256, "warn"), (4096, "ok")]
)
def test_memory_is_judged_by_what_is_available(mib: int | None, status: str) -> None:
    assert dr.memory(None if mib is None else mib * MIB).status == status


def test_available_memory_is_the_smaller_of_machine_and_group(tmp_path: Path) -> None:
    assert dr.available_bytes(tmp_path) is None
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/meminfo").write_text("MemTotal: 9 kB\nMemAvailable:    4096 kB\n")
    assert dr.available_bytes(tmp_path) == 4 * MIB
    group = tmp_path / "sys/fs/cgroup"
    group.mkdir(parents=True)
    (group / "memory.max").write_text("3145728\n")
    (group / "memory.current").write_text("1048576\n")
    assert dr.available_bytes(tmp_path) == 2 * MIB
    (group / "memory.max").write_text("max\n")
    assert dr.available_bytes(tmp_path) == 4 * MIB


def test_a_clock_that_was_never_set_fails() -> None:
    assert dr.clock(0.0).status == "fail"
    assert dr.clock(1_800_000_000.0).status == "ok"


def test_a_corrupt_or_missing_bundle_fails_but_the_baseline_needs_none(tmp_path: Path) -> None:
    assert dr.model(tmp_path, "auto").status == "fail"
    assert dr.model(tmp_path, "baseline").status == "ok"


def test_outputs_must_be_writable_files(tmp_path: Path) -> None:
    assert dr.writable("sink file", tmp_path / "new" / "deep" / "alerts.jsonl").status == "ok"
    assert dr.writable("sink file", tmp_path).detail.endswith("is a folder")


def config(tmp_path: Path, **values: str) -> Path:
    path = tmp_path / "c.yaml"
    source = f"{{kind: file, path: {tmp_path}/in.csv}}"
    path.write_text(
        f"version: 1\nstreams: "
        f"[{{name: a, source: {source}, fields: {{time: ts, channels: [v]}}}}]\n"
        f"model: {{backend: baseline}}\nsinks: [{{kind: file, path: {tmp_path}/out.jsonl}}]\n"
    )
    return path


def test_a_missing_input_fails_with_exit_5_and_its_fix(tmp_path: Path) -> None:
    args = ["-c", str(config(tmp_path)), "--format", "json"]
    done = CliRunner().invoke(dr.doctor, args, standalone_mode=False)
    body = json.loads(done.stdout)
    assert (body["schema"], body["ok"], done.return_value) == ("streamer.doctor/1", False, 5)
    (failed,) = [finding for finding in body["findings"] if finding["status"] == "fail"]
    assert failed["name"] == "stream a"
    assert failed["fix"]


def test_a_sound_machine_is_told_line_by_line(tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("ts,v\n")
    done = CliRunner().invoke(dr.doctor, ["-c", str(config(tmp_path))], standalone_mode=False)
    assert done.return_value == 0
    assert {"python", "packages", "memory", "disk", "clock", "config"} <= set(done.stdout.split())


def test_an_old_or_missing_kafka_client_fails_only_where_it_is_needed() -> None:
    for found in (None, "3.0.11", "2.2.15"):
        assert [ds.kafka_client(found, needed=needed).status for needed in (True, False)] == [
            "fail",
            "warn",
        ]
    assert ds.kafka_client("3.0.12", needed=True).status == "ok"


@pytest.mark.parametrize("found", ["3.0.12rc1", "3.0.13", "3.1", "4.0.0rc1"])
def test_a_kafka_client_that_was_never_tried_is_a_warning_with_its_fix(found: str) -> None:
    told = ds.kafka_client(found, needed=True)
    assert (
        told.status == "warn"
        and found in told.detail
        and told.fix == "pip install 'kafka-python==3.0.12'"
    )


def test_the_kafka_client_that_was_tried_is_the_one_that_is_locked_and_known_from_inside() -> None:
    tried = ".".join(map(str, ds.TRIED_CLIENT))
    locked = (Path(__file__).parents[2] / "requirements" / "core.txt").read_text()
    assert tried == WRITTEN_FOR and f"kafka-python=={tried} " in locked


def test_a_missing_crc32c_fails_only_where_records_are_read() -> None:
    assert [ds.crc32c(False, needed=needed).status for needed in (True, False)] == ["fail", "warn"]
    assert ds.crc32c(True, needed=True).status == "ok"


def test_a_codec_must_be_there_for_a_sink_and_should_be_for_a_topic() -> None:
    assert ds.compression({"lz4", "snappy", "zstd"}, {"none"}).status == "ok"
    assert ds.compression({"lz4", "snappy"}, {"lz4"}).status == "warn"
    assert (
        ds.compression({"lz4", "snappy"}, {"zstd"}).detail
        == "a sink wants zstd, which is not installed"
    )


KAFKA = {
    "version": 1,
    "streams": [
        {
            "name": "a",
            "source": {"kind": "kafka", "topic": "t", "format": "avro"},
            "fields": {"time": "ts", "channels": ["v"]},
        }
    ],
    "kafka": {"bootstrap_servers": "127.0.0.1:1"},
    "schema_registry": {"url": "http://127.0.0.1:1"},
    "sinks": [{"kind": "kafka", "topic": "x", "compression": "zstd"}],
    "store": {"kind": "redis", "url": "redis://127.0.0.1:1/0"},
}


def test_a_configuration_of_kafka_needs_its_libraries() -> None:
    found = list(ds.libraries(config_from(KAFKA), lambda name: False, lambda name: None))
    assert [finding.status for finding in found] == ["fail"] * 5 and all(
        finding.fix for finding in found
    )
    assert [finding.status for finding in ds.libraries(config_from(KAFKA))] == ["ok"] * 3


def test_servers_that_are_not_there_fail_with_their_fixes() -> None:
    found = list(ds.servers(config_from(KAFKA)))
    assert [finding.name for finding in found] == [
        "kafka broker 127.0.0.1:1",
        "redis",
        "schema registry",
    ]
    assert all(finding.status == "fail" and finding.fix for finding in found)


def test_state_is_kept_in_a_folder_with_room(tmp_path: Path) -> None:
    base = {"version": 1, "streams": [{"name": "a", "source": {"kind": "host"}}]}
    folder = tmp_path / "new" / "state"
    found = list(dr.state(config_from({**base, "store": {"kind": "files", "path": str(folder)}})))
    assert [(finding.name, finding.status) for finding in found] == [
        ("store", "ok"),
        ("disk of store", "ok"),
    ]
    assert str(tmp_path) in found[1].detail and list(dr.state(config_from(base))) == []
    (tmp_path / "file").touch()
    assert ds.state_folder(tmp_path / "file").fix == "name a folder in store.path"


def test_a_wrong_configuration_is_a_failed_finding(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("version: 1\n")
    (found,) = [finding for finding in dr.examine(path) if finding.name == "config"]
    assert (found.status, found.fix) == ("fail", f"streamer check -c {path}")


def test_every_finding_that_is_not_ok_carries_its_fix(tmp_path: Path) -> None:
    bad = [
        dr.python((3, 9)),
        dr.packages(lambda name: False),
        *dr.backends("keras", lambda name: False),
    ]
    bad += [
        dr.model(tmp_path, "auto"),
        dr.memory(MIB),
        dr.memory(300 * MIB),
        dr.clock(0),
        dr.writable("x", tmp_path),
    ]
    assert all(finding.fix for finding in bad)
