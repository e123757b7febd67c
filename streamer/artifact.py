"""The model bundle: the contract between models/ (which writes it) and streamer/ (which runs it).

A bundle is a directory of plain data, no code: manifest.json, weights.npz, step_f32.tflite, step_int8.tflite,
golden.npz. The manifest carries the SHA-256 of every part; parts are hashed before they are parsed, because a
corrupt .tflite can crash the process or give silently wrong scores.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from streamer.errors import CorruptBundle, SchemaMismatch
from streamer.event import F32

FORMAT = "streamer.bundle/1"
MAX_PART_BYTES = 256 * 2**20
PRETRAINED = Path(__file__).resolve().parent.parent / "models" / "pretrained"


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """Shape of the network and of its memory, in events."""

    units: int = 32  # H of each encoder
    attention: int = 16  # A
    head: int = 32  # D
    value_features: int = 4  # F1
    rhythm_features: int = 6  # F2
    window: int = 64  # W: replayed at every anchor
    stride: int = 128  # an anchor holds for so many events
    scale_window: int = 128  # S: events that an anchor measures
    k_min: int = 16  # first event that is judged

    @property
    def ring(self) -> int:
        """R: raw events an entity must remember so that its state can be rebuilt at any moment."""
        return self.stride + max(self.window, self.scale_window)


@dataclass(frozen=True, slots=True)
class Bundle:
    """A verified bundle in memory: `parts` are raw bytes by file name, `sha256` hashes the manifest's part list."""

    version: str
    sha256: str
    spec: ModelSpec
    weights: dict[str, F32]
    calibration: dict[str, Any]  # population prior of the profile, see detect.calibrate
    parts: dict[str, bytes]
    manifest: dict[str, Any] = field(default_factory=dict)


def digest(blob: bytes) -> str:
    return hashlib.sha256(blob).hexdigest()


def bundle_digest(hashes: Mapping[str, str], spec: Mapping[str, Any], calibration: Mapping[str, Any]) -> str:
    """One hash for all that decides a score: names and hashes of the parts, the spec, the population prior."""
    whole = {"parts": dict(hashes), "spec": dict(spec), "calibration": dict(calibration)}
    return digest(json.dumps(whole, sort_keys=True).encode())


def save(
    directory: Path,
    *,
    version: str,
    spec: ModelSpec,
    weights: Mapping[str, F32],
    calibration: Mapping[str, Any],
    parts: Mapping[str, bytes],
    training: Mapping[str, Any],
) -> str:
    """Write a bundle; return its SHA-256. `parts` are the files beside weights.npz (name -> bytes)."""
    blobs = dict(parts) | {"weights.npz": pack_arrays(weights)}
    hashes = {name: digest(blob) for name, blob in blobs.items()}
    manifest = {
        "format": FORMAT,
        "version": version,
        "sha256": bundle_digest(hashes, asdict(spec), calibration),
        "spec": asdict(spec),
        "calibration": dict(calibration),
        "training": dict(training),
        "parts": {name: {"sha256": hashes[name], "bytes": len(blobs[name])} for name in sorted(blobs)},
    }
    directory.mkdir(parents=True, exist_ok=True)
    for name, blob in blobs.items():
        (directory / name).write_bytes(blob)
    (directory / "manifest.json").write_text(json.dumps(manifest, indent=1, sort_keys=True) + "\n")
    return str(manifest["sha256"])


def load(directory: Path) -> Bundle:
    """Read and verify a bundle. CorruptBundle if a part is missing or altered, SchemaMismatch if of another format."""
    manifest = _manifest(directory)
    parts = {name: _part(directory, name, entry) for name, entry in manifest["parts"].items()}
    hashes = {name: entry["sha256"] for name, entry in manifest["parts"].items()}
    if bundle_digest(hashes, manifest["spec"], manifest.get("calibration", {})) != manifest["sha256"]:
        raise CorruptBundle(
            f"{directory}/manifest.json: its sha256 does not match its list of parts; fetch the bundle again"
        )
    spec = _spec(directory, manifest["spec"])
    weights = unpack_arrays(parts["weights.npz"], directory)
    return Bundle(
        manifest["version"], manifest["sha256"], spec, weights, manifest.get("calibration", {}), parts, manifest
    )


def _manifest(directory: Path) -> dict[str, Any]:
    path = directory / "manifest.json"
    try:
        manifest = json.loads(path.read_text())
    except FileNotFoundError as exc:
        raise CorruptBundle(f"{path}: not found; is {directory} a model bundle?") from exc
    except (OSError, ValueError) as exc:
        raise CorruptBundle(f"{path}: cannot be read: {exc}") from exc
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        got = manifest.get("format") if isinstance(manifest, dict) else type(manifest).__name__
        raise SchemaMismatch(f"{path}: format is {got!r}, this version reads {FORMAT!r}; export the model again")
    missing = {"version", "sha256", "spec", "parts"} - manifest.keys()
    if missing or "weights.npz" not in manifest["parts"]:
        raise CorruptBundle(f"{path}: lacks {', '.join(sorted(missing)) or 'weights.npz'}")
    return manifest


def _part(directory: Path, name: str, entry: Mapping[str, Any]) -> bytes:
    if "/" in name or "\\" in name or name.startswith("."):
        raise CorruptBundle(f"{directory}/manifest.json: part name {name!r} is not a plain file name")
    path = directory / name
    try:
        if path.stat().st_size > MAX_PART_BYTES:
            raise CorruptBundle(f"{path}: larger than {MAX_PART_BYTES} bytes")
        blob = path.read_bytes()
    except OSError as exc:
        raise CorruptBundle(f"{path}: cannot be read: {exc}") from exc
    if digest(blob) != entry.get("sha256"):
        raise CorruptBundle(
            f"{path}: SHA-256 is {digest(blob)[:12]}, the manifest says {str(entry.get('sha256'))[:12]}"
        )
    return blob


def _spec(directory: Path, raw: Mapping[str, Any]) -> ModelSpec:
    try:
        return ModelSpec(**raw)
    except TypeError as exc:
        raise SchemaMismatch(f"{directory}/manifest.json: spec is not of this version: {exc}") from exc


def pack_arrays(arrays: Mapping[str, Any]) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **{name: np.asarray(value) for name, value in arrays.items()})
    return buffer.getvalue()


def unpack_arrays(blob: bytes, where: object = "bundle") -> dict[str, Any]:
    """Arrays of an npz; never unpickles."""
    try:
        with np.load(io.BytesIO(blob), allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except (ValueError, OSError, KeyError) as exc:
        raise CorruptBundle(f"{where}: weights.npz cannot be read: {exc}") from exc
