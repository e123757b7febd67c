"""The lock of a training on one machine."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from streamer.connect.storage.training_lock import FileTrainingLock
from streamer.errors import StoreError
from streamer.lifecycle.evaluation import last_attempt


def test_fences_grow_and_a_removed_lock_is_noticed(tmp_path: Path) -> None:
    turns = FileTrainingLock(tmp_path)
    fences = []
    for _ in range(3):
        turn = turns.take()
        assert turn is not None and turns.take() is None
        fences.append(turn.fence)
        turn.end()
    assert fences == [1, 2, 3]
    turn = turns.take()
    assert turn is not None and turn.keep()
    turn.note(json.dumps({"at": 5.0}).encode())
    (tmp_path / "lock").unlink()
    assert not turn.keep()
    with pytest.raises(StoreError, match="not ours any more"):
        turn.note(b"{}")
    assert last_attempt(turns) == 5.0
