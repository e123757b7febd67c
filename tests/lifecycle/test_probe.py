"""A model is probed in a child process before it may judge."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from streamer import artifact
from streamer.errors import BackendError, ModelError
from streamer.lifecycle.probe import probe


def test_the_starter_passes_its_probe_on_every_backend_here() -> None:
    for backend in ("numpy", "litert", "litert-int8"):
        probe(artifact.PRETRAINED, backend, timeout_s=60)


def test_a_bundle_that_kills_its_process_kills_only_the_probe(tmp_path: Path) -> None:
    """A .tflite of the right hash whose bytes are none: whatever it does to its
    process, we go on.
    """
    made = artifact.load(artifact.PRETRAINED)
    rng = np.random.default_rng(0)
    parts = {
        name: blob
        for name, blob in made.parts.items()
        if name not in ("weights.npz", "manifest.json")
    }
    broken = bytearray(parts["step_f32.tflite"])
    for at in rng.integers(64, len(broken), 4000).tolist():
        broken[at] = 255
    parts["step_f32.tflite"] = bytes(broken)
    artifact.save(
        tmp_path / "b",
        version="b",
        spec=made.spec,
        weights=made.weights,
        calibration=made.calibration,
        parts=parts,
        training={},
    )
    with pytest.raises(ModelError, match="failed its probe"):
        probe(tmp_path / "b", "litert", timeout_s=60)


def test_a_probe_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    with pytest.raises(BackendError, match="its limit"):
        probe(artifact.PRETRAINED, "numpy", timeout_s=0.0)
