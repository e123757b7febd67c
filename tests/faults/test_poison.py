"""Poison under load: each record is set aside with all that came with it, and nobody else waits for
it.
"""

from __future__ import annotations

import json
import time
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from confluent_kafka import Message

from tests.faults.conftest import MakeTrial
from tests.faults.soak import EASY_PER_S, MORE, TRIAL, times
from tests.integration.history import Place
from tests.integration.load import EPOCH_S, Load, Pump, Record
from tests.integration.trial import STREAM, Travel, Trial, dump
from tests.servers.admin import Kafka
from tests.servers.child import wait_until

pytestmark = TRIAL
# Records: 5 s, and 1 s of them.
PHASE = times(2_500, 10_000)
BURST = PHASE // 5
DELAY_S = 1.0  # of events beside poison, more than of others in the same run
LONGEST = 4096
LINES_PER_S = 5.0  # of the daemon's log
Spoil = Callable[[dict[str, Any]], bytes | None]


def _text(event: dict[str, Any], **changes: object) -> bytes:
    return json.dumps(event | changes).encode()


# By the reason that the letter must give.
POISONS: list[tuple[str, Spoil]] = [
    ("bad_json", lambda event: _text(event)[:-9]),
    ("not_utf8", lambda event: _text(event).replace(b"pump", b"\xff\xfe")),
    ("wrong_type", lambda event: _text(event, rms="high")),
    ("wrong_type", lambda event: json.dumps([event]).encode()),
    ("wrong_type", lambda event: b"null"),
    (
        "missing_field",
        lambda event: _text({"sensor": event["device"], "at": event["ts"], "value": 1.5}),
    ),
    (
        "missing_field",
        lambda event: _text({"device": event["device"], "ts": event["ts"], "volts": 230}),
    ),
    ("bad_time", lambda event: _text(event, ts="yesterday")),
    ("bad_entity", lambda event: _text(event, device="")),
    ("too_deep", lambda event: _text(event)[:-1] + b', "more": ' + b"[" * 2000),
    ("too_long", lambda event: _text(event)[:-1] + b" " * LONGEST),
    ("tombstone", lambda event: None),
]


@dataclass(frozen=True)
class Poisoned(Load):
    """Stretches of PHASE records, in turn clean and poisoned: a burst of every other record, then
    one of 25.

    All kinds of poison take turns.
    """

    def _record(self, number: int, entity: int, step: int, rms: float, temp: float) -> Record:
        good = super()._record(number, entity, step, rms, temp)
        stretch, at = divmod(number, PHASE)
        burst = at < BURST and number // self.partitions % 2
        if stretch % 2 == 0 or not (burst or number % 25 == 7):
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


LOAD = Poisoned(spike_every=60)


def test_poison_is_set_aside_and_counted_and_the_others_go_on(
    kafka: Kafka, trial_on: MakeTrial
) -> None:
    trial = trial_on(kafka, load=LOAD)
    daemon = trial.daemon(source={"max_record": f"{LONGEST}B"}).start()
    daemon.wait_ready(30.0)
    pump = trial.pump(rate_per_s=EASY_PER_S, count=times(4, 60) * PHASE)
    edges_s = [_sent(pump, stretch * PHASE) for stretch in range(times(4, 60))]
    pump.finish()
    trial.wait_caught_up()
    expected = list(LOAD.poison(pump.sent))
    reasons = Counter(reason for _, reason, _ in expected)
    assert {
        row["reason"]: n for row, n in daemon.rows("streamer_records_rejected_total")
    } == reasons
    trial.run_and_stop(daemon, before=dict.fromkeys(trial.committed, 0))
    trial.verdict()
    assert daemon.account(STREAM)["dead_lettered"] == reasons.total()
    assert len(daemon.logged()) < LINES_PER_S * pump.sent / EASY_PER_S
    _assert_letters_are_whole(trial, expected)
    clean_s, poisoned_s = _delays(trial.travels(), edges_s)
    print(
        f"{reasons.total()} of {pump.sent} records poison; p99 {clean_s:.3f} s, beside poison "
        f"{poisoned_s:.3f} s"
    )
    assert poisoned_s - clean_s < DELAY_S


def test_killed_in_a_burst_of_poison_it_loses_no_letter_and_invents_none(
    kafka: Kafka, trial_on: MakeTrial
) -> None:
    trial = trial_on(kafka, load=LOAD)
    daemon = trial.daemon(source={"max_record": f"{LONGEST}B", "instance": "only"}).start()
    daemon.wait_ready(30.0)
    pump = trial.pump(rate_per_s=EASY_PER_S, count=MORE)
    for at in range(PHASE, 2 * PHASE, PHASE // times(2, 5)):
        _sent(pump, at)
        daemon.kill()
        daemon.start()
    daemon.wait_scored(timeout_s=30.0)
    pump.stop()
    trial.verdict()
    _assert_letters_are_whole(trial, list(LOAD.poison(pump.sent)))


def _sent(pump: Pump, records: int) -> float:
    """Wait until so many are on their way; seconds since 1970."""
    wait_until(lambda: pump.sent >= records, timeout_s=60.0, what=f"{records} records")
    return time.time()


def _delays(travels: list[Travel], edges_s: list[float]) -> tuple[float, float]:
    """Seconds from event to alert: the 99th percentile of a usual stretch (their median), clean and
    poisoned.

    Stretches begin at `edges_s`; the first one is left out, since the service warms up.
    """
    delays: list[list[float]] = [[] for _ in edges_s]
    for event_s, alert_s in travels:
        if event_s >= edges_s[0]:
            delays[bisect_right(edges_s, event_s) - 1].append(alert_s - event_s)
    p99_s = [float(np.percentile(found, 99)) for found in delays[1:]]
    return float(np.median(p99_s[1::2])), float(np.median(p99_s[0::2]))


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
        assert (
            told["x-dlq-stream"] == STREAM.encode() and told["x-dlq-timestamp"] and told["x-dlq-at"]
        )


def _place(message: Message) -> Place:
    headers = dict(message.headers() or [])
    return Place(int(headers["x-dlq-partition"] or b""), int(headers["x-dlq-offset"] or b""))
