"""A check of the tests: each bug of mutants.toml is planted in a copy of the tree, and must fail a
test.

`make mutants` runs all of them, `make mutants T=offsets` those of files whose name holds the word.
"""

from __future__ import annotations

import itertools
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TABLE = Path(__file__).with_name("mutants.toml")
LIMIT_S = 300.0  # of the tests of one bug: one that hangs is found as well
LEFT_OUT = shutil.ignore_patterns(
    ".git", ".venv", ".servers", ".*_cache", ".hypothesis", "__pycache__", "*.egg-info"
)
_moments = itertools.count(int(time.time()) + 3600)
FAILED = 1  # of pytest: tests ran, and some failed
FAILURE = re.compile(r"^FAILED (\S+::[^\s\[]+)", re.M)  # without the case of a test that has many


class NoMutantError(Exception):
    """A bug that cannot be planted, or whose tests cannot run: the table must be mended."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """One bug: a text that a file holds once, what stands there instead, and tests that fail
    then.
    """

    file: str
    before: str
    after: str
    tests: tuple[str, ...]

    def planted_in(self, text: str) -> str:
        """The file with the bug; NoMutantError unless the text before is found exactly once."""
        found = text.count(self.before)
        if found != 1 or self.before == self.after:
            raise NoMutantError(f"{self.file}: found {found} times, not once: {self.before!r}")
        return text.replace(self.before, self.after)


def table(path: Path = TABLE) -> list[Mutant]:
    """Every bug of the table, in its order."""
    rows = tomllib.loads(path.read_text())["mutant"]
    return [Mutant(row["file"], row["before"], row["after"], tuple(row["tests"])) for row in rows]


def killers(mutant: Mutant, tree: Path) -> list[str] | None:
    """The tests that notice the bug in this copy of the tree, which is left as it was; None if none
    does.
    """
    path = tree / mutant.file
    text = path.read_text()
    write(path, mutant.planted_in(text))
    try:
        return failing(tree, mutant.tests)
    finally:
        write(path, text)


def write(path: Path, text: str) -> None:
    """As if a second later than any time before: Python takes what it compiled of a file for good
    while the file's size and second stay.
    """
    path.write_text(text)
    moment = next(_moments)
    os.utime(path, (moment, moment))


def failing(tree: Path, tests: Sequence[str]) -> list[str] | None:
    """The first test that fails; none of a name where they hang; None if all pass."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider"]
    own = {"PYTHONPATH": str(tree), "TEST_SEED": "0", "TEST_PROFILE": "mutants"}
    try:
        done = subprocess.run(
            [*command, "--hypothesis-seed=0", *tests],
            cwd=tree,
            env=os.environ | own,
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return []
    if done.returncode not in (0, FAILED):
        raise NoMutantError(f"{' '.join(tests)}: do not run:\n{done.stdout[-2000:]}{done.stderr}")
    return FAILURE.findall(done.stdout) if done.returncode else None


def check(mutants: Sequence[Mutant], root: Path) -> list[Mutant]:
    """Those that live, told as they are found. NoMutantError where the table must be mended, or a
    test that noticed a bug fails without it too.
    """
    living: list[Mutant] = []
    noticed: set[str] = set()
    with tempfile.TemporaryDirectory() as scratch:
        tree = shutil.copytree(root, Path(scratch) / "tree", ignore=LEFT_OUT, symlinks=True)
        for number, mutant in enumerate(mutants, 1):
            started = time.monotonic()
            found = killers(mutant, tree)
            tell(number, mutant, found, time.monotonic() - started)
            noticed.update(found or ())
            living += [mutant] if found is None else []
        if noticed and (wrong := failing(tree, sorted(noticed))) is not None:
            raise NoMutantError(f"it fails without any bug: {', '.join(wrong)}")
    return living


def tell(number: int, mutant: Mutant, found: list[str] | None, took_s: float) -> None:
    by = "LIVED" if found is None else f"killed by {found[0] if found else 'a hang'}"
    print(f"{number:>3} {took_s:5.1f} s  {mutant.file}: {mutant.after.strip()!r} {by}", flush=True)


def main(words: Sequence[str]) -> int:
    """Exit code: 1 if a bug lives, 2 if the table must be mended."""
    chosen = [one for one in table() if not words or any(word in one.file for word in words)]
    try:
        living = check(chosen, ROOT)
    except NoMutantError as exc:
        print(f"error: {exc}", file=sys.stderr)
        return 2
    print(f"{len(chosen) - len(living)} of {len(chosen)} planted bugs killed")
    return 1 if living else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
