"""A detector's memory as a blob: whole or refused, a refused one leaves the detector as it was,
nothing is left out.

Nothing left out: a detector that went through a blob anywhere in a log tells what an uninterrupted
one tells.
"""

from __future__ import annotations

import io
import json
import math
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from streamer.artifact import Bundle
from streamer.detect.pipeline import Detector, Judged
from streamer.detect.schema import schema_of
from streamer.detect.snapshot import Schema, _read, fits
from streamer.errors import StoreError
from streamer.event import FATES, EventBatch, Fate
from tests.detect.conftest import BUNDLE, SMALL, assert_same, join, make_detector, stream
from tests.detect.logs import START_S, quiet, run, simple

BATCH = stream(3, 400, entities=5)


def filled() -> Detector:
    detector = make_detector("baseline")
    detector.process(BATCH)
    return detector


BLOB = filled().dump()


def memory(detector: Detector) -> list[bytes]:
    """Everything that a detector remembers."""
    parts = (
        detector.profile,
        detector.decider,
        detector.incidents,
        detector.memory.admission,
        detector.silence,
    )
    arrays = [array for part in parts for array in part.state().values()]
    ring = detector.ring
    arrays += [
        ring.values,
        ring.time_s,
        ring.count,
        ring.newest_s,
        detector.fates,
        detector.lanes.units,
    ]
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
    straight, after = (
        make_detector("baseline", max_entities=5),
        make_detector("baseline", max_entities=5),
    )
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
        found.append(
            detector.process(BATCH.rows(slice(start, start + 130 if start < 260 else None)))
        )
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


@pytest.mark.parametrize(
    "blob", [b"", b"not a snapshot", b"\x80\x04K\x01.", b"PK\x05\x06" + bytes(18)]
)
def test_something_else_is_refused(blob: bytes) -> None:
    refused(blob)


@pytest.mark.parametrize(
    "chosen",
    [
        {"channels": ("a", "c")},
        {"channels": ("a",)},
        {"max_entities": 4},
        {"profile": "lean"},
        {"n_of": 3},
        {"refractory_events": 50},
    ],
)
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
    np.testing.assert_allclose(after.lanes.state.value[0], before.lanes.state.value[0], atol=1e-5)


@pytest.mark.parametrize(
    "change",
    [
        lambda head, arrays: head.pop("format"),
        lambda head, arrays: head.update(format="streamer.snapshot/1"),
        lambda head, arrays: head.pop("fates"),
        lambda head, arrays: head.pop("names"),
        lambda head, arrays: head.pop("storm"),
        lambda head, arrays: head.update(fates=[1, 2]),
        lambda head, arrays: head.update(now_s="noon"),
        lambda head, arrays: head.update(storm=[1]),
        lambda head, arrays: head.update(names=["only one"]),
        lambda head, arrays: head.update(names=["twice"] * 5),
        lambda head, arrays: head.update(names=[1, 2, 3, 4, 5]),
        lambda head, arrays: head.update(layout=[]),
        lambda head, arrays: arrays.pop("ring.values"),
        lambda head, arrays: arrays.update({"ring.count": arrays["ring.count"][:2]}),
        lambda head, arrays: arrays.update({"ring.values": arrays["ring.values"].astype(object)}),
        lambda head, arrays: arrays.update({"ring.count": arrays["ring.count"].astype(str)}),
    ],
)
def test_a_well_packed_blob_with_other_contents_is_refused(change: Callable) -> None:
    refused(altered(change))


def test_a_well_packed_blob_without_a_change_is_taken() -> None:
    detector = make_detector("baseline")
    detector.load(altered(lambda head, arrays: None))
    assert detector.entities_active == 5


# -- nothing is left out
CHOSEN = st.fixed_dictionaries(
    {
        "max_entities": st.integers(2, 12),
        "silence": st.booleans(),
        "storm_alerts": st.integers(1, 4),
        "storm_window_s": st.sampled_from([600.0, 3600.0, 86_400.0]),
        "idle_after_s": st.sampled_from([math.inf, 2000.0]),
        "missing": st.sampled_from(["mask", "hold", "drop"]),
        "cooldown_s": st.sampled_from([0.0, 300.0]),
        "min_evidence": st.sampled_from([2.0, 5.0]),
        "n_of": st.sampled_from([1, 5]),
    }
)


def with_silences(seed: int, events: int, entities: int) -> EventBatch:
    """The awkward stream, in which each entity but the first is not heard for some part of it."""
    batch, rng = stream(seed, events, entities=entities), np.random.default_rng(seed)
    entity = batch.entity.copy()
    for k in range(1, entities):
        start, length = rng.integers(0, events), rng.integers(0, events // 2)
        part = entity[start : start + length]
        part[part == k] = 0
    return replace(batch, entity=entity)


def polls(batch: EventBatch, size: int) -> list[EventBatch]:
    return [batch.rows(slice(start, start + size)) for start in range(0, len(batch), size)]


def judged(detector: Detector, batches: Iterable[EventBatch]) -> list[Judged]:
    """Every batch, and timers after each; after some of them a long time has passed."""
    found = []
    for batch in batches:
        verdict = detector.process(batch)
        later_s = 3000.0 if int(batch.offset[0]) % 7 == 0 else 0.0
        found.append(
            Judged(
                verdict.scores,
                verdict.alerts + detector.tick(float(np.median(batch.time_s)) + later_s),
            )
        )
    return found


# Two fall silent at the same tick, and after the restart they live in each other's slots.
SWAPPED = {
    "max_entities": 2,
    "silence": True,
    "storm_alerts": 1,
    "storm_window_s": 600.0,
    "idle_after_s": math.inf,
    "missing": "mask",
    "cooldown_s": 0.0,
    "min_evidence": 2.0,
    "n_of": 1,
}


@settings(max_examples=40, deadline=None)
@example("numpy", BUNDLE, 0, 166, 2, 5, 6, SWAPPED)
@given(
    st.sampled_from(["numpy", "baseline"]),
    st.just(SMALL),
    st.integers(0, 2**31),
    st.integers(60, 250),
    st.integers(2, 11),
    st.integers(5, 90),
    st.integers(0, 100),
    CHOSEN,
)
def test_a_restart_through_a_blob_is_not_noticed(
    backend: str,
    bundle: Bundle,
    seed: int,
    events: int,
    entities: int,
    size: int,
    at: int,
    chosen: dict[str, Any],
) -> None:
    chosen |= {"k_of": 3 if chosen["n_of"] == 5 else 1}
    batches = polls(with_silences(seed, events, entities), size)
    cut = len(batches) * at // 100
    whole, before, after = (make_detector(backend, bundle, **chosen) for _ in range(3))
    straight = judged(whole, batches)
    first = judged(before, batches[:cut])
    after.load(before.freeze().encode())
    assert_same(join(straight), join(first + list(judged(after, batches[cut:]))))
    assert after.fates.tolist() == whole.fates.tolist()
    assert [name for name, _ in after.slots.items()] == [name for name, _ in whole.slots.items()]


def test_an_entity_at_its_anchor_falls_silent_as_if_nothing_had_happened() -> None:
    """Between the last event before an anchor and the next event, memory and rebuilt memory must
    not differ.
    """
    chosen = {"silence": True, "late_s": 0.0}
    for events in (16, 32, 64):
        before, after = simple("numpy", **chosen), simple("numpy", **chosen)
        run(before, quiet("p", events))
        after.load(before.dump())
        ends = [
            [a.summary for t in range(0, 4000, 10) for a in d.tick(START_S + t)]
            for d in (before, after)
        ]
        assert ends[0] == ends[1] != []


def test_what_is_frozen_does_not_change_when_the_detector_goes_on() -> None:
    detector = make_detector("baseline")
    detector.process(BATCH.rows(slice(0, 200)))
    blob, frozen = detector.dump(), detector.freeze()
    detector.process(BATCH.rows(slice(200, None)))
    assert frozen.encode() == blob != detector.dump()


# -- asked before there is a detector
def schema(**chosen: Any) -> Schema:
    one = make_detector("baseline", **chosen)
    return schema_of(one.settings, one.lanes.scorer, one.lanes.spec)


def test_a_schema_is_known_without_the_memory() -> None:
    assert schema() == make_detector("baseline").schema


def test_a_blob_fits_where_it_can_be_loaded() -> None:
    assert fits(BLOB, schema()) is None
    assert fits(BLOB, schema(max_entities=99)) is None


@pytest.mark.parametrize(
    "chosen", [{"channels": ("a", "c")}, {"profile": "lean"}, {"max_entities": 4}]
)
def test_a_blob_that_does_not_fit_says_why(chosen: dict) -> None:
    assert "it is ignored" in (fits(BLOB, schema(**chosen)) or "")


@pytest.mark.parametrize("blob", [b"", b"PK", BLOB[:1000]])
def test_a_damaged_blob_does_not_fit(blob: bytes) -> None:
    assert "cannot be read" in (fits(blob, schema()) or "")


def test_counts_by_fate_lie_in_a_snapshot_where_older_versions_read_them() -> None:
    kept = make_detector().freeze().encode()
    assert len(_read(kept, head_only=True)[0]["fates"]) == FATES == 10
    assert {fate.name: fate.value for fate in Fate} == {
        "SCORED": 0,
        "WARMING": 1,
        "DUPLICATE": 2,
        "LATE": 3,
        "MISSING": 4,
        "DEAD_LETTERED": 5,
        "EXPIRED": 6,
        "REPLAYED": 8,
        "RETURNED": 9,
    }
