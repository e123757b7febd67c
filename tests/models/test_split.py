"""History is cut in time; what cannot be learnt from is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from models.split import LEAST_HELD_ROWS, LabelledSpan, series_of, split
from streamer.artifact import ModelSpec
from streamer.errors import InputError
from tests.models.worlds import START_S, waves

SPEC = ModelSpec()


def test_nothing_learnt_is_as_new_as_anything_held_out_and_an_embargo_lies_between() -> None:
    cut = split(series_of(waves(), "x"), SPEC)
    assert cut.train_span_s[1] + 10 * (SPEC.window - 2) < cut.held_span_s[0]
    assert cut.train.time_s.max() == cut.train_span_s[1]
    for series in cut.series:
        assert (
            series.time_s[series.held].min()
            >= cut.held_span_s[0]
            > series.time_s[~series.held].max()
        )


def test_pieces_of_one_entity_are_one_series_whatever_their_order() -> None:
    whole = waves(entities=1, rows=800)
    halves = {name: np.concatenate([a[:, 400:], a[:, :400]]) for name, a in whole.items()}
    one = split(series_of(whole | {"entity": ["pump"]}, "x"), SPEC)
    two = split(series_of(halves | {"entity": ["pump", "pump"]}, "x"), SPEC)
    assert (one.train_sha256, one.held_sha256) == (two.train_sha256, two.held_sha256)


def test_entities_of_other_times_are_cut_at_the_same_time() -> None:
    arrays = waves(entities=2, rows=900)
    arrays["time_s"][1] += 2000
    cut = split(series_of(arrays, "x"), SPEC)
    early, late = (int(s.held.sum()) for s in cut.series)
    assert early < late
    assert cut.train.time_s.max() < cut.held_span_s[0]


def test_labels_are_neither_learnt_nor_normal_and_know_their_entity() -> None:
    label = LabelledSpan(START_S + 1000, START_S + 1100, "1")
    series = series_of(waves() | {"mask": np.eye(4, 700, dtype=bool)}, "x", [label])
    assert [int(s.label.sum()) for s in series] == [0, pytest.approx(10, abs=1), 0, 0]
    assert [int((s.excluded & ~s.label).sum()) for s in series] == [1, 1, 1, 1]


def test_the_weight_of_a_row_goes_with_the_row() -> None:
    arrays = waves(rows=800)
    numbers = np.arange(arrays["time_s"].size, dtype=np.float32).reshape(arrays["time_s"].shape)
    cut = split(series_of(arrays | {"weight": numbers}, "x"), SPEC)
    assert cut.train.weight is not None
    known = dict(zip(arrays["time_s"].ravel(), numbers.ravel() % 800, strict=True))
    assert all(
        known[at_s] == row % 800
        for at_s, row in zip(cut.train.time_s.flat, cut.train.weight.flat, strict=True)
    )
    assert split(series_of(arrays, "x"), SPEC).train.weight is None


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        (waves(rows=100), "training needs 160 rows of an entity, the longest of 4 has 100"),
        (waves(rows=200), r"training needs 64 rows|held-out span needs|before the held-out span"),
        (waves() | {"values": np.full((4, 700, 1), 3.0)}, "every channel is constant in all"),
        (waves() | {"values": np.full((4, 700, 1), np.nan)}, "no row has a value"),
        (waves() | {"mask": np.ones((4, 700))}, "no row has a value that may be learnt"),
        (waves() | {"weight": np.full((4, 700), -1.0)}, "weight must be"),
        (waves() | {"entity": ["a"]}, "entity names 1 pieces, values has 4"),
    ],
)
def test_too_little_and_constant_history_is_refused_with_numbers(
    arrays: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        split(series_of(arrays, "rows.npz"), SPEC)


def test_a_held_out_span_has_rows_enough_to_plant_something() -> None:
    with pytest.raises(InputError, match=f"needs {LEAST_HELD_ROWS} rows"):
        split(series_of(waves(rows=700), "x"), SPEC, share=0.05)
