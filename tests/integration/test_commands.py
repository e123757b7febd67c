"""replay, tap, init and run --workers on a real broker, as a person calls them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from streamer.config import load_config
from tests.cli.calls import call
from tests.servers.admin import Kafka

pytestmark = [pytest.mark.integration, pytest.mark.needs_kafka]
T0 = 1_700_000_000
FIELDS = {"entity": "device", "time": {"path": "ts", "unit": "s"}, "channels": ["rms"]}


@pytest.fixture
def plant(tmp_path: Path) -> Path:
    path = tmp_path / "plant.csv"
    rows = (f"{T0 + i // 3},pump {i % 3},{i % 11 / 7:.4f}" for i in range(600))
    path.write_text("\n".join(["ts,device,rms", *rows]) + "\n")
    return path


def configured(folder: Path, kafka: Kafka, topic: str, **more: Any) -> Path:
    source = {"kind": "kafka", "topic": topic, "group": topic}
    body = {
        "version": 1,
        "kafka": {"bootstrap_servers": [kafka.bootstrap]},
        "streams": [{"name": "plant", "source": source, "fields": FIELDS}],
        "server": {"enabled": False},
        "model": {"backend": "baseline"},
    }
    path = folder / "config.yaml"
    path.write_text(json.dumps(body | more))
    return path


def records(kafka: Kafka, topic: str) -> dict[int, list[Any]]:
    """Everything in a topic by partition, read by another client."""
    consumer = Consumer(
        {"bootstrap.servers": kafka.bootstrap, "group.id": "reader", "enable.auto.commit": False}
    )
    ends = kafka.end_offsets(topic)
    consumer.assign([TopicPartition(topic, partition, 0) for partition in ends])
    found, deadline = defaultdict[int, list[Any]](list), time.monotonic() + 30
    while sum(map(len, found.values())) < sum(ends.values()) and time.monotonic() < deadline:
        for message in consumer.consume(500, 0.5):
            found[message.partition() or 0].append(message)
    consumer.close()
    return found


def produce(kafka: Kafka, topic: str, values: list[bytes], key: bytes | None = None) -> None:
    producer = Producer({"bootstrap.servers": kafka.bootstrap})
    for value in values:
        producer.produce(topic, value, key=key)
    assert producer.flush(30) == 0


def replayed(kafka: Kafka, topic: str, *words: object) -> dict[str, Any]:
    done = call("replay", *words, "--to", f"kafka://{kafka.bootstrap}/{topic}", "--format", "json")
    assert done.exit_code == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def test_replay_brings_every_row_once_in_order_and_by_entity(
    kafka: Kafka, topic: str, plant: Path
) -> None:
    kafka.create_topic(topic, partitions=3)
    told = replayed(kafka, topic, plant)
    assert (told["sent"], told["acked"], told["failed"], told["skipped"]) == (600, 600, 0, 0)
    home = dict[str, set[int]]()
    for partition, messages in records(kafka, topic).items():
        rows = [json.loads(message.value()) for message in messages]
        for message, row in zip(messages, rows, strict=True):
            assert message.key().decode() == row["device"]
            home.setdefault(row["device"], set()).add(partition)
        for device in home:
            times = [row["ts"] for row in rows if row["device"] == device]
            assert times == sorted(times)
    assert all(len(partitions) == 1 for partitions in home.values()) and len(home) == 3


def test_a_record_bears_the_time_of_its_pushing_and_shifted_rows_end_now(
    kafka: Kafka, topic: str, plant: Path
) -> None:
    kafka.create_topic(topic)
    before = time.time()
    replayed(kafka, topic, plant, "--shift", "now")
    messages = records(kafka, topic)[0]
    assert all(
        before - 1 <= message.timestamp()[1] / 1000 <= time.time() + 1 for message in messages
    )
    times = [json.loads(message.value())["ts"] for message in messages]
    assert times[-1] - times[0] == 199
    assert abs(times[-1] - before) < 20


def test_the_speed_is_kept(kafka: Kafka, topic: str, plant: Path) -> None:
    kafka.create_topic(topic)
    told = replayed(kafka, topic, plant, "--speed", "100", "--limit", "300")
    assert told["seconds"] >= 99 / 100


def test_an_unknown_topic_is_exit_code_5_and_names_those_that_are_there(
    kafka: Kafka, topic: str, plant: Path
) -> None:
    kafka.create_topic(topic)
    done = call("replay", plant, "--to", f"kafka://{kafka.bootstrap}/{topic}x")
    assert done.exit_code == 5
    assert f"no topic {topic}x" in done.stderr


def test_ctrl_c_ends_a_loop_with_everything_acknowledged(
    kafka: Kafka, topic: str, plant: Path
) -> None:
    kafka.create_topic(topic)
    words = [
        "replay",
        str(plant),
        "--to",
        f"kafka://{kafka.bootstrap}/{topic}",
        "--loop",
        "--format",
        "json",
    ]
    process = started(*words)
    while sum(kafka.end_offsets(topic).values()) < 1000:
        assert process.poll() is None
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=60)
    told = json.loads(out)
    assert (process.returncode, told["failed"]) == (0, 0)
    assert told["sent"] == told["acked"] == sum(kafka.end_offsets(topic).values())


def started(*words: str) -> subprocess.Popen[str]:
    root = Path(__file__).parents[2]
    return subprocess.Popen(
        [sys.executable, "-m", "streamer.cli", *words],
        cwd=root,
        env=dict(os.environ),
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def test_tap_shows_rows_and_refusals_and_touches_no_group(
    kafka: Kafka, topic: str, tmp_path: Path
) -> None:
    kafka.create_topic(topic)
    produce(
        kafka, topic, [b'{"ts": 1700000000, "device": "p1", "rms": 0.5}', b"{broken"], key=b"p1"
    )
    path = configured(tmp_path, kafka, topic)
    done = call("tap", "-c", path, "--from", "start", "--limit", 2, "--format", "json")
    assert done.exit_code == 0, done.stderr
    good, bad = map(json.loads, done.stdout.splitlines())
    assert (good["entity"], good["values"], good["offset"]) == (["p1"], {"rms": 0.5}, 0)
    assert (bad["rejected"], bad["offset"]) == ("bad_json", 1)
    assert kafka.committed(topic, topic) == {}


def test_tap_begins_at_a_time(kafka: Kafka, topic: str, tmp_path: Path) -> None:
    kafka.create_topic(topic)
    produce(kafka, topic, [b'{"ts": 1700000000, "device": "old", "rms": 1}'])
    time.sleep(1.1)
    since = time.time()
    produce(kafka, topic, [b'{"ts": 1700000001, "device": "new", "rms": 1}'])
    at = f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(since))}Z"
    done = call("tap", "-c", configured(tmp_path, kafka, topic), "--from", at, "--limit", 1)
    assert "new" in done.stdout and "old" not in done.stdout


def test_tap_of_alerts_shows_their_sentences(kafka: Kafka, topic: str, tmp_path: Path) -> None:
    kafka.create_topic(topic)
    produce(kafka, topic, [b'{"summary": "pump-17 rms is 7.9", "severity": "warning"}'])
    path = configured(tmp_path, kafka, "raw", sinks=[{"kind": "kafka", "topic": topic}])
    done = call("tap", "-c", path, "--alerts", "--from", "start", "--limit", 1)
    assert "pump-17 rms is 7.9" in done.stdout, done.stderr


def test_init_writes_the_configuration_that_reads_the_topic(
    kafka: Kafka, topic: str, plant: Path, tmp_path: Path
) -> None:
    kafka.create_topic(topic, partitions=2)
    replayed(kafka, topic, plant)
    out = tmp_path / "made.yaml"
    done = call("init", "--from", f"kafka://{kafka.bootstrap}/{topic}", "--out", out)
    assert done.exit_code == 0, done.stderr
    config = load_config(out, env={})
    fields = config.streams[0].fields
    assert (fields.entity, fields.channels) == (("device",), ("rms",))
    assert fields.time is not None and (fields.time.path, fields.time.unit) == ("ts", "s")
    assert "3 entities" in done.stdout and "unsure" not in done.stdout
    seen = call("tap", "-c", out, "--from", "start", "--limit", 600, "--format", "json")
    assert len(seen.stdout.splitlines()) == 600 and "rejected" not in seen.stdout


def test_init_of_an_empty_topic_says_so_within_its_time(
    kafka: Kafka, topic: str, tmp_path: Path
) -> None:
    kafka.create_topic(topic)
    began = time.monotonic()
    done = call(
        "init",
        "--from",
        f"kafka://{kafka.bootstrap}/{topic}",
        "--out",
        tmp_path / "c.yaml",
        "--seconds",
        1,
    )
    assert done.exit_code == 1
    assert "nothing came in 1 s" in done.stderr
    assert time.monotonic() - began < 15
    assert not (tmp_path / "c.yaml").exists()


def test_workers_share_the_partitions_and_leave_nothing_unread(
    kafka: Kafka, topic: str, plant: Path, tmp_path: Path
) -> None:
    kafka.create_topic(topic, partitions=4)
    replayed(kafka, topic, plant)
    scores = {"kind": "csv", "path": str(tmp_path / "scores-{worker}.csv")}
    path = configured(tmp_path, kafka, topic, scores=scores, sinks=[{"kind": "stdout"}])
    process = started("run", "-c", str(path), "--workers", "2", "--until-idle", "3s")
    _, told = process.communicate(timeout=180)
    assert process.returncode == 0, told
    assert sum(kafka.committed(topic, topic).values()) == 600
    rows = sum(len(file.read_text().splitlines()) - 1 for file in tmp_path.glob("scores-*.csv"))
    assert rows == 600
    assert {line["worker"] for line in map(json.loads, told.splitlines()) if "worker" in line} == {
        0,
        1,
    }
