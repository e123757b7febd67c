"""The table of planted bugs fits the code, and its check tells a bug that is noticed from one that
is not.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests.mutants import ROOT, Mutant, NoMutantError, check, main, table

PARTS = ("detect", "runtime", "lifecycle", "feedback", "app", "connect", "http")
CODE = "def larger(a: int, b: int) -> int:\n    return a if a > b else b\n"
SHARP = "from code_of import larger\n\n\ndef test_larger() -> None:\n    assert larger(1, 2) == 2\n"
BLUNT = "from code_of import larger\n\n\ndef test_equal() -> None:\n    assert larger(2, 2) == 2\n"


@pytest.mark.parametrize("mutant", table(), ids=lambda one: f"{one.file}-{one.after.strip()[:30]}")
def test_each_bug_can_be_planted_and_its_tests_are_there(mutant: Mutant) -> None:
    assert mutant.planted_in((ROOT / mutant.file).read_text()).count(mutant.after)
    assert mutant.tests
    for file, _, name in (test.partition("::") for test in mutant.tests):
        assert f"def {name}" in (ROOT / file).read_text()


def test_there_are_forty_bugs_and_some_in_every_part() -> None:
    parts = Counter(mutant.file.split("/")[1] for mutant in table())
    assert len(set(table())) == len(table()) >= 40
    assert set(PARTS) == parts.keys() and min(parts.values()) >= 1


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name, text in {"code_of.py": CODE, "test_sharp.py": SHARP, "test_blunt.py": BLUNT}.items():
        (tmp_path / name).write_text(text)
    return tmp_path


def mutant(*tests: str, before: str = "a > b", after: str = "a < b") -> Mutant:
    return Mutant("code_of.py", before, after, tests)


def test_a_bug_that_a_test_notices_is_killed_and_one_that_none_notices_lives(tree: Path) -> None:
    noticed, unnoticed = mutant("test_sharp.py"), mutant("test_blunt.py")
    assert check([noticed, unnoticed], tree) == [unnoticed]
    assert (tree / "code_of.py").read_text() == CODE


def test_a_test_that_fails_anyway_kills_nothing(tree: Path) -> None:
    (tree / "test_sharp.py").write_text(SHARP.replace("== 2", "== 3"))
    with pytest.raises(NoMutantError, match="fails without any bug"):
        check([mutant("test_sharp.py")], tree)


@pytest.mark.parametrize(
    "broken",
    [
        mutant("test_sharp.py", before="a"),
        mutant("test_sharp.py", before="nowhere"),
        mutant("test_sharp.py", after="a > b"),
        mutant("test_gone.py"),
        mutant("test_sharp.py", after="a >"),
    ],
    ids=["found often", "found nowhere", "no bug", "no test", "no code"],
)
def test_a_bug_that_cannot_be_planted_or_tested_is_an_error(tree: Path, broken: Mutant) -> None:
    with pytest.raises(NoMutantError):
        check([broken], tree)


def test_no_bug_of_another_word_is_planted(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["no file has this name"]) == 0
    assert capsys.readouterr().out == "0 of 0 planted bugs killed\n"
