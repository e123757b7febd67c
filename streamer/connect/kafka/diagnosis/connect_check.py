"""Checks of brokers, topics, permissions and the group, one finding each."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from streamer.connect.kafka.client import security
from streamer.connect.kafka.diagnosis import acl_check
from streamer.connect.kafka.diagnosis.broker_check import (
    Visit,
    lost_brokers,
    step_s,
    user,
    visit_all,
    words,
)
from streamer.connect.kafka.diagnosis.causes import Broken, Cause, Diagnosis, diagnosis
from streamer.connect.kafka.diagnosis.connection import BrokerAddress, addresses
from streamer.errors import ConfigError
from streamer.finding import Finding

if TYPE_CHECKING:
    from streamer.config import Kafka


def probe(
    kafka: Kafka,
    topics: Sequence[str] = (),
    group: str | None = None,
    *,
    writes: Sequence[str] = (),
    patterns: Sequence[str] = (),
) -> list[Finding]:
    """Findings about brokers, topics to read, topics to write, patterns and the group.

    Never raises; texts hold no secrets. Takes at most about four steps of min(4 s,
    `kafka.request_timeout`). If no broker answers, the rest is not checked.
    """
    try:
        return [
            _scrubbed(kafka, finding)
            for finding in _findings(kafka, topics, group, writes, patterns)
        ]
    except ConfigError as exc:
        return [Finding("security", "fail", security.scrub(kafka, str(exc)), f"correct {exc.path}")]


def _findings(
    kafka: Kafka,
    topics: Sequence[str],
    group: str | None,
    writes: Sequence[str],
    patterns: Sequence[str],
) -> Iterator[Finding]:
    visits = visit_all(kafka, addresses(kafka), step_s(kafka))
    yield from (_broker(kafka, visit) for visit in visits)
    good = [visit for visit in visits if visit.problem is None]
    if not good:
        return
    lost = lost_brokers(kafka, good)
    if lost is not None:
        yield _bad("advertised brokers", lost)
    at = good[0].address
    if topics or writes:
        yield from _topics(kafka, at, topics, writes)
    if patterns:
        yield from _patterns(kafka, at, patterns)
    if group is not None:
        yield _group(kafka, at, group)


def _broker(kafka: Kafka, visit: Visit) -> Finding:
    what = f"broker {visit.address}"
    if visit.problem is not None:
        return _bad(what, visit.problem)
    how = "TLS" if kafka.security.encrypted else "plain text"
    return Finding(what, "ok", f"reached over {how} as {user(kafka)}")


def _topics(
    kafka: Kafka, at: BrokerAddress, reads: Sequence[str], writes: Sequence[str]
) -> Iterator[Finding]:
    try:
        told = acl_check.topics(kafka, at, dict.fromkeys([*reads, *writes]))
    except Broken as exc:
        yield _bad("topics", _at(kafka, at, exc))
        return
    wanted = [("read", acl_check.READ, name) for name in reads] + [
        ("write", acl_check.WRITE, name) for name in writes
    ]
    for verb, operation, name in wanted:
        problem = acl_check.topic_problem(kafka, told[name], operation)
        well = Finding(f"{verb} topic {name}", "ok", f"{len(told[name].partitions)} partitions")
        yield well if problem is None else _bad(well.name, problem)


def _patterns(kafka: Kafka, at: BrokerAddress, patterns: Sequence[str]) -> Iterator[Finding]:
    """What each pattern matches, as the client sees it: visible topics that are not internal."""
    try:
        told = [
            topic for topic in acl_check.topics(kafka, at, None).values() if not topic.is_internal
        ]
    except Broken as exc:
        yield _bad("topics", _at(kafka, at, exc))
        return
    for pattern in patterns:
        yield from _matched(
            kafka, pattern, [topic for topic in told if re.match(pattern, topic.name)]
        )


def _matched(kafka: Kafka, pattern: str, found: Sequence[Any]) -> Iterator[Finding]:
    what, count = f"read topics {pattern}", sum(len(topic.partitions) for topic in found)
    if not found:
        yield _bad(what, diagnosis(Cause.PATTERN_EMPTY, **words(kafka, name=pattern)))
        return
    troubles = [
        (topic.name, acl_check.topic_problem(kafka, topic, acl_check.READ)) for topic in found
    ]
    bad = [_bad(f"read topic {name}", problem) for name, problem in troubles if problem is not None]
    yield from bad or [Finding(what, "ok", f"{len(found)} topics, {count} partitions")]


def _group(kafka: Kafka, at: BrokerAddress, group: str) -> Finding:
    what = f"group {group}"
    try:
        problem = acl_check.group_problem(kafka, at, group)
    except Broken as exc:
        problem = _at(kafka, at, exc)
    return Finding(what, "ok", "may be joined") if problem is None else _bad(what, problem)


def _at(kafka: Kafka, at: BrokerAddress, exc: Broken) -> Diagnosis:
    return diagnosis(exc.cause, **words(kafka, address=at, detail=exc.detail))


def _bad(what: str, problem: Diagnosis) -> Finding:
    return Finding(what, "fail", problem.problem, problem.fix)


def _scrubbed(kafka: Kafka, finding: Finding) -> Finding:
    return replace(
        finding,
        detail=security.scrub(kafka, finding.detail),
        fix=security.scrub(kafka, finding.fix),
    )
