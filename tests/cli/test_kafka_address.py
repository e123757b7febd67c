"""How topics are named on the command line."""

from __future__ import annotations

from pathlib import Path

import click
import pytest
from pydantic import SecretStr

from streamer.cli.kafka_address import TopicAddress, at, load_base, parse_address, the_stream
from streamer.config import ConfigErrors, Kafka, config_from
from streamer.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("kafka://localhost:9092/raw", TopicAddress(("localhost:9092",), "raw")),
        ("kafka://a,b:1/sensors.raw", TopicAddress(("a:9092", "b:1"), "sensors.raw")),
        ("kafka://[::1]:9/x", TopicAddress(("[::1]:9",), "x")),
        ("kafka://[::1]/x", TopicAddress(("[::1]:9092",), "x")),
    ],
)
def test_an_address_names_servers_and_a_topic(text: str, address: TopicAddress) -> None:
    assert parse_address(text) == address
    assert parse_address(str(address)) == address


@pytest.mark.parametrize(
    "text",
    ["localhost:9092/raw", "kafka://localhost:9092", "kafka:///raw", "kafka://h/a/b", "http://h/t"],
)
def test_what_is_no_address_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match=r"kafka://localhost:9092/sensors\.raw"):
        parse_address(text)


def test_a_login_in_an_address_is_refused_and_not_repeated() -> None:
    with pytest.raises(ValueError, match=r"kafka\.security") as refused:
        parse_address("kafka://ana:hunter2@host/raw")
    assert "hunter2" not in str(refused.value)


def test_an_address_keeps_the_login_of_the_base() -> None:
    sasl = {"mechanism": "PLAIN", "username": "ana", "password": "hunter2"}
    base = Kafka.model_validate(
        {"security": {"protocol": "SASL_PLAINTEXT", "sasl": sasl}, "request_timeout": "7s"}
    )
    there = at(base, TopicAddress(("h:1",), "raw"))
    assert there.bootstrap_servers == ("h:1",)
    assert float(there.request_timeout) == 7.0
    assert there.security.sasl is not None and there.security.sasl.password == SecretStr("hunter2")


def test_a_base_needs_no_streams(tmp_path: Path) -> None:
    path = tmp_path / "base.yaml"
    path.write_text("kafka: {client_id: me}\n")
    assert load_base(path).kafka.client_id == "me"
    assert load_base(None).kafka == Kafka()


def test_a_wrong_base_is_told(tmp_path: Path) -> None:
    path = tmp_path / "base.yaml"
    path.write_text("kafka: {client_idd: me}\n")
    with pytest.raises(ConfigErrors, match="client_idd"):
        load_base(path)


def streams(*names: str) -> list[dict[str, object]]:
    fields = {"time": "ts", "channels": ["v"]}
    return [
        {"name": n, "source": {"kind": "kafka", "topic": n, "group": n}, "fields": fields}
        for n in names
    ]


def test_the_only_stream_of_kafka_needs_no_name() -> None:
    host = {"name": "host", "source": {"kind": "host"}}
    config = config_from({"version": 1, "streams": [host, *streams("a")]})
    assert the_stream(config, None)[0].name == "a"
    with pytest.raises(ConfigError, match="host source"):
        the_stream(config, "host")


def test_of_several_streams_one_must_be_named() -> None:
    config = config_from({"version": 1, "streams": streams("a", "b")})
    assert the_stream(config, "b")[0].name == "b"
    with pytest.raises(click.UsageError, match=r"a, b.*--stream"):
        the_stream(config, None)
