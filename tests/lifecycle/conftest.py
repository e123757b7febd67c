"""What tests of promotion share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from streamer.connect.storage.files_registry import DirectoryRegistry
from streamer.lifecycle import promotion
from tests.lifecycle.house import PASSED
from tests.lifecycle.training_world import written


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[DirectoryRegistry]:
    """Champion v0, and v1 beside it."""
    made = DirectoryRegistry(tmp_path / "registry", create=True)
    made.publish(written(tmp_path / "v0", "v0"))
    made.publish(written(tmp_path / "v1", "v1", 1.01, gate=PASSED))
    promotion.promote(made, "v0", "first")
    yield made
    made.close()
