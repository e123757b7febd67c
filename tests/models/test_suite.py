"""The labelled suite: labels say what was planted, the same recipe is the same stream, and what
constants are chosen on is disjoint from what confirms them.
"""

from __future__ import annotations

import numpy as np
import pytest

from models import suite
from models.suite import LabelledStream, Recipe
from models.suite.families import FAMILIES
from models.suite.stream import CELLS, Parameters

# One stream of each family and step, as a sample; the kinds of all streams are counted below.
SAMPLE = [r for r in suite.recipes("choose") if r.turn % 4 == 0 and r.family != "daily_job"]
SAMPLE += [r for r in suite.recipes("confirm") if r.family == "daily_job"][1:3]
RHYTHM = {name for name, kind in suite.FAULT_KINDS.items() if kind.rhythm}


@pytest.fixture(scope="module")
def everything() -> dict[str, list[LabelledStream]]:
    return {part: suite.suite(part) for part in suite.PARTS}


def first_fault(stream: LabelledStream) -> int:
    return min((fault.start for fault in stream.faults), default=len(stream))


def test_the_suite_has_at_least_200_streams_and_every_kind_of_fault_in_both_parts(
    everything: dict[str, list[LabelledStream]],
) -> None:
    assert sum(map(len, everything.values())) >= 200
    for streams in everything.values():
        kinds = [fault.kind for one in streams for fault in one.faults]
        assert min(kinds.count(kind) for kind in suite.FAULT_KINDS) >= 4
        assert {one.family for one in streams} == FAMILIES.keys()
        assert {change.kind for one in streams for change in one.harmless} == {
            "daily job",
            "lost row",
            "regime",
            "restart",
        }


def test_some_faults_last_for_hours_at_every_sampling_step(
    everything: dict[str, list[LabelledStream]],
) -> None:
    longest: dict[float, float] = {}
    for one in everything["choose"]:
        for fault in one.faults:
            lasted = float(one.time_s[fault.stop - 1] - one.time_s[fault.start])
            longest[one.step_s] = max(longest.get(one.step_s, 0), lasted)
    assert min(longest[step] for step in (1.0, 10.0, 60.0, 300.0)) > 3600


@pytest.mark.parametrize("recipe", SAMPLE, ids=lambda recipe: recipe.name)
def test_a_fault_changes_nothing_before_it_and_something_in_it(recipe: Recipe) -> None:
    spoiled, clean = suite.build(recipe), suite.build(recipe, faults=False)
    first = first_fault(spoiled)
    np.testing.assert_array_equal(spoiled.values[:first], clean.values[:first])
    np.testing.assert_array_equal(spoiled.time_s[:first], clean.time_s[:first])
    assert first >= spoiled.taught
    for fault in spoiled.faults:
        begin, end = spoiled.time_s[fault.start - 1], spoiled.time_s[fault.stop - 1]
        there = (clean.time_s > begin) & (clean.time_s <= end)
        rows = slice(fault.start, fault.stop)
        same_clock = int(there.sum()) == fault.stop - fault.start
        if fault.kind in RHYTHM:
            assert not (same_clock and np.array_equal(clean.time_s[there], spoiled.time_s[rows]))
        else:
            assert same_clock
            assert not np.array_equal(clean.values[there], spoiled.values[rows])


@pytest.mark.parametrize(
    "recipe", [r for r in SAMPLE if r.family == "shared_causes"], ids=lambda recipe: recipe.name
)
def test_only_the_culprits_of_a_fault_change(recipe: Recipe) -> None:
    spoiled, clean = suite.build(recipe), suite.build(recipe, faults=False)
    for fault in spoiled.faults:
        rows = slice(fault.start, fault.stop)
        changed = (spoiled.values[rows] != clean.values[rows]).any(axis=0)
        assert tuple(np.flatnonzero(changed)) == fault.channels


def test_the_same_recipe_is_the_same_stream_and_another_is_not() -> None:
    one, two, other = (suite.build(suite.recipes("choose")[i]) for i in (0, 0, 1))
    np.testing.assert_array_equal(one.values, two.values)
    np.testing.assert_array_equal(one.time_s, two.time_s)
    assert one.faults == two.faults
    assert not np.array_equal(one.values, other.values)


def test_choose_and_confirm_have_no_parameter_in_common(
    everything: dict[str, list[LabelledStream]],
) -> None:
    drawn = {
        part: {value for one in streams for value in one.parameters.values()}
        for part, streams in everything.items()
    }
    assert all(len(values) > 500 for values in drawn.values())
    assert not drawn["choose"] & drawn["confirm"]


@pytest.mark.parametrize("seed", range(5))
def test_each_part_draws_from_cells_of_its_own(seed: int) -> None:
    cells = {}
    for part in suite.PARTS:
        draw = Parameters(np.random.default_rng(seed), part)
        cells[part] = {int(draw.between("x", 2, 5) / 3 * CELLS - 2 / 3 * CELLS) for _ in range(200)}
    assert not cells["choose"] & cells["confirm"]
    assert len(cells["choose"]) == len(cells["confirm"]) == CELLS // 2


def test_quiet_streams_and_harmless_changes_carry_no_label(
    everything: dict[str, list[LabelledStream]],
) -> None:
    for one in (one for streams in everything.values() for one in streams):
        assert one.label.any() == (not one.name.endswith("quiet"))
        for change in one.harmless:
            assert 0 <= change.start < change.stop <= len(one)
            assert one.quiet[change.start : change.stop].all()
            assert not one.label[change.start : change.stop].any()


def test_streams_are_finite_and_their_times_ascend(
    everything: dict[str, list[LabelledStream]],
) -> None:
    for one in (one for streams in everything.values() for one in streams):
        assert np.isfinite(one.values).all()
        assert (np.diff(one.time_s) > 0).all()
        assert all(0 < fault.start < fault.stop <= len(one) for fault in one.faults)
