"""A store in a folder: nothing of a killed writer is seen, nobody else may read it, and what is
wrong is said.
"""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from streamer.connect.storage.files_store import UNFINISHED, FileStore
from streamer.errors import StoreError

WRITER = (
    "import sys; from streamer.connect.storage.files_store import FileStore; "
    "FileStore(sys.argv[1]).put('a/b', b'new')"
)


def killed_while_writing(folder: Path) -> int:
    """The exit code of a writer that is killed between its write and its rename."""
    env = os.environ | {"STREAMER_FAILPOINT": "during_snapshot_put"}
    return subprocess.run(
        [sys.executable, "-c", WRITER, str(folder)], env=env, check=False
    ).returncode


def unfinished(folder: Path) -> list[Path]:
    return list(folder.rglob(f"{UNFINISHED}*"))


def test_a_writer_killed_before_its_rename_leaves_the_old_one(tmp_path: Path) -> None:
    store = FileStore(tmp_path)
    store.put("a/b", b"old")
    assert killed_while_writing(tmp_path) == -signal.SIGKILL
    assert store.get("a/b") == b"old"
    assert store.names() == ["a/b"]


def test_what_a_killed_writer_left_is_removed_at_the_next_opening(tmp_path: Path) -> None:
    killed_while_writing(tmp_path)
    assert len(unfinished(tmp_path)) == 1
    assert FileStore(tmp_path).names() == []
    assert unfinished(tmp_path) == []


def test_what_somebody_else_is_writing_is_left_alone(tmp_path: Path) -> None:
    import fcntl

    with (tmp_path / f"{UNFINISHED}1-1").open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        FileStore(tmp_path)
        assert len(unfinished(tmp_path)) == 1


def test_nobody_else_may_read_it(tmp_path: Path) -> None:
    root = tmp_path / "state"
    FileStore(root).put("a/b/c", b"x")
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (root, *root.rglob("*"))}
    assert modes == {"state": 0o700, "a": 0o700, "b": 0o700, "c": 0o600}


def test_a_failed_write_leaves_nothing_and_keeps_the_old_one(tmp_path: Path) -> None:
    store = FileStore(tmp_path)
    (tmp_path / "a").mkdir()
    store.put("a/b/c", b"x")
    with pytest.raises(StoreError, match=r"cannot write .*a/b"):
        store.put("a/b", b"a folder stands here")
    assert unfinished(tmp_path) == []
    assert store.get("a/b/c") == b"x"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_may_not_be_written_says_what_to_do(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(
            StoreError, match=r"let the service's user write there, or set store.path"
        ):
            FileStore(tmp_path).put("a", b"x")
    finally:
        tmp_path.chmod(0o700)


def test_a_full_disk_says_what_to_do() -> None:
    """/dev/full is a disk without room."""
    from streamer.connect.storage import files_store

    with pytest.raises(StoreError, match="make room"), files_store._errors("write", Path("x")):
        Path("/dev/full").write_bytes(b"x")


def test_a_file_where_the_folder_should_be_is_told(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("")
    with pytest.raises(StoreError, match=r"cannot open .*state"):
        FileStore(tmp_path / "state")
