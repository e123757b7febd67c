"""The population prior: measured through the pipeline, part of the bundle's hash."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from models import calibrate
from streamer import artifact
from streamer.errors import CorruptBundle


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bundle")
    calibrate.calibrated(artifact.load(artifact.PRETRAINED), folder)
    return folder


def test_the_starter_carries_the_prior_that_its_network_has(bundle: Path) -> None:
    shipped, measured = (
        artifact.load(artifact.PRETRAINED).calibration,
        artifact.load(bundle).calibration,
    )
    for name in ("channel", "product"):
        assert measured["surprise"][name] == pytest.approx(shipped["surprise"][name], abs=0.03)
    for ours, theirs in zip(measured["rhythm"]["runs"], shipped["rhythm"]["runs"], strict=True):
        assert ours == pytest.approx(theirs, abs=0.03)


def test_a_prior_is_a_quantile_and_an_excess_of_every_tail(bundle: Path) -> None:
    prior = artifact.load(bundle).calibration
    pairs = [*prior["surprise"].values(), *prior["rhythm"]["runs"]]
    assert len(pairs) == 5
    assert all(-1 < log_q < 3 and 0.02 <= excess < 2 for log_q, excess in pairs)


@pytest.mark.parametrize("section", ["calibration", "spec"])
def test_an_altered_prior_or_shape_is_refused(bundle: Path, tmp_path: Path, section: str) -> None:
    for part in bundle.iterdir():
        (tmp_path / part.name).write_bytes(part.read_bytes())
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    manifest[section]["k_min"] = 4
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(CorruptBundle, match="sha256"):
        artifact.load(tmp_path)
