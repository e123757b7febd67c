"""What differs between workers, and which configurations N processes cannot share."""

from __future__ import annotations

from typing import Any

import pytest

from streamer.app.worker_config import for_worker, refuse_unshared, worker_of
from streamer.config import Config, ConfigErrors, DeadLetterFile, FileSink, KafkaSource, config_from

KAFKA = {"kind": "kafka", "topic": "raw", "instance": "node-a"}
FIELDS = {"entity": "device", "time": "ts", "channels": ["rms"]}


def configured(**more: Any) -> Config:
    stream = {"name": "plant", "source": KAFKA, "fields": FIELDS}
    body = {
        "version": 1,
        "streams": [stream],
        "sinks": [{"kind": "stdout"}],
        "server": {"listen": "127.0.0.1:8080"},
    }
    return config_from(body | more)


def instance_of(config: Config) -> str | None:
    source = config.streams[0].source
    assert isinstance(source, KafkaSource)
    return source.instance


def test_each_worker_has_its_own_port_instance_and_files() -> None:
    config = configured(
        sinks=[{"kind": "file", "path": "alerts-{worker}.jsonl"}],
        scores={"kind": "csv", "path": "{worker}/scores.csv"},
        dead_letters={"kind": "file", "path": "dlq-{worker}.jsonl"},
    )
    third = for_worker(config, 2)
    assert third.server.listen == "127.0.0.1:8082"
    assert instance_of(third) == "node-a-2"
    assert isinstance(third.sinks[0], FileSink) and third.sinks[0].path == "alerts-2.jsonl"
    assert third.scores is not None and third.scores.path == "2/scores.csv"
    assert (
        isinstance(third.dead_letters, DeadLetterFile) and third.dead_letters.path == "dlq-2.jsonl"
    )


def test_workers_take_the_cores_in_turn_and_alone_it_has_all() -> None:
    config = configured(runtime={"cores": [2, 5]})
    assert [for_worker(config, i).runtime.cores for i in (0, 1, 2)] == [(2,), (5,), (2,)]
    assert for_worker(config, None).runtime.cores == (2, 5)
    assert for_worker(configured(), 1).runtime.cores == ()


def test_alone_the_number_is_zero_and_all_else_stays() -> None:
    alone = for_worker(configured(sinks=[{"kind": "file", "path": "alerts-{worker}.jsonl"}]), None)
    assert isinstance(alone.sinks[0], FileSink) and alone.sinks[0].path == "alerts-0.jsonl"
    assert (alone.server.listen, instance_of(alone)) == ("127.0.0.1:8080", "node-a")


def test_any_free_port_stays_any_free_port() -> None:
    assert (
        for_worker(configured(server={"listen": "127.0.0.1:0"}), 3).server.listen == "127.0.0.1:0"
    )


@pytest.mark.parametrize(
    ("section", "path"),
    [
        ({"sinks": [{"kind": "file", "path": "out/alerts.jsonl"}]}, "sinks[0].path"),
        ({"scores": {"kind": "csv", "path": "scores.csv"}}, "scores.path"),
        ({"dead_letters": {"kind": "file", "path": "dlq.jsonl"}}, "dead_letters.path"),
    ],
)
def test_a_file_of_several_workers_must_hold_the_mark(section: dict[str, Any], path: str) -> None:
    with pytest.raises(ConfigErrors) as refused:
        refuse_unshared(configured(**section), 2)
    assert refused.value.path == path
    assert "{worker}" in str(refused.value)
    refuse_unshared(configured(**section), 1)


@pytest.mark.parametrize(
    "source",
    [
        {"kind": "host"},
        {"kind": "synthetic"},
        {"kind": "file", "path": "-"},
        {"kind": "file", "path": "rows.csv"},
    ],
)
def test_only_kafka_can_be_shared(source: dict[str, Any]) -> None:
    fields = {"fields": FIELDS} if source["kind"] == "file" else {}
    config = configured(streams=[{"name": "one", "source": source, **fields}])
    with pytest.raises(ConfigErrors, match=f"cannot share a {source['kind']} source"):
        refuse_unshared(config, 2)


@pytest.mark.parametrize(("port", "fits"), [(65_534, True), (65_535, False)])
def test_the_last_worker_may_have_the_last_port(port: int, fits: bool) -> None:
    config = configured(server={"listen": f"127.0.0.1:{port}"})
    if fits:
        refuse_unshared(config, 2)
    else:
        with pytest.raises(ConfigErrors, match="do not fit below 65536"):
            refuse_unshared(config, 2)


def test_all_that_cannot_be_shared_is_told_at_once() -> None:
    config = configured(
        sinks=[{"kind": "file", "path": "a.jsonl"}, {"kind": "file", "path": "b.jsonl"}],
        server={"listen": "127.0.0.1:65535"},
    )
    with pytest.raises(ConfigErrors) as refused:
        refuse_unshared(config, 2)
    assert len(refused.value.problems) == 3


@pytest.mark.parametrize(
    ("env", "worker"), [({}, None), ({"STREAMER_WORKER": "0"}, 0), ({"STREAMER_WORKER": "x"}, None)]
)
def test_the_number_of_a_worker_comes_from_its_supervisor(
    env: dict[str, str], worker: int | None
) -> None:
    assert worker_of(env) == worker
