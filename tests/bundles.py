"""Small bundles for tests that look at files, not at scores."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from streamer import artifact
from streamer.artifact import ModelSpec


def a_bundle(
    directory: Path,
    version: str = "v1",
    *,
    seed: int = 0,
    size: int = 8,
    training: Mapping[str, Any] | None = None,
) -> Path:
    """A whole bundle whose weights are noise of `seed`: no network, but every promise
    of a bundle.
    """
    noise = np.random.default_rng(seed).normal(size=(size, 3)).astype(np.float32)
    told = {
        "parent": "v0",
        "created_by": "tests",
        "cause": "schedule",
        "rows": 20_000,
        "span": [0.0, 3600.0],
    }
    artifact.save(
        directory,
        version=version,
        spec=ModelSpec(),
        weights={"kernel": noise},
        calibration={"seed": seed},
        parts={
            "step_f32.tflite": noise.tobytes(),
            "golden.npz": artifact.pack_arrays({"x": noise}),
        },
        training=told | dict(training or {}),
    )
    return directory


def sha256(directory: Path) -> str:
    return artifact.load(directory).sha256
