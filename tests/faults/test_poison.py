"""Poison under load: each record is set aside with all that came with it, and nobody else waits for it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from confluent_kafka import Message

from tests.faults.conftest import MakeTrial
from tests.faults.soak import MORE, RATE_PER_S, times
from tests.integration.history import Place
from tests.integration.load import EPOCH_S, Load, Record
from tests.integration.trial import STREAM, Trial, dump
from tests.servers.admin import Kafka
from tests.servers.child import wait_until

pytestmark = [pytest.mark.integration, pytest.mark.slow]
DELAY_S = 1.0  # from event to alert, poison or not
LONGEST = 4096
LINES_PER_S = 5.0  # of the daemon's log
Spoil = Callable[[dict[str, Any]], bytes | None]


def _text(event: dict[str, Any], **changes: object) -> bytes:
    return json.dumps(event | changes).encode()


# By the reason that the letter must give.
POISONS: list[tuple[str, Spoil]] = [
    ("bad_json", lambda event: _text(event)[:-9]),
    ("not_utf8", lambda event: _text(event).replace(b"pump", b"\xff\xfe\x00p")),
    ("wrong_type", lambda event: _text(event, rms="high")),
    ("wrong_type", lambda event: json.dumps([event]).encode()),
    ("wrong_type", lambda event: b"null"),
    ("missing_field", lambda event: _text({"sensor": event["device"], "at": event["ts"], "value": 1.5})),
    ("missing_field", lambda event: _text({"device": event["device"], "ts": event["ts"], "volts": 230})),
    ("bad_time", lambda event: _text(event, ts="yesterday")),
    ("bad_entity", lambda event: _text(event, device="")),
    ("too_long", lambda event: _text(event)[:-1] + b" " * LONGEST),
    ("tombstone", lambda event: None),
]


@dataclass(frozen=True)
class Poisoned(Load):
    """One of 25 records is poison, and in the burst every other one; all kinds take turns."""

    burst: range = range(0)

    def _record(self, number: int, entity: int, step: int, rms: float, temp: float) -> Record:
        good = super()._record(number, entity, step, rms, temp)
        if number % 25 != 7 and not (number in self.burst and number // self.partitions % 2):
            return good
        event = {"device": good.key.decode(), "ts": EPOCH_S + step, "rms": rms, "temp": temp}
        headers = (("number", b"%d" % number), ("trace", b"\xff\x00"), ("trace", b"again"))
        return good._replace(value=_kind(number)[1](event), poison=True, headers=headers)

    def poison(self, count: int) -> Iterator[tuple[Place, str, Record]]:
        """Where each poison of the first `count` records stands, and why it must be refused."""
        offsets = Counter[int]()
        for number, record in enumerate(self.records(count)):
            if record.poison:
                yield Place(record.partition, offsets[record.partition]), _kind(number)[0], record
            offsets[record.partition] += 1


def _kind(number: int) -> tuple[str, Spoil]:
    return POISONS[number // 25 % len(POISONS)]


LOAD = Poisoned(spike_every=100, burst=range(20_000, 28_000))


def test_poison_is_set_aside_and_counted_and_the_others_go_on(kafka: Kafka, trial_on: MakeTrial) -> None:
    trial = trial_on(kafka, load=LOAD)
    daemon = trial.daemon(source={"max_record": f"{LONGEST}B"}).start()
    pump = trial.pump(rate_per_s=RATE_PER_S, count=times(40_000, 400_000))
    trial.wait_alerts(20, timeout_s=30.0)
    warm_s = max(one.alert_s for one in trial.travels())
    pump.finish()
    trial.wait_caught_up()
    expected = list(LOAD.poison(pump.sent))
    reasons = Counter(reason for _, reason, _ in expected)
    assert {row["reason"]: n for row, n in daemon.rows("streamer_records_rejected_total")} == reasons
    trial.run_and_stop(daemon, before=dict.fromkeys(trial.committed, 0))
    trial.verdict()
    assert daemon.account(STREAM)["dead_lettered"] == reasons.total()
    assert len(daemon.logged()) < LINES_PER_S * pump.sent / RATE_PER_S
    _assert_letters_are_whole(trial, expected)
    delays = [one.alert_s - one.event_s for one in trial.travels() if one.event_s > warm_s]
    print(
        f"{reasons.total()} of {pump.sent} records were poison, {len(delays)} alerts, latest after {max(delays):.3f} s"
    )
    assert max(delays) < DELAY_S


def test_killed_in_a_burst_of_poison_it_loses_no_letter_and_invents_none(kafka: Kafka, trial_on: MakeTrial) -> None:
    trial = trial_on(kafka, load=LOAD)
    daemon = trial.daemon(source={"max_record": f"{LONGEST}B", "instance": "only"}).start()
    pump = trial.pump(rate_per_s=RATE_PER_S, count=MORE)
    for sent in range(LOAD.burst.start, LOAD.burst.stop, 2000):
        wait_until(lambda: pump.sent > sent, timeout_s=60.0, what=f"{sent} records")  # noqa: B023 - called at once
        daemon.kill()
        daemon.start()
    daemon.wait_scored(timeout_s=30.0)
    pump.stop()
    trial.verdict()
    _assert_letters_are_whole(trial, list(LOAD.poison(pump.sent)))


def _assert_letters_are_whole(trial: Trial, expected: list[tuple[Place, str, Record]]) -> None:
    """Each has the bytes, the key and the headers of its record, and says why it was refused."""
    letters = {_place(message): message for message in dump(trial.kafka, trial.dlq)}
    assert letters.keys() == {place for place, _, _ in expected}
    for place, reason, record in expected:
        letter = letters[place]
        headers = letter.headers() or []
        assert (letter.key(), letter.value() or None) == (record.key, record.value)
        assert [one for one in headers if not one[0].startswith("x-dlq-")] == list(record.headers)
        told = dict(headers)
        assert (told["x-dlq-reason"], told["x-dlq-topic"]) == (reason.encode(), trial.name.encode())
        assert told["x-dlq-stream"] == STREAM.encode() and told["x-dlq-timestamp"] and told["x-dlq-at"]


def _place(message: Message) -> Place:
    headers = dict(message.headers() or [])
    return Place(int(headers["x-dlq-partition"] or b""), int(headers["x-dlq-offset"] or b""))
