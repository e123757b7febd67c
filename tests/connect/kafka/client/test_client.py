"""The client's settings are known to all three clients, and every wait of it has an end."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer
from kafka.errors import KafkaTimeoutError

from streamer.connect.kafka.client import client
from tests.connect.kafka.conftest import Serve, closed_port, say_nothing, section
from tests.servers.certificates import Certificates

CLIENTS = [KafkaConsumer, KafkaProducer, KafkaAdminClient]
SLACK_S = 6.0  # two shared cores


@pytest.mark.parametrize("make", CLIENTS)
def test_every_option_is_known_to_consumer_producer_and_admin(
    make: Any, certificates: Certificates
) -> None:
    login = {"mechanism": "PLAIN", "username": "a", "password": "b"}
    kafka = section("localhost:9092", protocol="SASL_SSL", ca=str(certificates.ca), sasl=login)
    assert set(client.options(kafka)) <= set(make.DEFAULT_CONFIG)


def test_the_options_bound_every_call_and_come_back_soon() -> None:
    options = client.options(section("localhost:9092", timeout="3s"))
    assert options["request_timeout_ms"] == options["bootstrap_timeout_ms"] == 3000
    assert options["reconnect_backoff_max_ms"] == 1000


@pytest.mark.parametrize("make", CLIENTS)
def test_a_client_that_finds_no_broker_fails_in_time_and_leaves_no_thread_behind(make: Any) -> None:
    before, start_s = set(threading.enumerate()), time.monotonic()
    with pytest.raises(KafkaTimeoutError):
        client.connect(make, section(closed_port()))
    assert time.monotonic() - start_s < 1 + SLACK_S
    assert set(threading.enumerate()) <= before


def test_a_tls_peer_that_says_nothing_is_given_up_in_time(
    serve: Serve, certificates: Certificates
) -> None:
    """The library waits for the handshake without a limit: it would stand here for ever."""
    kafka = section(serve(say_nothing), protocol="SSL", ca=str(certificates.ca))
    failed: list[Exception] = []

    def attempt() -> None:
        try:
            client.connect(KafkaConsumer, kafka)
        except KafkaTimeoutError as exc:
            failed.append(exc)

    thread = threading.Thread(target=attempt, daemon=True)
    thread.start()
    thread.join(1 + SLACK_S)
    assert failed


def test_a_leader_that_the_metadata_does_not_name_is_asked_for() -> None:
    """It raised in the sender's loop before it polled, 180,000 times a minute, and nothing was sent
    again.
    """
    net = client.net_client()(**client.options(section("localhost:9092")))
    net.cluster._need_update = False
    net.maybe_connect(7, wakeup=False)
    asked = net.cluster.need_update
    net.close()
    assert asked


def test_the_sender_waits_in_milliseconds_for_a_node_that_is_not_ready() -> None:
    """It was given seconds for milliseconds, and nothing for a node being connected: it span
    through an outage.
    """
    net = client.net_client()(**client.options(section("localhost:9092")))
    node = net.cluster.bootstrap_brokers()[0].node_id
    connecting_ms = net.connection_delay(node)
    for _ in range(10):
        net._manager.update_backoff(node)
    backoff_ms = net.connection_delay(node)
    net.close()
    assert connecting_ms == client.RETRY_MS
    assert 500 < backoff_ms <= 1200  # a second, give or take a fifth


def test_a_consumer_takes_a_node_for_dead_only_in_backoff() -> None:
    net = client.net_client()(**client.options(section("localhost:9092")))
    net._net.start()
    delay_ms = net.connection_delay(net.cluster.bootstrap_brokers()[0].node_id)
    net.close()
    assert delay_ms == 0
