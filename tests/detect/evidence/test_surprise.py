"""Surprise: the forecast error in units of the channel's own past error."""

from __future__ import annotations

import numpy as np
import pytest

from streamer.detect.evidence.surprise import Surprise
from streamer.event import F32
from streamer.settings import DetectSettings
from tests.detect.seen import f32, observation

ONE = np.zeros(1, np.int64)


def make(channels: int = 1, **chosen: object) -> Surprise:
    names = tuple(f"c{i}" for i in range(channels))
    of_stream = DetectSettings(channels=names, max_entities=1, **chosen)  # type: ignore[arg-type]
    return Surprise(of_stream, {})


def judge(
    surprise: Surprise, errors: np.ndarray, start: int = 0, *, learn: float = 1.0, base: float = 0.0
) -> F32:
    """Evidence (T,) of forecast errors (T, C); values are noise-free around a base."""
    found = []
    for t, error in enumerate(np.atleast_2d(errors.T).T.astype(np.float32)):
        forecast = np.full((1, len(error)), base, np.float32)
        found.append(
            surprise.fold(observation(ONE, start + t, forecast + error, forecast, learn=learn))[0][
                0
            ]
        )
    return np.array(found, np.float32)


def noise(seed: int, events: int, channels: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 1, (events, channels))


def test_an_error_counts_in_units_of_the_channels_own_error() -> None:
    """Twenty typical errors are strange for the precise channel, one typical error is not for the
    noisy one.
    """
    precise, noisy = make(), make()
    judge(precise, 0.05 * noise(0, 500))
    judge(noisy, noise(0, 500))
    assert judge(precise, np.array([[1.0]]), 500)[0] > 3
    assert judge(noisy, np.array([[1.0]]), 500)[0] < 1.5


def test_a_lasting_small_error_adds_up() -> None:
    surprise = make()
    judge(surprise, noise(1, 800))
    e = judge(surprise, noise(2, 40) + 3, 800)
    assert e[10:].max() > e[0] + 0.3


def test_the_band_holds_nearly_all_ordinary_errors_and_is_centred_on_the_forecast() -> None:
    surprise = make()
    errors = noise(3, 4000)
    judge(surprise, errors)
    low, high = surprise.band(ONE, f32(7.0)[None])
    assert (low[0, 0] + high[0, 0]) / 2 == pytest.approx(7, abs=1e-4)
    inside = (np.abs(noise(4, 4000)) <= high[0, 0] - 7).mean()
    assert 0.98 < inside <= 1


def test_a_fault_teaches_the_unit_little() -> None:
    quiet, faulty = make(), make()
    for surprise in (quiet, faulty):
        judge(surprise, noise(5, 800))
    judge(faulty, noise(6, 100) + 40, 800)
    before, after = (s.band(ONE, np.zeros((1, 1), np.float32))[1][0, 0] for s in (quiet, faulty))
    assert before <= after < 2 * before


def test_inside_an_open_incident_less_is_learnt() -> None:
    widths = []
    for learn in (1.0, 0.02):
        surprise = make()
        judge(surprise, noise(7, 500))
        judge(surprise, 1.6 * noise(8, 300), 500, learn=learn)
        widths.append(surprise.band(ONE, np.zeros((1, 1), np.float32))[1][0, 0])
    assert widths[1] < widths[0]


def test_a_flag_that_flips_weighs_less_than_a_measurement_that_jumps() -> None:
    rng = np.random.default_rng(9)
    flag, measured = make(2), make(2)
    calm = 0.1 * rng.normal(0, 1, (600, 2))
    with_flag = calm.copy()
    with_flag[:, 1] = 0
    with_flag[[100, 200], 1] = 1
    judge(flag, with_flag)
    judge(measured, calm)
    last = np.array([[0.0, 1.0]])
    assert judge(flag, last, 600)[0] < 0.5 * judge(measured, last, 600)[0]


def test_many_quiet_channels_do_not_make_an_alarm_and_one_loud_among_many_still_counts() -> None:
    surprise = make(30)
    judge(surprise, noise(10, 500, 30))
    quiet = judge(surprise, noise(11, 300, 30), 500)
    assert (quiet > 3).mean() < 0.02
    loud = np.zeros((12, 30))
    loud[:, 7] = 12
    assert judge(surprise, loud, 800).max() > 3


def test_a_constant_channel_that_is_forecast_exactly_is_never_strange() -> None:
    assert judge(make(), np.zeros((300, 1)), base=5.0).max() < 1


def test_the_first_error_of_a_constant_is_strange_in_units_of_its_size() -> None:
    surprise = make()
    judge(surprise, np.zeros((300, 1)), base=5.0)
    assert judge(surprise, np.array([[1.0]]), 300, base=5.0)[0] > 3
