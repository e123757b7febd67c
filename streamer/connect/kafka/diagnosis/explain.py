"""Why the brokers cannot be used, and the fix: unreachable, TLS, login, topic, permission.

The client reports "unable to bootstrap" for most of them. A test connection, step by step, finds
what failed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from streamer.connect.kafka.client import client_log, security
from streamer.connect.kafka.diagnosis import acl_check
from streamer.connect.kafka.diagnosis.broker_check import (
    lost_brokers,
    step_s,
    visit_all,
    words,
    worst,
)
from streamer.connect.kafka.diagnosis.causes import Broken, Cause, Diagnosis, diagnosis
from streamer.connect.kafka.diagnosis.connection import BrokerAddress, addresses
from streamer.errors import ConfigError

if TYPE_CHECKING:
    from streamer.config import Kafka

LOG_S = 60.0  # largest age of a line of the client's log that may be a cause

# Causes of errors that brokers answer: name of the client's error -> cause.
MISSING = "UnknownTopicOrPartitionError"
ERRORS = {
    "TopicAuthorizationFailedError": Cause.TOPIC_DENIED,
    "GroupAuthorizationFailedError": Cause.GROUP_DENIED,
    "ClusterAuthorizationFailedError": Cause.CLUSTER_DENIED,
    "UnsupportedCodecError": Cause.CODEC,
}


def explain(kafka: Kafka, exc: BaseException | None = None) -> str:
    """The cause and its fix, without secrets, within about ten seconds; never raises."""
    try:
        found = _from_error(kafka, exc) or _from_visits(kafka, exc)
    except ConfigError as wrong:
        return security.scrub(kafka, str(wrong))
    return security.scrub(kafka, str(found))


def reason(
    kafka: Kafka,
    causes: Sequence[BaseException],
    topics: Collection[str] = (),
    group: str | None = None,
) -> str | None:
    """The cause and fix of a problem of the cluster, these topics, or the group.

    As `explain`, but None if all is well now.
    """
    try:
        found = next(filter(None, (_from_error(kafka, each) for each in causes)), None)
        found = found or _met(kafka, topics, group)
    except ConfigError as wrong:
        return security.scrub(kafka, str(wrong))
    return None if found is None else security.scrub(kafka, str(found))


def _met(kafka: Kafka, topics: Collection[str], group: str | None) -> Diagnosis | None:
    """The first problem found, permissions before an unreachable broker.

    The other brokers may do without that one.
    """
    visits = visit_all(kafka, addresses(kafka), step_s(kafka))
    good, bad = (
        [v for v in visits if v.problem is None],
        [v for v in visits if v.problem is not None],
    )
    if not good:
        return worst(bad)
    return _refused(kafka, good[0].address, topics, group) or (
        worst(bad) if bad else lost_brokers(kafka, good)
    )


def _from_error(kafka: Kafka, exc: BaseException | None) -> Diagnosis | None:
    for each in _chain(exc):
        for name, cause in ERRORS.items():
            if _is(each, name):
                return diagnosis(cause, **words(kafka, name=_named(each)))
    return None


def _is(exc: BaseException, name: str) -> bool:
    """Whether an error is of this class, or names it at the end of its text.

    The client's producer does the latter.
    """
    return any(kind.__name__ == name for kind in type(exc).__mro__) or str(exc).endswith(name)


def _chain(exc: BaseException | None) -> Iterator[BaseException]:
    while exc is not None:
        yield exc
        exc = exc.__cause__ or exc.__context__


def _named(exc: BaseException) -> str:
    """The topics or group named in an error; the client gives a text or a set."""
    names = exc.args[0] if exc.args else "?"
    if isinstance(names, Iterable) and not isinstance(names, str):
        return ", ".join(sorted(map(str, names)))
    return str(names)


def _from_visits(kafka: Kafka, exc: BaseException | None) -> Diagnosis:
    visits = visit_all(kafka, addresses(kafka), step_s(kafka))
    good = [visit for visit in visits if visit.problem is None]
    if not good:
        return worst(visits)
    at = good[0].address
    return _hidden(kafka, at, exc) or lost_brokers(kafka, good) or _unclear(kafka, at, exc)


def _hidden(kafka: Kafka, at: BrokerAddress, exc: BaseException | None) -> Diagnosis | None:
    """A topic that the client does not find may be missing, or invisible to this user."""
    names = [
        name for each in _chain(exc) if _is(each, MISSING) for name in _named(each).split(", ")
    ]
    return _refused(kafka, at, names, None)


def _refused(
    kafka: Kafka, at: BrokerAddress, names: Collection[str], group: str | None
) -> Diagnosis | None:
    try:
        told = acl_check.topics(kafka, at, names) if names else {}
        found = (acl_check.topic_problem(kafka, topic, acl_check.READ) for topic in told.values())
        problem = next((each for each in found if each is not None), None)
        return (
            problem
            if problem is not None or group is None
            else acl_check.group_problem(kafka, at, group)
        )
    except Broken:
        return None


def _unclear(kafka: Kafka, at: BrokerAddress, exc: BaseException | None) -> Diagnosis:
    """The diagnosis if all is well now: the client's log or its error is the only trace."""
    trace = [
        *client_log.tame().causes(LOG_S),
        *(str(each) or type(each).__name__ for each in _chain(exc)),
    ]
    cause = Cause.UNCLEAR if trace else Cause.NONE
    return diagnosis(cause, **words(kafka, address=at, detail=next(iter(trace), "")))
