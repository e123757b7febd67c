"""A search judges every choice on the same held-out rows by what it would have caught."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from models import search, synth
from models.split import Split, series_of, split
from streamer import artifact
from streamer.artifact import Bundle

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def starter() -> Bundle:
    return artifact.load(artifact.PRETRAINED)


@pytest.fixture(scope="module")
def past(starter: Bundle) -> Split:
    history = synth.streams(np.random.default_rng(5), 4, 1600, 1)
    return split(series_of({"values": history.values, "time_s": history.time_s}, "here"), starter.spec)


@pytest.mark.parametrize("how", search.HOW)
def test_the_best_of_a_search_is_the_one_that_catches_most(
    starter: Bundle, past: Split, how: str, tmp_path: Path
) -> None:
    told: list[search.Tried] = []
    found = search.search(starter, past, how=how, trials=2, seconds=1.0, seed=1, report=told.append)
    assert sorted(one.number for one in found) == sorted(one.number for one in told) == [0, 1]
    assert found[0].worth == max(one.worth for one in told)
    for one in found:
        assert 0 <= one.recall <= 1
        assert 32 <= one.units <= 256
        assert 16 <= one.window <= 200
        assert 0.2 <= one.dropout <= 0.5
        assert one.parameters > 0
    search.plot(found, tmp_path / "search.png")
    assert (tmp_path / "search.png").read_bytes().startswith(b"\x89PNG")


def test_a_choice_that_diverges_is_worth_nothing_and_the_search_goes_on(starter: Bundle, past: Split) -> None:
    bench = search._Bench(starter, past, 60.0, 0, {})  # the end of an epoch finds out
    chosen = {"units": 32, "window": 64, "batch_rows": 256, "dropout": 0.2, "learning_rate": float("nan")}
    assert bench.tried(0, chosen).recall == 0
