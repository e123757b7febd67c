"""A search judges every choice on the same held-out rows by what it would have caught."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models import search, synth
from models.split import Split, series_of, split
from streamer import artifact
from streamer.artifact import Bundle, ModelSpec

pytestmark = pytest.mark.slow
SMALL = {"grid": 33, "bayes": 11}  # seeds whose first two networks have at most 96 units
CHOSEN = {
    "units": 32,
    "layers": 1,
    "window": 64,
    "batch_rows": 256,
    "dropout": 0.2,
    "learning_rate": 4e-3,
}


@pytest.fixture(scope="module")
def starter() -> Bundle:
    return artifact.load(artifact.PRETRAINED)


@pytest.fixture(scope="module")
def past(starter: Bundle) -> Split:
    history = synth.streams(np.random.default_rng(5), 4, 1000, 1)
    return split(
        series_of({"values": history.values, "time_s": history.time_s}, "here"), starter.spec
    )


@pytest.mark.parametrize(
    "how",
    [pytest.param(how, marks=[pytest.mark.long] if how == "grid" else []) for how in search.HOW],
)
def test_the_best_of_a_search_is_the_one_that_catches_most(
    starter: Bundle, past: Split, how: str, tmp_path: Path
) -> None:
    told: list[search.Tried] = []
    found = search.search(
        starter, past, how=how, trials=2, seconds=1.0, seed=SMALL[how], report=told.append
    )
    assert sorted(one.number for one in found) == sorted(one.number for one in told) == [0, 1]
    assert found[0].worth == max(one.worth for one in told)
    for one in found:
        assert 0 <= one.recall <= 1
        assert 32 <= one.units <= 256
        assert 1 <= one.layers <= 4
        assert 10 <= one.window <= 200
        assert 0.2 <= one.dropout <= 0.5
        assert one.parameters > 0
    search.plot(found, tmp_path / "search.png")
    assert (tmp_path / "search.png").read_bytes().startswith(b"\x89PNG")


def test_the_grid_has_every_choice_once_and_the_ends_of_every_range() -> None:
    found = search.grid(0)
    assert len({tuple(one.values()) for one in found}) == len(found) == search.GRID_SIZE == 729
    assert {name: (values[0], values[-1]) for name, values in search.GRID.items()} == dict(
        search.RANGES
    )


@given(st.integers(0, 1000))
def test_a_grid_that_ends_early_has_tried_all_values_alike(seed: int) -> None:
    found = search.grid(seed)
    assert found != search.grid(seed + 1)
    for at in range(0, len(found), 3):
        round_of_three = found[at : at + 3]
        for name, values in search.GRID.items():
            assert sorted(one[name] for one in round_of_three) == list(values)


def test_a_choice_that_diverges_is_worth_nothing_and_the_search_goes_on(
    starter: Bundle, past: Split
) -> None:
    bench = search._Bench(starter, past, 60.0, 0, {})  # the end of an epoch finds out
    assert bench.tried(0, CHOSEN | {"learning_rate": float("nan")}).recall == 0


@pytest.mark.parametrize(
    ("layers", "window"),
    [
        (4, 10),
        pytest.param(2, 10, marks=pytest.mark.long),
        pytest.param(4, 200, marks=pytest.mark.long),
    ],
)
def test_the_ends_of_the_ranges_are_trained_and_judged(
    starter: Bundle, past: Split, layers: int, window: int
) -> None:
    tried = search._Bench(starter, past, 1.0, 0, {}).tried(
        0, CHOSEN | {"layers": layers, "window": window}
    )
    assert (tried.layers, tried.window) == (layers, window)
    assert tried.parameters > (layers - 1) * 2 * 8 * 32**2, "it was trained, or it would have none"
    assert tried.log_error < 10


@given(st.integers(10, 200), st.integers(1, 4), st.sampled_from([16, 32, 256]))
def test_whatever_is_chosen_is_a_shape_whose_memory_fits_its_window(
    window: int, layers: int, units: int
) -> None:
    spec = search.shaped(ModelSpec(), units=units, layers=layers, window=window)
    assert (spec.window, spec.layers, spec.units) == (window, layers, units)
    assert 1 <= spec.k_min <= spec.window <= spec.scale_window
    assert spec.k_min == 16 or window < 16
