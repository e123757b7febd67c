"""Test connections to every broker, and the words for their results."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from streamer.connect.base.deadline import together
from streamer.connect.kafka.client import security
from streamer.connect.kafka.diagnosis.causes import Broken, Cause, Diagnosis, diagnosis
from streamer.connect.kafka.diagnosis.connection import BrokerAddress, Connection, addresses

if TYPE_CHECKING:
    from streamer.config import Kafka

MAX_STEP_S = 4.0  # of one step; there are two: bootstrap servers, then the brokers they name
NAME_SERVICE_S = 0.5  # beyond a step's own limit, for name look-ups, which have none


@dataclass(frozen=True, slots=True)
class Visit:
    """The result of a test connection: the brokers that it names, or the problem."""

    address: BrokerAddress
    brokers: tuple[BrokerAddress, ...] = ()
    problem: Diagnosis | None = None


def visit_all(kafka: Kafka, where: Sequence[BrokerAddress], limit_s: float) -> list[Visit]:
    """Connect to all addresses at once.

    ConfigError if a file of `kafka.security` cannot be used.
    """
    options = security.options(kafka)
    end_s = time.monotonic() + limit_s
    works = [lambda at=at: _brokers(kafka, at, options, end_s) for at in where]
    answers = together(limit_s + NAME_SERVICE_S, works)
    return [_visit(kafka, at, answer) for at, answer in zip(where, answers, strict=True)]


def advertised(kafka: Kafka) -> list[str]:
    """The brokers (host:port) that the reachable bootstrap servers advertise."""
    visits = visit_all(kafka, addresses(kafka), step_s(kafka))
    return sorted({str(broker) for visit in visits for broker in visit.brokers})


def step_s(kafka: Kafka) -> float:
    """Seconds for one step."""
    return min(MAX_STEP_S, kafka.request_timeout)


def words(kafka: Kafka, **more: object) -> dict[str, str]:
    """The words that a cause may use, from the section and from `more`."""
    sasl = kafka.security.sasl
    told = {
        "address": "the broker",
        "detail": "",
        "name": "?",
        "user": user(kafka),
        "protocol": kafka.security.protocol,
    }
    return (
        told
        | {"mechanism": sasl.mechanism if sasl else "no login"}
        | {key: str(value) for key, value in more.items()}
    )


def user(kafka: Kafka) -> str:
    """The principal that the broker's ACLs see."""
    sasl = kafka.security.sasl
    if sasl is not None:
        return sasl.username or (sasl.token.client_id if sasl.token else "ANONYMOUS")
    return "ANONYMOUS" if kafka.security.certificate is None else "<name in the client certificate>"


def _brokers(
    kafka: Kafka, at: BrokerAddress, options: dict[str, object], end_s: float
) -> tuple[BrokerAddress, ...]:
    from kafka.protocol.metadata import MetadataRequest

    with Connection(kafka, at, options, end_s=end_s) as connection:
        answer = connection.ask(MetadataRequest(version=1, topics=[]))
    return tuple(BrokerAddress(broker.host, broker.port) for broker in answer.brokers)


def _visit(kafka: Kafka, at: BrokerAddress, answer: object) -> Visit:
    try:
        return Visit(at, brokers=answer())  # type: ignore[operator]
    except Broken as exc:
        return Visit(
            at, problem=diagnosis(exc.cause, **words(kafka, address=at, detail=exc.detail))
        )
    except TimeoutError:
        told = words(kafka, address=at, detail="no answer of the name service in time")
        return Visit(at, problem=diagnosis(Cause.HOST_UNKNOWN, **told))


def worst(visits: Sequence[Visit]) -> Diagnosis:
    """The problem that occurred latest in the order of connecting."""
    order = list(Cause)
    return max(
        (v.problem for v in visits if v.problem is not None),
        key=lambda problem: order.index(problem.cause),
    )


def lost_brokers(kafka: Kafka, good: Sequence[Visit]) -> Diagnosis | None:
    """The first advertised broker that cannot be reached, as a diagnosis; None if all can."""
    known = {visit.address for visit in good}
    named = sorted({broker for visit in good for broker in visit.brokers} - known, key=str)
    for visit in visit_all(kafka, named, step_s(kafka)):
        if visit.problem is not None:
            detail = f"{visit.address}: {visit.problem.problem}"
            return diagnosis(
                Cause.ADVERTISED, **words(kafka, address=good[0].address, detail=detail)
            )
    return None
