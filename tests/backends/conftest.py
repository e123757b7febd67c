"""The starter, and a network of two layers of random weights, exported once: backends must agree
whatever they are.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from streamer import artifact
from streamer.artifact import Bundle, ModelSpec


@pytest.fixture(scope="session")
def starter() -> Bundle:
    return artifact.load(artifact.PRETRAINED)


@pytest.fixture(scope="session")
def deep(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    from models import export

    spec, rng = ModelSpec(units=8, attention=4, head=8, layers=2), np.random.default_rng(0)
    weights = {
        n: rng.normal(0, 0.4, shape).astype(np.float32)
        for n, shape in export.expected_shapes(spec).items()
    }
    directory, f32 = tmp_path_factory.mktemp("deep") / "bundle", ("f32",)
    return export.write_bundle(
        directory,
        version="deep",
        spec=spec,
        weights=weights,
        training={},
        precisions=f32,
        prove=("litert", "keras"),
    )


@pytest.fixture(scope="session")
def bundle_dir() -> Path:
    return artifact.PRETRAINED
