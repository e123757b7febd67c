"""One bundle of random weights per test session, exported once: backends must agree whatever the weights are."""

from __future__ import annotations

from pathlib import Path

import pytest

from streamer import artifact
from streamer.artifact import Bundle


@pytest.fixture(scope="session")
def starter() -> Bundle:
    return artifact.load(artifact.PRETRAINED)


@pytest.fixture(scope="session")
def bundle_dir() -> Path:
    return artifact.PRETRAINED
