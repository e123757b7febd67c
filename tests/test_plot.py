"""What a plot promises: no spike is lost, the involved channels are shown, every alert keeps its
number.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from streamer.errors import SinkError
from streamer.event import Alert, Fate, ModelRef, WindowSlice
from streamer.offline.plot import draw
from streamer.offline.plot_data import (
    MAX_PANELS,
    Picture,
    alert_rows,
    bucket_edges,
    envelope,
    group_mean,
    involved_channels,
)
from streamer.offline.score import Track

finite = st.floats(-1e6, 1e6, width=32)


def track(
    n: int = 300, channels: int = 2, blamed: int = 0, fired: tuple[int, ...] = (200,)
) -> Track:
    rng = np.random.default_rng(1)
    values = rng.standard_normal((n, channels)).astype(np.float32)
    parts = np.full((n, channels + 1), 0.01, np.float32)
    parts[:, blamed] = 1
    alarm = np.zeros(n, np.float32)
    alarm[list(fired)] = 1.4
    fate = np.where(np.arange(n) < 16, Fate.WARMING, Fate.SCORED).astype(np.uint8)
    names = tuple(f"c{i}" for i in range(channels))
    time_s = 1.7e9 + 60.0 * np.arange(n, dtype=np.float64)
    return Track(
        "pump",
        names,
        np.arange(n),
        time_s,
        values,
        values * 0,
        values * 0 - 2,
        values * 0 + 2,
        parts.sum(axis=1),
        alarm,
        parts,
        fate,
    )


def alert(row: int, summary: str = "c0 is high") -> Alert:
    when = "2023-11-14T22:13:20Z"
    window = WindowSlice(when, when, 1, "s", 0, row, row, [[0.0]])
    return Alert(
        "id",
        "s:pump",
        "opened",
        "open",
        "warning",
        "s",
        "pump",
        {},
        when,
        when,
        None,
        summary,
        1.4,
        1e-3,
        1.0,
        [],
        None,
        [],
        [],
        window,
        ModelRef("v", "b", ""),
    )


@given(arrays(np.float32, st.integers(1, 400), elements=finite))
def test_no_spike_is_lost_when_rows_are_more_than_pixels(y: np.ndarray) -> None:
    x = np.arange(len(y), dtype=float)
    _, drawn = envelope(x, y, bucket_edges(x, columns=20))
    assert drawn.min() == y.min()
    assert drawn.max() == y.max()


def test_a_group_without_values_is_a_gap() -> None:
    y = np.array([np.nan, np.nan, 1, 3], np.float32)
    edges = np.array([0, 2])
    assert np.array_equal(group_mean(y, edges), [np.nan, 2], equal_nan=True)
    _, drawn = envelope(np.arange(4.0), y, edges)
    assert np.array_equal(drawn, [np.nan, np.nan, 1, 3], equal_nan=True)


def test_few_channels_are_all_shown_and_many_by_their_share_of_the_alarms() -> None:
    assert involved_channels(track(channels=3)) == [0, 1, 2]
    shown = involved_channels(track(channels=38, blamed=30))
    assert len(shown) == MAX_PANELS
    assert 30 in shown
    assert shown == sorted(shown)


def test_an_alert_stands_at_the_row_that_raised_it() -> None:
    assert alert_rows(track(), [alert(200), alert(10_000)]) == [200, 299]


@pytest.mark.parametrize("by_time", [True, False])
@pytest.mark.parametrize("channels", [1, 8, 38])
def test_a_picture_is_drawn_at_1600_by_900(tmp_path: Path, channels: int, by_time: bool) -> None:
    from PIL import Image

    picture = Picture(
        "a title", track(channels=channels), (alert(200),), by_time, ((20.0, 40.0),), "300 rows"
    )
    draw(picture, tmp_path / "plot.png")
    with Image.open(tmp_path / "plot.png") as image:
        assert image.size == (1600, 900)
        assert len(image.convert("L").getcolors() or [0] * 99) > 20


def hostile() -> list[Track]:
    empty, constant, missing = track(0, fired=()), track(fired=()), track(fired=())
    constant.values[:] = 5
    missing.values[:] = np.nan
    missing.low[:] = missing.high[:] = missing.expected[:] = np.nan
    return [empty, constant, missing, track(1, fired=())]


@pytest.mark.parametrize("one", hostile(), ids=["no rows", "constant", "all missing", "one row"])
def test_any_track_can_be_drawn(tmp_path: Path, one: Track) -> None:
    draw(Picture("$x_1^{ [not markup]", one, (), True), tmp_path / "plot.png")
    assert (tmp_path / "plot.png").stat().st_size > 5000


def test_names_and_sentences_from_outside_are_text_not_formulas(tmp_path: Path) -> None:
    one = track(20, fired=(10,))
    odd = Track(
        "pump",
        ("$\\frac", "a\nb\x1b[31m"),
        *(getattr(one, name) for name in list(Track.__slots__)[2:]),
    )
    draw(
        Picture("$\\bad{", odd, (alert(10, "$\\sqrt{ \x1b[2J"),), True, (), "$_$"),
        tmp_path / "plot.png",
    )


def test_a_plot_that_cannot_be_written_says_where(tmp_path: Path) -> None:
    with pytest.raises(SinkError, match=r"nowhere.plot\.png: the plot cannot be written"):
        draw(Picture("t", track(20, fired=()), ()), tmp_path / "nowhere" / "plot.png")
