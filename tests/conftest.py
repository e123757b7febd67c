"""What every test may ask for: the seed of this run and the public data beside the checkout. Also in
which order tests run, and which of them share a worker.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import structlog
from hypothesis import Phase, settings

pytest_plugins = ["tests.servers.fixtures"]

SEED = int(os.environ.get("TEST_SEED", "0"))
SHARED = Path(__file__).resolve().parents[2] / "shared"

# Files in the order in which they begin: the longest first, so that no worker idles at the end. A
# folder stands for its files. A wrong order costs time and nothing else.
TRIALS = "tests/faults/"  # one after the other: each keeps a core busy and has limits of seconds
LONGEST_FIRST = (
    TRIALS,
    "tests/models/test_train.py",
    "tests/models/test_retrain.py",
    "tests/models/test_distil.py",
    "tests/integration/test_commands.py",
    "tests/integration/test_kafka_source",
    "tests/models/test_search.py",
    "tests/integration/test_kafka_sink.py",
    "tests/integration/test_security.py",
    "tests/real",
    "tests/detect/test_laws.py",
    "tests/lifecycle/test_alias_follower.py",
    "tests/app/test_run.py",
    "tests/integration",
    "tests/models",
    "tests/demo",
    "tests/cli/test_demo.py",
    "tests/lifecycle",
    "tests/detect",
)

# Deadlines measure a shared machine, not the code.
settings.register_profile("default", deadline=None)
settings.register_profile("ci", deadline=None, print_blob=True)
# A planted bug is noticed by any example: the smallest one is worth no minutes.
settings.register_profile("mutants", deadline=None, phases=[Phase.explicit, Phase.generate])
settings.load_profile(
    os.environ.get("TEST_PROFILE") or ("ci" if os.environ.get("CI") else "default")
)


def pytest_report_header() -> list[str]:
    data = "found" if SHARED.is_dir() else "MISSING: the tests over real data are skipped"
    return [f"seed {SEED} (TEST_SEED)", f"public data beside the checkout: {data}"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: _rank(item.nodeid))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> object:
    """Of several workers, one gets all tests of a file, and one gets all trials of faults."""
    from xdist.scheduler import LoadScopeScheduling

    class ByFile(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return TRIALS if nodeid.startswith(TRIALS) else nodeid.partition("::")[0]

    return ByFile(config, log)


def _rank(name: str) -> int:
    found = (rank for rank, first in enumerate(LONGEST_FIRST) if name.startswith(first))
    return next(found, len(LONGEST_FIRST))


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
