"""Laws of deploy/ and of the examples: what compose starts fits together, and every configuration
passes the check.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from streamer.cli.check import check
from streamer.cli.main import COMMANDS, load
from streamer.cli.security_check import exposures
from streamer.config import Config, DeadLetterTopic, KafkaSink, KafkaSource, RedisStore, load_config
from streamer.connect.simulate.plant import Plant
from streamer.connect.simulate.plant_signals import CHANNELS
from streamer.masking import is_secret_name

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "deploy/compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
EXAMPLES = sorted((ROOT / "docs/examples").glob("*.yaml"))
SECRETS = {"KAFKA_PASSWORD": "a" * 32, "REDIS_PASSWORD": "b" * 32}
PLANT_S = 720  # so long is the producer's file


def mounted(tmp_path: Path) -> Path:
    """The daemon's configuration with its secrets where this test may write."""
    for name in COMPOSE["secrets"]:
        (tmp_path / name).write_text("s" * 32 + "\n")
        (tmp_path / name).chmod(0o400)
    path = tmp_path / "config.yaml"
    text = (ROOT / "deploy/compose/streamer.yaml").read_text()
    path.write_text(text.replace("/run/secrets", str(tmp_path)))
    return path


def daemon(tmp_path: Path) -> Config:
    return load_config(mounted(tmp_path), env={})


def test_the_daemons_configuration_passes_the_check(tmp_path: Path) -> None:
    done = CliRunner().invoke(check, ["-c", str(mounted(tmp_path))], standalone_mode=False)
    assert done.return_value == 0, done.output


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_every_example_passes_the_check(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    done = CliRunner().invoke(check, ["-c", str(path)], standalone_mode=False)
    assert done.return_value == 0, done.output


def test_the_example_of_kafka_exposes_nothing() -> None:
    path = ROOT / "docs/examples/kafka.yaml"
    config = load_config(path, env={**SECRETS, "STREAMER_TOKEN": "c" * 32})
    assert [one for one in exposures(config, path) if one.status != "note"] == []


def test_the_defaults_that_the_example_tells_are_the_defaults() -> None:
    """Each commented line of a section that takes one is put in, and changes nothing."""
    text = (ROOT / "docs/examples/kafka.yaml").read_text()
    told = (
        r"^( +)# "
        r"((?:start|isolation|format|poll_rows|max_record|session_timeout|commit_every|rebuild_events|"
    )
    told += r"client_id|request_timeout|verify_hostname|compression|delivery_timeout|prefix|timeout): .*)$"
    full, count = re.subn(told, r"\1\2", text, flags=re.MULTILINE)
    assert count == 15
    config = load_config(ROOT / "docs/examples/kafka.yaml", env=SECRETS)
    assert loaded(full).model_dump() == config.model_dump()


def loaded(text: str) -> Config:
    from streamer.config import config_from
    from streamer.config.document import parse

    document = parse(text.encode(), "kafka.yaml", SECRETS)
    assert document.problems == []
    return config_from(document.data)


@pytest.mark.parametrize("name", SERVICES)
def test_every_image_has_its_version_and_every_service_its_network(name: str) -> None:
    assert re.fullmatch(r"[a-z/]+:[a-z0-9.-]+", SERVICES[name]["image"])
    assert not SERVICES[name]["image"].endswith(":latest") and SERVICES[name]["networks"] == [
        "inside"
    ]


def test_whoever_is_waited_for_tells_when_it_is_ready() -> None:
    for service in SERVICES.values():
        for other, how in service.get("depends_on", {}).items():
            healthy = how["condition"] == "service_healthy"
            assert ("healthcheck" in SERVICES[other]) == healthy
            assert healthy or SERVICES[other]["restart"] == "no"
    assert all("healthcheck" in SERVICES[name] for name in ("kafka", "redis", "streamer"))


def test_what_is_mounted_is_there_and_what_is_named_is_declared() -> None:
    for service in SERVICES.values():
        assert set(service.get("secrets", ())) <= set(COMPOSE["secrets"])
        for volume in service.get("volumes", ()):
            source = volume.partition(":")[0]
            assert (
                (ROOT / "deploy" / source).is_file()
                if source.startswith(".")
                else source in COMPOSE["volumes"]
            )


def test_doors_open_on_loopback_only() -> None:
    ports = [port for service in SERVICES.values() for port in service.get("ports", ())]
    assert len(ports) == 2 and all(port.startswith("127.0.0.1:") for port in ports)


def test_no_secret_stands_in_clear(tmp_path: Path) -> None:
    assert all(list(secret) == ["environment"] for secret in COMPOSE["secrets"].values())
    names = {name for service in SERVICES.values() for name in service.get("environment", {})}
    assert not any(map(is_secret_name, names))
    path = mounted(tmp_path)
    assert not any("clear text" in one.detail for one in exposures(load_config(path, env={}), path))


def test_the_topics_are_made_that_the_daemon_speaks_to(tmp_path: Path) -> None:
    config = daemon(tmp_path)
    made = set(re.search(r"for topic in (.*);", SERVICES["topics"]["command"][0])[1].split())  # type: ignore[index]
    source = config.streams[0].source
    assert isinstance(source, KafkaSource)
    sinks = {sink.topic for sink in config.sinks if isinstance(sink, KafkaSink)}
    assert isinstance(config.dead_letters, DeadLetterTopic)
    assert {*source.named_topics, *sinks, config.dead_letters.topic} == made


def test_the_daemon_finds_broker_and_redis_by_the_names_of_the_services(tmp_path: Path) -> None:
    config, kafka = daemon(tmp_path), SERVICES["kafka"]["environment"]
    (broker,) = config.kafka.bootstrap_servers
    assert (
        f"INSIDE://{broker}" in kafka["KAFKA_ADVERTISED_LISTENERS"].split(",")
        and broker.split(":")[0] in SERVICES
    )
    assert (
        isinstance(config.store, RedisStore)
        and "redis" in SERVICES
        and config.store.url.startswith("redis://redis:")
    )


def test_the_daemon_has_longer_to_stop_than_it_takes(tmp_path: Path) -> None:
    grace_s = int(SERVICES["streamer"]["stop_grace_period"].removesuffix("s"))
    assert grace_s > daemon(tmp_path).runtime.drain


@pytest.mark.parametrize("name", ["streamer", "producer"])
def test_the_commands_are_understood(name: str) -> None:
    command, *words = SERVICES[name]["command"]
    load(COMMANDS[command]).make_context(command, list(words))


def test_the_producer_sends_what_the_daemon_reads(tmp_path: Path) -> None:
    stream, words = daemon(tmp_path).streams[0], SERVICES["producer"]["command"]
    assert isinstance(stream.source, KafkaSource)
    assert f"kafka://kafka:9092/{stream.source.topic}" in words
    fields = (
        stream.fields.time.path if stream.fields.time else "",
        *stream.fields.entity,
        *stream.fields.channels,
    )
    assert plant_lines()[0].split(",") == list(fields)


def test_the_producers_file_is_of_the_simulated_plant() -> None:
    assert (ROOT / "deploy/compose/plant.csv").read_text() == "\n".join(plant_lines()) + "\n"


def plant_lines() -> list[str]:
    """Two machines for twelve minutes, with a shift and a noisy sensor: write these lines if the
    plant changes.
    """
    plant = Plant(
        2,
        seed=11,
        interval_s=(1.0, 1.0),
        fault_every_s=240.0,
        quiet_s=300.0,
        start_s=1_767_225_600.0,
    )
    lines = [",".join(["time", *plant.keys, *CHANNELS])]
    while True:
        batch = plant.advance()
        for time_s, key, values in zip(batch.time_s, batch.entity[:, 0], batch.values, strict=True):
            if time_s >= plant.start_s + PLANT_S:
                return lines
            lines.append(
                f"{time_s:.3f},{batch.keys[key]},{','.join(f'{value:.2f}' for value in values)}"
            )
