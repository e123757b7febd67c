"""Why a source is ill: asked beside the reading, now and then, and forgotten when it is well."""

from __future__ import annotations

from collections.abc import Sequence

from streamer.connect.kafka.diagnosis.background import EVERY_S, BackgroundDiagnosis, SourceProblem

SILENT = SourceProblem("no answer for 2 s", "KafkaTimeoutError", OSError("timeout"))


class Asked:
    """Looks that are counted, what they find, and a clock."""

    def __init__(self, found: str | None = "the port is closed: open it") -> None:
        self.now, self.found = 0.0, found
        self.causes: list[Sequence[BaseException]] = []
        self.inquiry = BackgroundDiagnosis(self.look, clock=lambda: self.now)

    def look(self, causes: Sequence[BaseException]) -> str | None:
        self.causes.append(causes)
        return self.found

    def words(self, *ailments: SourceProblem) -> str:
        """Those that hold once a look that is on its way is done."""
        self.inquiry.words(ailments)
        self.inquiry.join(5.0)
        return self.inquiry.words(ailments)


def test_what_a_look_finds_takes_the_place_of_the_clients_words() -> None:
    asked = Asked()
    assert asked.inquiry.words([SILENT]).startswith("no answer for 2 s")
    assert asked.words(SILENT) == "no answer for 2 s: the port is closed: open it"
    assert asked.causes == [[SILENT.cause]]


def test_without_a_finding_the_clients_words_must_do() -> None:
    assert Asked(None).words(SILENT) == "no answer for 2 s (KafkaTimeoutError)"


def test_a_look_that_fails_costs_its_finding_only() -> None:
    asked = Asked()
    asked.inquiry._look = lambda causes: str(1 // 0)
    assert asked.words(SILENT) == "no answer for 2 s (KafkaTimeoutError)"


def test_looks_are_rare_however_often_words_are_asked_for() -> None:
    asked = Asked()
    for _ in range(50):
        asked.words(SILENT)
        asked.inquiry.well()
    assert len(asked.causes) == 1
    asked.now = EVERY_S
    asked.words(SILENT)
    assert len(asked.causes) == 2


def test_what_was_found_in_one_spell_is_not_said_in_the_next() -> None:
    asked = Asked()
    asked.words(SILENT)
    asked.inquiry.well()
    assert asked.words(SILENT) == "no answer for 2 s (KafkaTimeoutError)"


def test_what_says_its_own_reason_is_not_asked_about() -> None:
    asked = Asked()
    assert asked.words(SourceProblem("no topic matches", known=True), SILENT) == "no topic matches"
    assert asked.causes == []


def test_a_look_knows_the_causes_of_all_that_ails_it() -> None:
    asked, refused = Asked(), SourceProblem("polls fail", "denied", PermissionError("denied"))
    assert asked.words(SILENT, refused, SourceProblem("the group has not settled")).startswith(
        "no answer"
    )
    assert asked.causes == [[SILENT.cause, refused.cause]]
