"""A KafkaSource that loses its login or its rights while it reads: it says which it was, and what
to do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from streamer import config
from streamer.connect.kafka.consumer.factory import open_topics
from tests.integration.sources import Driver, from_position, json_decoder, produce, section
from tests.servers.secured import SecuredKafka

pytestmark = pytest.mark.needs_kafka
TOLD_S = 20.0  # a session of three seconds, a silence of two, a look of four at most


@pytest.fixture(scope="module")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredKafka]:
    """A login must be proved again after three seconds."""
    broker = SecuredKafka(tmp_path_factory.mktemp("kafka-sessions"), session_s=3.0)
    try:
        yield broker.start()
    finally:
        broker.close()


def reader(kafka: SecuredKafka, topic: str) -> Driver:
    sasl = {"mechanism": "SCRAM-SHA-512", "username": "stranger", "password": "stranger-secret"}
    security = {"protocol": "SASL_SSL", "ca": str(kafka.certificates.ca), "sasl": sasl}
    cluster = config.Kafka.model_validate(
        {"bootstrap_servers": kafka.at("SCRAM"), "security": security}
    )
    return Driver(
        open_topics(cluster, section(topic=topic, group=topic), json_decoder, from_position)
    )


def admit(kafka: SecuredKafka, topic: str) -> None:
    kafka.create_topic(topic)
    kafka.allow_topic("stranger", topic, "READ")
    kafka.allow_group("stranger", topic)
    produce(kafka.bootstrap, topic, 10)


def told(driver: Driver, words: str) -> str:
    driver.until(lambda: words in (driver.source.problem or ""), timeout_s=TOLD_S)
    return str(driver.source.problem)


Loss = Callable[[SecuredKafka, str], None]


def no_topic(kafka: SecuredKafka, topic: str) -> None:
    kafka.forbid("stranger")
    kafka.allow_group("stranger", topic)


def only_its_name(kafka: SecuredKafka, topic: str) -> None:
    no_topic(kafka, topic)
    kafka.allow_topic("stranger", topic, "DESCRIBE")


def no_group(kafka: SecuredKafka, topic: str) -> None:
    kafka.forbid("stranger")
    kafka.allow_topic("stranger", topic, "READ")


@pytest.mark.parametrize(
    ("lose", "what"), [(no_topic, "topic"), (only_its_name, "topic"), (no_group, "group")]
)
def test_a_right_that_is_taken_away_is_named_with_its_fix_until_it_is_given_back(
    kafka: SecuredKafka, topic: str, lose: Loss, what: str
) -> None:
    admit(kafka, topic)
    with reader(kafka, topic) as driver:
        driver.records(10)
        driver.until(lambda: driver.source.problem is None)
        lose(kafka, topic)
        said = told(driver, "kafka-acls --add --allow-principal User:stranger --operation READ")
        assert f"--{what} {topic}" in said and not driver.source.at_end
        kafka.allow_topic("stranger", topic, "READ")
        kafka.allow_group("stranger", topic)
        driver.until(lambda: driver.source.problem is None)


def test_a_password_that_is_changed_is_named_as_the_login_without_its_words(
    kafka: SecuredKafka, topic: str
) -> None:
    admit(kafka, topic)
    with reader(kafka, topic) as driver:
        driver.records(10)
        kafka.change_password("stranger", "quite-another")
        try:
            said = told(driver, "refuses the login of stranger by SCRAM-SHA-512")
        finally:
            kafka.change_password("stranger", "stranger-secret")
        assert (
            "correct kafka.security.sasl.username and password" in said
            and "stranger-secret" not in said
        )
        driver.until(lambda: driver.source.problem is None)
