"""A registry in a folder, beyond the contract: what others leave lying there, and what goes
missing.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from streamer.connect.storage.files_registry import DirectoryRegistry
from streamer.connect.storage.registry_rules import MOVES_KEPT
from streamer.errors import ConfigError, CorruptBundle, SchemaMismatch, StoreError
from tests.bundles import a_bundle, sha256


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A registry's folder with v1 and v2, v1 champion."""
    registry = DirectoryRegistry(tmp_path / "registry", create=True)
    for i in (1, 2):
        registry.publish(a_bundle(tmp_path / f"b{i}", f"v{i}", seed=i))
    registry.move({"champion": "v1"})
    return tmp_path / "registry"


def test_a_folder_that_is_not_there_is_an_error_and_is_not_made(tmp_path: Path) -> None:
    for there in (tmp_path / "nowhere", tmp_path / "file"):
        (tmp_path / "file").touch()
        with pytest.raises(ConfigError, match=r"model\.registry: there is no such folder"):
            DirectoryRegistry(there)
    assert not (tmp_path / "nowhere").exists()


def test_reading_leaves_nothing_behind(tmp_path: Path) -> None:
    registry = DirectoryRegistry(tmp_path)
    assert (registry.versions(), registry.aliases(), registry.moves()) == ([], {}, [])
    assert registry.wait({}, 0.01) is None
    assert not list(tmp_path.iterdir())


def test_what_others_leave_there_is_passed_by(home: Path) -> None:
    (home / "versions" / "notes").mkdir()
    (home / "versions" / "file").touch()
    (home / "versions" / ".hidden").mkdir()
    (home / "versions" / ".hidden" / "manifest.json").touch()
    (home / "readme.txt").touch()
    assert DirectoryRegistry(home).versions() == ["v1", "v2"]


def test_a_version_that_was_renamed_is_refused(home: Path) -> None:
    (home / "versions" / "v2").rename(home / "versions" / "v3")
    with pytest.raises(CorruptBundle, match="holds the version v2; somebody renamed it"):
        DirectoryRegistry(home).path("v3")


Use = Callable[[DirectoryRegistry], object]
USES: list[Use] = [
    lambda r: r.aliases(),
    lambda r: r.moves(),
    lambda r: r.move({"edge": "v2"}),
    lambda r: r.remove("v2"),
    lambda r: r.wait({}, 0.1),
    lambda r: r.path("champion"),
]


@pytest.mark.parametrize(
    ("text", "error", "says"),
    [
        (None, StoreError, "is missing, so nobody knows what the aliases point at; restore it"),
        ("{", StoreError, "cannot be read"),
        (
            '{"format": "streamer.registry/2"}',
            SchemaMismatch,
            "a newer streamer wrote it: upgrade this one",
        ),
        ('{"format": "other"}', SchemaMismatch, "is it a registry of streamer"),
        (
            '{"format": "streamer.registry/1", "aliases": {"boss": "v1"}}',
            StoreError,
            "aliases or moves are none",
        ),
        (
            '{"format": "streamer.registry/1", "aliases": {"edge": 1}}',
            StoreError,
            "aliases or moves are none",
        ),
        ('{"format": "streamer.registry/1", "moves": 3}', StoreError, "aliases or moves are none"),
    ],
)
def test_an_index_that_is_missing_or_damaged_is_an_error_and_nothing_changes(
    home: Path, text: str | None, error: type[Exception], says: str
) -> None:
    (home / "registry.json").unlink() if text is None else (home / "registry.json").write_text(text)
    for use in USES:
        with pytest.raises(error, match=says):
            use(DirectoryRegistry(home))
    assert DirectoryRegistry(home).versions() == ["v1", "v2"]
    assert ((home / "registry.json").read_text() if text is not None else None) == text


def test_the_cure_that_is_told_for_a_missing_index_works(home: Path) -> None:
    (home / "registry.json").write_text('{"format": "streamer.registry/1"}')
    registry = DirectoryRegistry(home)
    assert registry.aliases() == {}
    assert registry.move({"champion": "v2"})


def test_a_damaged_version_is_made_good_by_publishing_the_same_again_and_by_no_other(
    home: Path,
) -> None:
    (home / "versions" / "v1" / "weights.npz").unlink()
    registry = DirectoryRegistry(home)
    with pytest.raises(StoreError, match="another model of that version is damaged"):
        registry.publish(a_bundle(home.parent / "other", "v1", seed=9))
    registry.publish(home.parent / "b1")
    assert sha256(registry.path("champion")) == sha256(home.parent / "b1")


def test_an_alias_whose_version_somebody_removed_says_so(home: Path) -> None:
    shutil.rmtree(home / "versions" / "v1")
    with pytest.raises(Exception, match="no version 'v1', its champion; there are: v2"):
        DirectoryRegistry(home).path("champion")


def test_what_a_killed_writer_left_is_removed_by_the_next(home: Path) -> None:
    (home / ".unfinished-1-1").mkdir()
    (home / ".unfinished-1-1" / "weights.npz").touch()
    (home / ".unfinished-1-2").touch()
    DirectoryRegistry(home).publish(a_bundle(home.parent / "b3", "v3"))
    assert sorted(path.name for path in home.iterdir()) == [".lock", "registry.json", "versions"]


def test_many_processes_move_and_no_move_is_lost(home: Path) -> None:
    program = (
        "import sys; from streamer.connect.storage.files_registry import DirectoryRegistry\n"
        "r = DirectoryRegistry(sys.argv[1])\n"
        "for i in range(10): assert r.move({'edge': ['v1', 'v2'][i % 2], 'challenger': None}, "
        "why=sys.argv[2]) or 1"
    )

    def mover(name: int) -> int:
        return subprocess.run(
            [sys.executable, "-c", program, str(home), str(name)], check=False
        ).returncode

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(mover, range(4))) == [0] * 4
    moves = DirectoryRegistry(home).moves()
    edges = [move.changes["edge"] for move in moves[1:]]
    assert all(a != b for a, b in itertools.pairwise(edges)), "a move that changed nothing was told"
    assert DirectoryRegistry(home).aliases()["edge"] == edges[-1]


def test_the_trail_is_bounded(home: Path) -> None:
    told = json.loads((home / "registry.json").read_text())
    told["moves"] *= 2 * MOVES_KEPT
    (home / "registry.json").write_text(json.dumps(told))
    registry = DirectoryRegistry(home)
    registry.move({"edge": "v2"}, why="newest")
    assert (len(registry.moves()), registry.moves()[-1].why) == (MOVES_KEPT, "newest")


def test_versions_keep_their_order_when_the_clock_goes_back(home: Path) -> None:
    os.utime(home / "versions" / "v2" / "manifest.json", ns=(2**62, 2**62))
    DirectoryRegistry(home).publish(a_bundle(home.parent / "b0", "v0"))
    assert DirectoryRegistry(home).versions() == ["v1", "v2", "v0"]
