"""A trial for each test of faults: topics, load, daemons and a verdict of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.integration.load import Load
from tests.integration.trial import Trial
from tests.servers.admin import Kafka

MakeTrial = Callable[..., Trial]


@pytest.fixture
def trial_on(tmp_path: Path, topic: str) -> Iterator[MakeTrial]:
    """`trial_on(kafka, load=..., **settings of the input topic)`."""
    with ExitStack() as opened:

        def make(kafka: Kafka, load: Load | None = None, **settings: Any) -> Trial:
            trial = Trial(kafka, tmp_path, topic, load=load, **settings)
            opened.callback(trial.close)
            return trial

        yield make
