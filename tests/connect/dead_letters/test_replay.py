"""Letters on their way back: each record once, as it was, noted when it is confirmed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from streamer.connect.dead_letters.inbox import FileBox, note_of, noted
from streamer.connect.dead_letters.letter import LetterFile
from streamer.connect.dead_letters.replay import CHUNK, Parcel, Sent, carry_out, plan
from streamer.errors import SinkError
from streamer.event import Lease, Rejected
from streamer.protocols import Letter

RAW = Lease("raw", 1)


def letter(offset: int = 0, reason: str = "bad_json", *, lease: Lease | None = RAW) -> Letter:
    record = Rejected(offset, reason, "d", b"v%d" % offset, lease, b"k", (("h", b"1"),), 1000)
    return Letter("s", record, f"2026-01-01T00:00:{offset % 60:02}Z")


def box_of(path: Path, *letters: Letter) -> FileBox:
    file = LetterFile(path / "dlq.jsonl")
    for each in letters:
        file.send(each)
    file.close()
    return FileBox(path / "dlq.jsonl")


class Post:
    """Takes `good` records and refuses the next; `gone` topics cannot be reached at all."""

    def __init__(self, good: int = 10**9, gone: str = "") -> None:
        self.taken: list[tuple[str, Parcel]] = []
        self.good, self.gone = good, gone

    def send(self, topic: str, parcels: Sequence[Parcel]) -> Sent:
        if topic == self.gone:
            raise SinkError("no such topic")
        confirmed = [len(self.taken) + i < self.good for i in range(len(parcels))]
        self.taken += [(topic, each) for each, yes in zip(parcels, confirmed, strict=True) if yes]
        return Sent(confirmed, None if all(confirmed) else "full")


def test_a_record_goes_back_as_it_was_to_its_own_partition(tmp_path: Path) -> None:
    cut = replace(letter(1).record, headers=(("x-dlq-reason", b"older"), ("h", b"1")))
    box, post = box_of(tmp_path, Letter("s", cut, "at")), Post()
    carry_out(plan(box), box, post)
    assert post.taken == [("raw", Parcel(1, b"k", b"v1", (("h", b"1"),)))]


def test_only_records_that_date_their_events_keep_their_time(tmp_path: Path) -> None:
    other = replace(letter(2), stream="other")
    box, post = box_of(tmp_path, letter(1), other), Post()
    carry_out(plan(box), box, post, dated={"s"})
    assert [each.timestamp_ms for _, each in post.taken] == [1000, None]


def test_another_topic_takes_it_wherever_its_key_belongs(tmp_path: Path) -> None:
    box, post = box_of(tmp_path, letter(1), letter(2, lease=None)), Post()
    assert carry_out(plan(box, to="fixed"), box, post).sent == {"fixed": 2}
    assert [(topic, each.partition) for topic, each in post.taken] == [("fixed", None)] * 2


def test_what_was_sent_back_is_passed_over_unless_asked_for_again(tmp_path: Path) -> None:
    box, post = box_of(tmp_path, letter(1), letter(1), letter(2)), Post()
    assert carry_out(plan(box), box, post).sent == {"raw": 2}
    again = plan(FileBox(tmp_path / "dlq.jsonl"))
    assert (again.count, again.skipped) == (0, {"was sent back before": 2})
    assert plan(box, again=True).count == 2


def test_only_what_was_confirmed_is_noted_and_the_rest_goes_the_next_time(tmp_path: Path) -> None:
    box = box_of(tmp_path, *(letter(n) for n in range(CHUNK + 20)))
    first, second = Post(good=CHUNK + 5), Post()
    outcome = carry_out(plan(box), box, first)
    assert (outcome.problem, outcome.sent) == ("full", {"raw": CHUNK + 5})
    assert carry_out(plan(box), box, second).problem is None
    sent = [each.value for _, each in first.taken + second.taken]
    assert sent == [b"v%d" % n for n in range(CHUNK + 20)]


def test_a_topic_that_is_gone_ends_the_replay_with_its_reason(tmp_path: Path) -> None:
    box, post = (
        box_of(tmp_path, letter(1), letter(2, lease=Lease("old", 0)), letter(3)),
        Post(gone="old"),
    )
    outcome = carry_out(plan(box), box, post)
    assert (outcome.problem, outcome.sent) == ("no such topic", {"raw": 2})


def test_what_cannot_be_sent_as_it_was_is_passed_over_with_the_reason(tmp_path: Path) -> None:
    box = box_of(
        tmp_path, letter(1, "too_long"), letter(2, "tombstone"), letter(3, lease=None), letter(4)
    )
    chosen = plan(box)
    assert {topic: len(each) for topic, each in chosen.letters.items()} == {"raw": 1}
    assert sorted(chosen.skipped) == [
        "came from no topic: name one with --to",
        "has no value",
        "only its start was kept",
    ]


def test_a_limit_takes_the_oldest_that_can_be_sent(tmp_path: Path) -> None:
    box = box_of(tmp_path, letter(1, "too_long"), letter(2), letter(3), letter(4))
    assert [each.record.offset for each in plan(box, limit=2).letters["raw"]] == [2, 3]


origins = st.tuples(
    st.text(), st.text(), st.integers(0), st.integers(0, 2**62), st.none() | st.integers(0, 2**62)
)


@given(st.lists(origins))
def test_notes_come_back(found: list[tuple[str, str, int, int, int | None]]) -> None:
    assert noted(note_of(found)) == found


@given(
    st.binary(max_size=20)
    | st.sampled_from([b"[[1]]", b"[1]", b"{}", b"[[1,2,3,4,5],[1]]", b"[[[],2,3,4,5]]"])
)
def test_a_damaged_note_notes_nothing_and_never_raises(note: bytes) -> None:
    assert noted(note) == []
