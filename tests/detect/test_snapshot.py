"""A detector's memory as a blob: whole or refused, and a refused one leaves the detector as it was."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamer.detect.pipeline import Detector
from streamer.errors import StoreError
from tests.detect.conftest import assert_same, join, make_detector, stream
from tests.detect.logs import quiet, run, simple

BATCH = stream(3, 400, entities=5)


def filled() -> Detector:
    detector = make_detector("baseline")
    detector.process(BATCH)
    return detector


BLOB = filled().dump()


def memory(detector: Detector) -> list[bytes]:
    """Everything that a detector remembers."""
    parts = (detector.profile, detector.decider, detector.incidents, detector.admission, detector.silence)
    arrays = [array for part in parts for array in part.state().values()]
    ring = detector.ring
    arrays += [ring.values, ring.time_s, ring.count, ring.newest_s, detector.fates, detector.lanes.units]
    return [array.tobytes() for array in arrays] + [repr(detector.slots.items()).encode()]


def refused(blob: bytes, into: Detector | None = None, match: str = "snapshot") -> None:
    detector = into or make_detector("baseline")
    before = memory(detector)
    with pytest.raises(StoreError, match=match):
        detector.load(blob)
    assert memory(detector) == before


def altered(change: Callable[[dict[str, Any], dict[str, np.ndarray]], None]) -> bytes:
    """The blob with its head or arrays changed, and packed again."""
    with np.load(io.BytesIO(BLOB)) as archive:
        arrays = {name: archive[name] for name in archive.files}
    head = json.loads(arrays.pop("head").tobytes())
    change(head, arrays)
    buffer = io.BytesIO()
    packed = np.frombuffer(json.dumps(head).encode(), np.uint8)
    np.savez(buffer, allow_pickle=True, head=packed, **arrays)
    return buffer.getvalue()


def test_a_round_trip_changes_nothing() -> None:
    before, after = filled(), make_detector("baseline")
    after.load(before.dump())
    assert after.dump() == before.dump()
    assert after.open_incidents == before.open_incidents
    assert after.entities_active == before.entities_active == 5
    assert after.fates.tolist() == before.fates.tolist()


def test_an_empty_detector_can_be_kept_too() -> None:
    after = make_detector("baseline")
    after.load(make_detector("baseline").dump())
    assert after.entities_active == 0


def test_eviction_goes_on_in_the_same_order_after_a_restart() -> None:
    rest = stream(4, 200, entities=9)
    straight, after = make_detector("baseline", max_entities=5), make_detector("baseline", max_entities=5)
    straight.process(BATCH)
    after.load(straight.dump())
    assert_same(straight.process(rest), after.process(rest))
    assert [name for name, _ in straight.slots.items()] == [name for name, _ in after.slots.items()]


def test_two_restarts_in_a_row_are_like_none() -> None:
    whole = make_detector("baseline").process(BATCH)
    detector, found = make_detector("baseline"), []
    for start in (0, 130, 260):
        following = make_detector("baseline")
        following.load(detector.dump())
        detector = following
        found.append(detector.process(BATCH.rows(slice(start, start + 130 if start < 260 else None))))
    assert_same(whole, join(found))


@pytest.mark.parametrize("length", [0, 1, 4, 100, len(BLOB) // 2, len(BLOB) - 1])
def test_a_truncated_blob_is_refused(length: int) -> None:
    refused(BLOB[:length])


@settings(max_examples=60)
@given(st.integers(0, len(BLOB) - 1), st.integers(1, 255))
def test_a_damaged_byte_is_refused_or_harmless(at: int, change: int) -> None:
    """Archive padding and time stamps carry nothing; everything else is under a checksum."""
    damaged = bytearray(BLOB)
    damaged[at] ^= change
    detector = make_detector("baseline")
    empty = memory(detector)
    try:
        detector.load(bytes(damaged))
    except StoreError:
        assert memory(detector) == empty
    else:
        assert detector.dump() == BLOB


@pytest.mark.parametrize("blob", [b"", b"not a snapshot", b"\x80\x04K\x01.", b"PK\x05\x06" + bytes(18)])
def test_something_else_is_refused(blob: bytes) -> None:
    refused(blob)


@pytest.mark.parametrize("chosen", [
    {"channels": ("a", "c")}, {"channels": ("a",)}, {"max_entities": 4}, {"profile": "lean"}, {"n_of": 3},
    {"refractory_events": 50},
])  # fmt: skip
def test_a_snapshot_of_other_settings_is_refused(chosen: dict) -> None:
    refused(BLOB, make_detector("baseline", **chosen))


def test_a_snapshot_of_another_entity_key_is_refused() -> None:
    one = make_detector("baseline")
    other = Detector(one.settings, one.lanes.scorer, one.lanes.spec, key=1)
    refused(BLOB, other)


def test_a_detector_that_has_seen_events_takes_no_snapshot() -> None:
    detector = make_detector("baseline")
    detector.process(BATCH.rows(slice(0, 10)))
    refused(BLOB, detector, match="seen no event")


def test_a_snapshot_says_nothing_about_lanes_and_they_are_rebuilt() -> None:
    before, after = simple("numpy"), simple("numpy")
    run(before, quiet("p", 150))
    blob = before.dump()
    assert not [name for name in np.load(io.BytesIO(blob)).files if "lane" in name]
    after.load(blob)
    np.testing.assert_allclose(after.lanes.value_state[0], before.lanes.value_state[0], atol=1e-5)


@pytest.mark.parametrize("change", [
    lambda head, arrays: head.pop("format"),
    lambda head, arrays: head.update(format="streamer.snapshot/1"),
    lambda head, arrays: head.pop("fates"),
    lambda head, arrays: head.pop("names"),
    lambda head, arrays: head.pop("storm"),
    lambda head, arrays: head.update(fates=[1, 2]),
    lambda head, arrays: head.update(storm=[1]),
    lambda head, arrays: head.update(names=["only one"]),
    lambda head, arrays: head.update(names=["twice"] * 5),
    lambda head, arrays: head.update(names=[1, 2, 3, 4, 5]),
    lambda head, arrays: head.update(layout=[]),
    lambda head, arrays: arrays.pop("ring.values"),
    lambda head, arrays: arrays.update({"ring.count": arrays["ring.count"][:2]}),
    lambda head, arrays: arrays.update({"ring.values": arrays["ring.values"].astype(object)}),
    lambda head, arrays: arrays.update({"ring.count": arrays["ring.count"].astype(str)}),
])  # fmt: skip
def test_a_well_packed_blob_with_other_contents_is_refused(change: Callable) -> None:
    refused(altered(change))


def test_a_well_packed_blob_without_a_change_is_taken() -> None:
    detector = make_detector("baseline")
    detector.load(altered(lambda head, arrays: None))
    assert detector.entities_active == 5
