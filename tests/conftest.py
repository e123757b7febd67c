"""What every test may ask for: the seed of this run and the public data beside the checkout."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import structlog
from hypothesis import settings

pytest_plugins = ["tests.servers.fixtures"]

SEED = int(os.environ.get("TEST_SEED", "0"))
SHARED = Path(__file__).resolve().parents[2] / "shared"

# Deadlines measure a shared machine, not the code.
settings.register_profile("default", deadline=None)
settings.register_profile("ci", deadline=None, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "default")


def pytest_report_header() -> list[str]:
    data = "found" if SHARED.is_dir() else "MISSING: the tests over real data are skipped"
    return [f"seed {SEED} (TEST_SEED)", f"public data beside the checkout: {data}"]


@pytest.fixture(autouse=True)
def logging_as_it_was() -> Iterator[None]:
    """Commands set up the logging of their process: none of it, a level for one, reaches the next
    test.
    """
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level
    logging.captureWarnings(False)
    structlog.reset_defaults()


@pytest.fixture
def rng() -> np.random.Generator:
    """Random numbers of this run's seed; print nothing, the seed stands in the header."""
    return np.random.default_rng(SEED)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of public data and reference scorers beside the checkout; skips, saying so, where
    there is none.
    """
    if not SHARED.is_dir():
        pytest.skip(f"no public data at {SHARED}")
    return SHARED
