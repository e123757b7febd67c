"""An alert as a CloudEvent in Kafka's binary mode, a letter as a record, and what becomes of those
too large.
"""

from __future__ import annotations

import json

import pytest

from streamer.connect.dead_letters.kafka_sink import cut, letter_record
from streamer.connect.dead_letters.letter import CUT_HEADER, letter_headers, letter_of
from streamer.connect.formats.alert_event import alert_json
from streamer.connect.kafka.producer.alert_sink import OMITTED, alert_record, without_window_values
from streamer.connect.kafka.producer.cloudevents import alert_headers, message_id
from streamer.connect.kafka.producer.producer import OutgoingRecord
from streamer.event import Alert, Lease, Rejected, WindowSlice
from streamer.protocols import Letter
from tests.contracts import examples

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def window(last_offset: int, values: int = 3) -> WindowSlice:
    at = "2026-01-01T00:00:00Z"
    return WindowSlice(at, at, values, "topic", 0, 0, last_offset, [[1.5, None]] * values)


def headers(alert: Alert) -> dict[str, str]:
    return {name: value.decode() for name, value in alert_headers(alert)}


@pytest.mark.parametrize("event", ["opened", "updated", "resolved"])
def test_an_alert_has_the_attributes_of_a_cloud_event(event: str) -> None:
    assert headers(examples.alert(7, event=event, window=window(9), stream="plant a/ü")) == {
        "ce_specversion": "1.0",
        "ce_id": {
            "opened": "id-7-opened",
            "updated": "id-7-updated-9",
            "resolved": "id-7-resolved",
        }[event],
        "ce_source": "/streams/plant%20a%2F%C3%BC",
        "ce_type": f"io.streamer.alert.{event}.v1",
        "ce_time": "2026-01-01T00:00:05Z",
        "ce_subject": "a",
        "content-type": "application/json",
    }


def test_a_trace_is_a_header_where_there_is_one() -> None:
    assert headers(examples.alert(traceparent=TRACE))["traceparent"] == TRACE
    assert "traceparent" not in headers(examples.alert())


def test_messages_of_one_incident_have_different_ids_even_at_one_time() -> None:
    told = [("opened", 3), ("updated", 4), ("updated", 5), ("resolved", 6)]
    ids = {message_id(examples.alert(event=event, window=window(offset))) for event, offset in told}
    assert len(ids) == len(told)


def test_a_repeated_message_has_the_same_id() -> None:
    alert = examples.alert(event="updated", window=window(4))
    changed = examples.alert(
        event="updated", window=window(4), score=1.0, summary="another model", replayed=True
    )
    assert message_id(alert) == message_id(changed)


@pytest.mark.parametrize("entity", ["pump-17", "Pumpe ü", "\ud800 half", "line\nbreak \x1b[2J"])
def test_any_entity_makes_headers_that_can_be_read(entity: str) -> None:
    record = OutgoingRecord(
        entity.encode(errors="replace"), b"", alert_headers(examples.alert(entity=entity))
    )
    assert record.key
    assert dict(record.headers)["ce_subject"].decode().isprintable()


def test_the_value_is_the_alert_and_the_key_its_entity() -> None:
    alert = examples.alert(entity="Pumpe ü")
    assert alert_record(alert)[:2] == ("Pumpe ü".encode(), alert_json(alert))


def test_an_alert_that_is_too_large_goes_without_the_values_of_its_window_and_says_so() -> None:
    record = alert_record(examples.alert(window=window(9)))
    smaller = without_window_values(record)
    assert smaller is not None
    wanted = json.loads(record.value)
    wanted["window"]["values"] = []
    assert json.loads(smaller.value) == wanted
    assert smaller.headers == (*record.headers, (OMITTED, b"window.values"))
    assert without_window_values(smaller) is None
    assert without_window_values(alert_record(examples.alert())) is None


def letter(raw: bytes, *others: tuple[str, bytes]) -> Letter:
    record = Rejected(
        41, "bad_json", "byte 3: ü", raw, Lease("sensors", 2), b"key", others, 1_700_000_000_000
    )
    return Letter("plant", record, "2026-01-01T00:00:00Z")


def test_a_letter_is_the_original_record_and_can_be_read_back() -> None:
    sent = letter(b"\xff{", ("own", b"\x00"))
    key, value, found = letter_record(sent)
    assert (key, value) == (b"key", b"\xff{")
    assert letter_of(value, key, found) == sent


def test_a_letter_without_key_and_lease_is_a_letter() -> None:
    plain = Letter("plant", Rejected(41, "bad_json", "", b"{"), "2026-01-01T00:00:00Z")
    assert letter_record(plain) == (None, b"{", letter_headers(plain))


def test_a_letter_that_is_too_large_is_cut_until_it_cannot_be_smaller_and_says_how_long_it_was() -> (
    None
):
    record, sizes = letter_record(letter(b"x" * 1000, ("own", b"y" * 500))), []
    while (smaller := cut(record)) is not None:
        assert dict(smaller.headers)[CUT_HEADER] == b"1000"
        assert record.value.startswith(smaller.value)
        record = smaller
        sizes.append(len(record.value))
    assert sizes == [250, 62, 15, 3, 0, 0]
    assert "own" not in dict(record.headers)
    assert dict(record.headers)["x-dlq-offset"] == b"41"
