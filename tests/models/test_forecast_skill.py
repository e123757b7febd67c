"""Forecasts beside their peers: the peers are honest, and the starter holds their level on streams
it never saw.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from models import forecast_skill, pretrain, synth
from streamer import artifact
from streamer.artifact import Bundle
from streamer.backends import baseline_scorer, open_scorer
from streamer.event import F32, F64

DATA = Path(__file__).parents[2].parent / "shared" / "data"


@pytest.fixture(scope="module")
def starter() -> Bundle:
    return artifact.load(artifact.PRETRAINED)


def noisy_wave(rows: int, seed: int) -> F32:
    rng = np.random.default_rng(seed)
    t = np.arange(rows)[:, None] + rng.uniform(0, 40, (1, 3))
    return (np.sin(t / np.array([2.0, 5.0, 11.0])) + 0.1 * rng.standard_normal((rows, 3))).astype(
        np.float32
    )


def test_the_peer_recovers_an_autoregression() -> None:
    rng = np.random.default_rng(0)
    noise, v = rng.standard_normal(4000), np.zeros(4000)
    for t in range(2, 4000):
        v[t] = 1.5 * v[t - 1] - 0.7 * v[t - 2] + noise[t]
    series = v[:, None].astype(np.float32)
    error = forecast_skill.ar_forecast(series[:2000], series[2000:])[3:, 0] - series[2003:, 0]
    assert float(np.std(error)) == pytest.approx(1.0, abs=0.08)


def test_a_missing_value_is_read_as_the_one_before() -> None:
    values = np.array([[1.0], [np.nan], [np.nan], [4.0]], np.float32)
    np.testing.assert_array_equal(forecast_skill.filled(values), [[1], [1], [1], [4]])


def test_the_starter_beats_persistence_on_waves_it_never_saw(starter: Bundle) -> None:
    errors = forecast_skill.compare(
        open_scorer(starter, "numpy"),
        starter.spec,
        noisy_wave(600, 0),
        noisy_wave(900, 1),
        np.arange(900.0),
    )
    assert (errors.ratio("persistence") < 1).all()
    # A noiseless law with a short period is what a fitted regression does best.
    assert (errors.ratio() < 1.5).all()


def test_errors_do_not_depend_on_the_unit_of_a_channel(starter: Bundle) -> None:
    train, test = noisy_wave(600, 0), noisy_wave(600, 1)
    scorer = open_scorer(starter, "numpy")
    plain = forecast_skill.compare(scorer, starter.spec, train, test)
    scaled = forecast_skill.compare(scorer, starter.spec, train * 512, test * 512)
    np.testing.assert_allclose(scaled.network, plain.network * 512, rtol=1e-3)


def test_too_few_rows_are_refused_with_the_number_needed(starter: Bundle) -> None:
    with pytest.raises(ValueError, match="255 rows are too few to judge: a window takes 256"):
        forecast_skill.compare(
            baseline_scorer(starter.spec), starter.spec, noisy_wave(300, 0), noisy_wave(255, 1)
        )


def test_synthetic_epochs_differ_and_their_validation_does_not() -> None:
    data = pretrain.SyntheticSet(seed=3)
    one, two = (next(iter(data.validation()))["x"] for _ in range(2))
    np.testing.assert_array_equal(one, two)
    rng = np.random.default_rng(0)
    first, second = (next(iter(data.epoch(rng, 256)))["x"] for _ in range(2))
    assert first.shape != second.shape or not np.array_equal(first, second)


def test_young_and_grown_entities_are_both_learnt() -> None:
    steps = {batch["x"].shape[1] for batch in pretrain.SyntheticSet().validation()}
    assert steps == {32, 64, 192}


def test_the_starter_forecasts_synthetic_kinds_like_a_fitted_autoregression(
    starter: Bundle,
) -> None:
    rng = np.random.default_rng(99)
    time_s = synth.rhythms(rng, 32, 1024)
    values = synth.channel_values(rng, time_s).T.astype(np.float32)
    errors = forecast_skill.compare(
        open_scorer(starter, "numpy"), starter.spec, values[:512], values[512:]
    )
    assert float(np.nanmedian(errors.ratio())) < 1.05


@pytest.mark.skipif(not DATA.is_dir(), reason=f"no development data at {DATA}")
def test_the_starter_forecasts_servers_better_than_an_autoregression_fitted_to_each(
    starter: Bundle,
) -> None:
    ratios = []
    for path in sorted((DATA / "asd").glob("*.npz"))[:3]:
        with np.load(path) as z:
            train, test = z["train"], np.ascontiguousarray(z["test"])
        clock: F64 = np.arange(len(test), dtype=np.float64) * 300
        ratios.append(
            forecast_skill.compare(open_scorer(starter), starter.spec, train, test, clock).ratio()
        )
    found = np.concatenate(ratios)
    found = found[~np.isnan(found)]
    assert float(np.median(found)) < 0.9
    assert float(np.mean(found <= 1)) > 0.7
