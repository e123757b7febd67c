"""Laws of the bundle: what was altered, is of another format, or would fill the memory is refused
before it is used.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from dataclasses import asdict
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streamer import artifact
from streamer.artifact import ModelSpec
from streamer.errors import CorruptBundle, ModelError, SchemaMismatch
from tests.bundles import a_bundle


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return a_bundle(tmp_path / "bundle")


def manifest(bundle: Path) -> dict[str, Any]:
    return dict(json.loads((bundle / "manifest.json").read_text()))


def rewritten(bundle: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    """A manifest that is changed and consistent: whoever forges one can hash it, too."""
    told = manifest(bundle)
    change(told)
    if isinstance(told.get("parts"), dict) and isinstance(told.get("spec"), dict):
        hashes = {
            name: entry["sha256"]
            for name, entry in told["parts"].items()
            if isinstance(entry, dict)
        }
        told["sha256"] = artifact.bundle_digest(hashes, told["spec"], told.get("calibration") or {})
    (bundle / "manifest.json").write_text(json.dumps(told))
    return bundle


def replaced(bundle: Path, name: str, blob: bytes) -> Path:
    (bundle / name).write_bytes(blob)
    return rewritten(bundle, lambda told: told["parts"][name].update(sha256=artifact.digest(blob)))


def test_what_is_saved_is_loaded(bundle: Path) -> None:
    found = artifact.load(bundle)
    assert found.manifest["shapes"] == {"kernel": [8, 3]}
    assert found.manifest["schema"] == artifact.SCHEMA
    assert found.manifest["training"]["rows"] == 20_000
    assert found.files.keys() == {path.name for path in bundle.iterdir()}
    assert all((bundle / name).read_bytes() == blob for name, blob in found.files.items())


def test_the_columns_are_as_many_as_the_network_reads() -> None:
    assert len(artifact.SCHEMA["value"]) == ModelSpec().value_features
    assert len(artifact.SCHEMA["rhythm"]) == ModelSpec().rhythm_features


def test_a_bundle_from_before_shapes_and_schema_is_still_read(bundle: Path) -> None:
    rewritten(bundle, lambda told: [told.pop(name) for name in ("shapes", "schema")])
    assert artifact.load(bundle).version == "v1"


def test_reports_are_hashed_and_leave_the_models_own_hash_alone(bundle: Path) -> None:
    before = artifact.load(bundle)
    after = artifact.attach(
        bundle, {"gate.json": b'{"passed": true}'}, {"metrics": {"recall": 0.9}}
    )
    assert after.sha256 == before.sha256
    assert after.manifest["training"] == before.manifest["training"] | {"metrics": {"recall": 0.9}}
    (bundle / "gate.json").write_bytes(b'{"passed": trve}')
    with pytest.raises(CorruptBundle, match=r"gate\.json: SHA-256 is"):
        artifact.load(bundle)


def test_a_signature_does_not_outlive_the_manifest_that_it_is_about(bundle: Path) -> None:
    (bundle / "signature.json").write_text("{}")
    assert artifact.attach(bundle, {"gate.html": b"<p>"}).signature is None


def test_only_reports_may_be_attached(bundle: Path) -> None:
    before = artifact.load(bundle).files
    with pytest.raises(ModelError, match=r"run\.py is no report"):
        artifact.attach(bundle, {"run.py": b"import os"})
    assert artifact.load(bundle).files == before


def _parts(told: dict[str, Any]) -> Any:
    return told["parts"]


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        (
            lambda told: told.update(format="streamer.bundle/7"),
            SchemaMismatch,
            "a newer streamer made it: upgrade",
        ),
        (lambda told: told.update(format="pickle"), SchemaMismatch, "export the model again"),
        (lambda told: told["spec"].update(colour=3), SchemaMismatch, "spec is not of this version"),
        (lambda told: told["spec"].update(units="32"), SchemaMismatch, "spec.units cannot be '32'"),
        (lambda told: told["spec"].update(units=True), SchemaMismatch, "spec.units cannot be True"),
        (lambda told: told["spec"].update(window=10**12), SchemaMismatch, "spec.window cannot be"),
        (lambda told: told["spec"].update(layers=0), SchemaMismatch, "spec.layers cannot be 0"),
        (lambda told: told["spec"].update(layers=5), SchemaMismatch, "spec.layers cannot be 5"),
        (lambda told: told["spec"].update(k_min=65), SchemaMismatch, "spec.k_min cannot be 65"),
        (
            lambda told: told["schema"].update(value=["a", "b", "c", "d"]),
            SchemaMismatch,
            "reads other columns",
        ),
        (
            lambda told: told["shapes"].update(kernel=[3, 8]),
            CorruptBundle,
            "its shapes are not those",
        ),
        (lambda told: told.pop("version"), CorruptBundle, "lacks version"),
        (lambda told: told.update(version="a/b"), CorruptBundle, "cannot be a version"),
        (lambda told: told.update(training=[]), CorruptBundle, "must be mappings"),
        (lambda told: told.update(calibration=[]), CorruptBundle, "calibration must be a mapping"),
        (lambda told: _parts(told).pop("weights.npz"), CorruptBundle, "lacks weights.npz"),
        (
            lambda told: _parts(told).update({"../x": {"sha256": "0"}}),
            CorruptBundle,
            "not a plain file name",
        ),
        (
            lambda told: _parts(told).update({"manifest.json": {"sha256": "0"}}),
            CorruptBundle,
            "not a plain file name",
        ),
        (lambda told: _parts(told).update({"a.bin": "0"}), CorruptBundle, "has no sha256"),
        (
            lambda told: _parts(told).update({"a.bin": {"sha256": "0"}}),
            CorruptBundle,
            "a.bin: cannot be read",
        ),
    ],
)
def test_a_manifest_that_is_not_as_it_must_be_is_refused(
    bundle: Path, change: Callable[[dict[str, Any]], object], error: type[Exception], says: str
) -> None:
    rewritten(bundle, change)
    with pytest.raises(error, match=says):
        artifact.load(bundle)


@pytest.mark.parametrize(
    "text", ["", "[]", "null", "{", "[" * 100_000, " " * (artifact.MAX_MANIFEST_BYTES + 1)]
)
def test_a_manifest_that_is_none_is_refused(bundle: Path, text: str) -> None:
    (bundle / "manifest.json").write_text(text)
    with pytest.raises((CorruptBundle, SchemaMismatch), match=r"manifest\.json"):
        artifact.load(bundle)


@pytest.mark.parametrize(
    "blob", [b"", b"PK", b"PK\x05\x06" + bytes(30), b"\x80\x04N.", b"\x93NUMPY"]
)
def test_weights_that_are_none_are_refused(bundle: Path, blob: bytes) -> None:
    replaced(bundle, "weights.npz", blob)
    with pytest.raises(CorruptBundle, match=r"weights\.npz"):
        artifact.load(bundle)


def test_weights_are_never_unpickled(bundle: Path) -> None:
    buffer = BytesIO()
    np.savez(buffer, kernel=np.array([print], dtype=object))
    replaced(bundle, "weights.npz", buffer.getvalue())
    with pytest.raises(CorruptBundle, match="pickle"):
        artifact.load(bundle)


def test_weights_that_would_fill_the_memory_are_refused(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(artifact, "MAX_PART_BYTES", 2**20)
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("kernel.npy", bytes(2**20 + 1))
    assert len(buffer.getvalue()) < 10_000
    replaced(bundle, "weights.npz", buffer.getvalue())
    with pytest.raises(CorruptBundle, match="unpacks to more than"):
        artifact.load(bundle)


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_flipped_bit_of_a_part_goes_unseen(bundle: Path, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(manifest(bundle)["parts"])))
    blob = (bundle / name).read_bytes()
    at = data.draw(st.integers(0, 8 * len(blob) - 1))
    altered = bytearray(blob)
    altered[at // 8] ^= 1 << at % 8
    (bundle / name).write_bytes(altered)
    try:
        with pytest.raises(CorruptBundle, match=name):
            artifact.load(bundle)
    finally:
        (bundle / name).write_bytes(blob)


@given(
    values=st.lists(st.integers(-5, 5), min_size=1, max_size=6),
    other=st.lists(st.integers(-5, 5), min_size=1, max_size=6),
)
def test_the_hash_of_rows_is_the_same_for_the_same_rows_only(
    values: list[int], other: list[int]
) -> None:
    def hashed(rows: list[int]) -> str:
        return artifact.arrays_digest(
            {"values": np.array(rows, np.float32), "time_s": np.arange(len(rows))}
        )

    assert (hashed(values) == hashed(other)) == (values == other)
    assert hashed(values) != artifact.arrays_digest({"values": np.array(values, np.float64)})


@pytest.mark.parametrize("version", ["", ".", "..", "a/b", "a b", "-x", "ä", "x" * 101, "a\n"])
def test_a_version_that_could_lead_away_is_not_saved(tmp_path: Path, version: str) -> None:
    with pytest.raises(ModelError, match="cannot be a version"):
        a_bundle(tmp_path / "b", version)
    assert not (tmp_path / "b" / "manifest.json").exists()


def test_a_bundle_from_before_there_were_layers_has_one(bundle: Path) -> None:
    old = artifact.load(rewritten(bundle, lambda told: told["spec"].pop("layers")))
    assert "layers" not in old.manifest["spec"]
    assert old.spec == ModelSpec(layers=1)


def test_a_spec_is_what_was_saved(bundle: Path) -> None:
    assert asdict(artifact.load(bundle).spec) == manifest(bundle)["spec"]
