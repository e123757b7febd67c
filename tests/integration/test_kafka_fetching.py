"""How records are asked for, on the client's private fetcher."""

from __future__ import annotations

import pytest

from streamer.connect.kafka.client import fetch_patch
from tests.integration.sources import Driver, open_source, produce
from tests.servers.admin import Kafka
from tests.servers.child import wait_until

pytestmark = pytest.mark.needs_kafka


def test_an_answer_that_came_before_we_ask_is_something_to_wait_for(
    kafka: Kafka, topic: str
) -> None:
    """The client takes it for nothing, and sleeps for a tenth of a second."""
    kafka.create_topic(topic)
    with Driver(open_source(kafka.bootstrap, topic=topic, group=topic)) as driver:
        driver.until(lambda: driver.source.at_end)
        fetcher = driver.source._consumer._fetcher
        produce(kafka.bootstrap, topic, 1)
        fetcher.send_fetches()
        wait_until(lambda: bool(fetcher._completed_fetches), timeout_s=5.0, what="the answer")
        assert fetcher._net.run(fetch_patch.asked, fetcher, False, 5_000.0)
        driver.records(1)
