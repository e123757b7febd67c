"""The model bundle: the format that models/ writes and streamer/ runs.

A bundle is a directory of plain data without code: manifest.json, weights.npz, step and replay
graphs of LiteRT (f32 and int8), golden.npz. It may also hold reports of the gate and of the
distillation, and a signature of the manifest. The manifest carries the SHA-256 of every part. Parts
are hashed before they are parsed, because a corrupt .tflite can crash the process or give wrong
scores.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from streamer.errors import CorruptBundle, ModelError, SchemaMismatch
from streamer.event import F32

FORMAT = "streamer.bundle/1"
MANIFEST, SIGNATURE, WEIGHTS = "manifest.json", "signature.json", "weights.npz"
# Reports about a model. The manifest hashes them, but they decide no score and are not part of the
# model's SHA-256.
REPORTS = ("distil.json", "gate.html", "gate.json")
# Meaning of the columns of the network's inputs (detect.network.features). A bundle whose columns
# have another meaning is refused, even with the same width.
SCHEMA = {
    "value": ["scaled value", "scaled step", "log step scale", "missing"],
    "rhythm": ["log gap", "its change", "sin hour", "cos hour", "sin weekday", "cos weekday"],
}
MAX_PART_BYTES = 256 * 2**20
MAX_MANIFEST_BYTES = 2**20
MAX_SPEC = 2**20  # bound of every number of a spec; a larger one is damage
MAX_LAYERS = 4
PRETRAINED = Path(__file__).resolve().parent.parent / "models" / "pretrained"
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_PART = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}")

# Directory of the bundle, bytes of the manifest, bytes of the signature if there is one. Raises if
# it refuses the bundle.
Check = Callable[[Path, bytes, bytes | None], None]


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """Shape of the network and of its memory, in events."""

    units: int = 32  # H of each encoder
    attention: int = 16  # A
    head: int = 32  # D
    value_features: int = 4  # F1
    rhythm_features: int = 6  # F2
    window: int = 64  # W: events replayed at every anchor
    stride: int = 128  # events for which an anchor holds
    scale_window: int = 128  # S: events from which an anchor measures the units
    k_min: int = 16  # first event that is judged; at most W
    layers: int = 1  # L of each encoder, 1..MAX_LAYERS; a manifest without it means 1

    @property
    def ring(self) -> int:
        """R: raw events kept per entity, enough to rebuild its state at any time."""
        return self.stride + max(self.window, self.scale_window)


@dataclass(frozen=True, slots=True)
class Bundle:
    """A verified bundle in memory.

    `parts` holds raw bytes by file name; `sha256` covers all that decides a score.
    """

    version: str
    sha256: str
    spec: ModelSpec
    weights: dict[str, F32]
    calibration: dict[str, Any]  # population prior of the profile, see detect.evidence.profile
    parts: dict[str, bytes]
    manifest: dict[str, Any] = field(default_factory=dict)
    sealed: bytes = b""  # bytes of the manifest as read; the signature covers them
    signature: bytes | None = None

    @property
    def files(self) -> dict[str, bytes]:
        """Every file of the bundle's directory, the manifest last."""
        signed = {} if self.signature is None else {SIGNATURE: self.signature}
        return self.parts | signed | {MANIFEST: self.sealed}


def digest(blob: bytes) -> str:
    return hashlib.sha256(blob).hexdigest()


def bundle_digest(
    hashes: Mapping[str, str], spec: Mapping[str, Any], calibration: Mapping[str, Any]
) -> str:
    """Hash all that decides a score: names and hashes of parts, spec, population prior."""
    deciding = {name: told for name, told in hashes.items() if name not in REPORTS}
    whole = {"parts": deciding, "spec": dict(spec), "calibration": dict(calibration)}
    return digest(json.dumps(whole, sort_keys=True).encode())


def arrays_digest(arrays: Mapping[str, Any]) -> str:
    """Hash named arrays with their types and shapes; `training.data_sha256` holds it for rows."""
    whole = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        whole.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        whole.update(array.tobytes())
    return whole.hexdigest()


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
    """Write a bundle and return its SHA-256.

    `parts` are the files beside weights.npz (name -> bytes). `training` records the origin of the
    model: parent, created_by, created_at, cause, rows, span, data_sha256, metrics.
    """
    blobs = dict(parts) | {WEIGHTS: pack_arrays(weights)}
    hashes = {name: digest(blob) for name, blob in blobs.items()}
    manifest = {
        "format": FORMAT,
        "version": checked_version(version),
        "sha256": bundle_digest(hashes, asdict(spec), calibration),
        "spec": asdict(spec),
        "schema": SCHEMA,
        "shapes": {name: list(np.shape(value)) for name, value in sorted(weights.items())},
        "calibration": dict(calibration),
        "training": dict(training),
        "parts": _listed(blobs),
    }
    directory.mkdir(parents=True, exist_ok=True)
    _write(directory, blobs, manifest)
    return str(manifest["sha256"])


def attach(
    directory: Path, reports: Mapping[str, bytes], training: Mapping[str, Any] | None = None
) -> Bundle:
    """Add REPORTS and facts about the training to a bundle.

    Its SHA-256 stays, an existing signature is removed. CorruptBundle or SchemaMismatch if the
    bundle cannot be used. ModelError for a name that is not in REPORTS.
    """
    strangers = sorted(set(reports) - set(REPORTS))
    if strangers:
        raise ModelError(f"{strangers[0]} is no report; a bundle may get {', '.join(REPORTS)}")
    manifest = load(directory).manifest
    manifest["training"] = {**manifest.get("training", {}), **(training or {})}
    manifest["parts"] = manifest["parts"] | _listed(reports)
    _write(directory, reports, manifest)
    return load(directory)


def load(directory: Path, check: Check | None = None) -> Bundle:
    """Read and verify a bundle.

    CorruptBundle if a part is missing or altered, SchemaMismatch if it has another format. `check`
    may refuse the manifest by its signature before any part is read (see signing.Trust).
    """
    sealed, signature = _sealed(directory), _signature(directory)
    manifest = _manifest(directory, sealed)
    if check is not None:
        check(directory, sealed, signature)
    parts = {
        name: _part(directory, name, entry["sha256"]) for name, entry in manifest["parts"].items()
    }
    hashes = {name: entry["sha256"] for name, entry in manifest["parts"].items()}
    if (
        bundle_digest(hashes, manifest["spec"], manifest.get("calibration", {}))
        != manifest["sha256"]
    ):
        raise CorruptBundle(
            f"{directory}/manifest.json: its sha256 does not match its list of parts; fetch the "
            f"bundle again"
        )
    weights = unpack_arrays(parts[WEIGHTS], directory)
    _check_shapes(directory, manifest, weights)
    return Bundle(
        manifest["version"],
        manifest["sha256"],
        _spec(directory, manifest["spec"]),
        weights,
        manifest.get("calibration", {}),
        parts,
        manifest,
        sealed,
        signature,
    )


def unpack(bundle: Bundle, directory: Path) -> Path:
    """Write every file of a bundle, as it was read, into a new directory; return the directory."""
    directory.mkdir(parents=True)
    for name, blob in bundle.files.items():
        (directory / name).write_bytes(blob)
    return directory


def read_manifest(directory: Path) -> dict[str, Any]:
    """Return the manifest of a bundle without reading its parts.

    CorruptBundle or SchemaMismatch, as in `load`.
    """
    return _manifest(directory, _sealed(directory))


def checked_version(version: object) -> str:
    """Return the version; ModelError if it cannot name a directory and a registry key."""
    if not isinstance(version, str) or not _VERSION.fullmatch(version):
        raise ModelError(
            f"{version!r} cannot be a version: write 1 to 100 letters, digits or ._-, a letter "
            f"first"
        )
    return version


def _listed(blobs: Mapping[str, bytes]) -> dict[str, dict[str, Any]]:
    return {
        name: {"sha256": digest(blobs[name]), "bytes": len(blobs[name])} for name in sorted(blobs)
    }


def _write(directory: Path, blobs: Mapping[str, bytes], manifest: Mapping[str, Any]) -> None:
    """Write parts, then the manifest: without a manifest the directory is no bundle."""
    for stale in (MANIFEST, SIGNATURE):
        (directory / stale).unlink(missing_ok=True)
    for name, blob in blobs.items():
        (directory / name).write_bytes(blob)
    unfinished = directory / f".{MANIFEST}"
    unfinished.write_text(json.dumps(manifest, indent=1, sort_keys=True) + "\n")
    unfinished.replace(directory / MANIFEST)


def _sealed(directory: Path) -> bytes:
    path = directory / MANIFEST
    try:
        return _bounded(path, MAX_MANIFEST_BYTES)
    except (FileNotFoundError, NotADirectoryError) as exc:
        raise CorruptBundle(f"{path}: not found; is {directory} a model bundle?") from exc
    except OSError as exc:
        raise CorruptBundle(f"{path}: cannot be read: {exc.strerror}; see its permissions") from exc


def _signature(directory: Path) -> bytes | None:
    path = directory / SIGNATURE
    try:
        return _bounded(path, MAX_MANIFEST_BYTES)
    except FileNotFoundError:
        return None
    except OSError as exc:
        raise CorruptBundle(f"{path}: cannot be read: {exc.strerror}; see its permissions") from exc


def _bounded(path: Path, most_bytes: int) -> bytes:
    with path.open("rb") as file:
        blob = file.read(most_bytes + 1)
    if len(blob) > most_bytes:
        raise CorruptBundle(f"{path}: larger than {most_bytes} bytes")
    return blob


def _manifest(directory: Path, sealed: bytes) -> dict[str, Any]:
    path = directory / MANIFEST
    try:
        manifest = json.loads(sealed)
    except (ValueError, RecursionError) as exc:
        raise CorruptBundle(f"{path}: cannot be read: {exc}; fetch the bundle again") from exc
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        got = manifest.get("format") if isinstance(manifest, dict) else type(manifest).__name__
        raise SchemaMismatch(
            f"{path}: format is {got!r}, this version reads {FORMAT!r}; {_cure(got)}"
        )
    missing = {"version", "sha256", "spec", "parts"} - manifest.keys()
    if missing:
        raise CorruptBundle(f"{path}: lacks {', '.join(sorted(missing))}")
    if manifest.get("schema", SCHEMA) != SCHEMA:
        raise SchemaMismatch(
            f"{path}: the network reads other columns than {SCHEMA}; train it with this version"
        )
    _check_types(path, manifest)
    return manifest


def _cure(found: object) -> str:
    """What to do about a bundle of another format."""
    family, _, number = str(found).partition("/")
    ours, _, newest = FORMAT.partition("/")
    if family == ours and number.isdecimal() and int(number) > int(newest):
        return "a newer streamer made it: upgrade this one"
    return "export the model again"


def _check_types(path: Path, manifest: Mapping[str, Any]) -> None:
    """CorruptBundle unless every value used later has the required type."""
    parts, spec = manifest["parts"], manifest["spec"]
    if (
        not isinstance(parts, dict)
        or not isinstance(spec, dict)
        or not isinstance(manifest.get("training", {}), dict)
    ):
        raise CorruptBundle(f"{path}: parts, spec and training must be mappings")
    if not isinstance(manifest.get("calibration", {}), dict) or not isinstance(
        manifest["sha256"], str
    ):
        raise CorruptBundle(f"{path}: calibration must be a mapping and sha256 text")
    if not isinstance(manifest["version"], str) or not _VERSION.fullmatch(manifest["version"]):
        raise CorruptBundle(f"{path}: {manifest['version']!r} cannot be a version")
    for name, entry in parts.items():
        if not _PART.fullmatch(name) or name in (MANIFEST, SIGNATURE):
            raise CorruptBundle(f"{path}: part name {name!r} is not a plain file name")
        if not isinstance(entry, dict) or not isinstance(entry.get("sha256"), str):
            raise CorruptBundle(f"{path}: part {name} has no sha256")
    if WEIGHTS not in parts:
        raise CorruptBundle(f"{path}: lacks {WEIGHTS}")


def _part(directory: Path, name: str, wanted: str) -> bytes:
    path = directory / name
    try:
        blob = _bounded(path, MAX_PART_BYTES)
    except OSError as exc:
        raise CorruptBundle(
            f"{path}: cannot be read: {exc.strerror}; fetch the bundle again"
        ) from exc
    if digest(blob) != wanted:
        raise CorruptBundle(
            f"{path}: SHA-256 is {digest(blob)[:12]}, the manifest says {wanted[:12]}"
        )
    return blob


def _spec(directory: Path, raw: Mapping[str, Any]) -> ModelSpec:
    try:
        spec = ModelSpec(**raw)
    except TypeError as exc:
        raise SchemaMismatch(
            f"{directory}/manifest.json: spec is not of this version: {exc}"
        ) from exc
    bounds = {"layers": (1, MAX_LAYERS), "k_min": (1, spec.window)}
    for name, value in asdict(spec).items():
        least, most = bounds.get(name, (0, MAX_SPEC))
        if type(value) is not int or not least <= value <= most:
            raise SchemaMismatch(f"{directory}/manifest.json: spec.{name} cannot be {value!r}")
    return spec


def _check_shapes(directory: Path, manifest: Mapping[str, Any], weights: Mapping[str, F32]) -> None:
    shapes = {name: list(value.shape) for name, value in weights.items()}
    if manifest.get("shapes", shapes) != shapes:
        raise CorruptBundle(
            f"{directory}/{WEIGHTS}: its shapes are not those of the manifest; fetch the bundle "
            f"again"
        )


def pack_arrays(arrays: Mapping[str, Any]) -> bytes:
    buffer = io.BytesIO()
    np.savez(
        buffer, allow_pickle=False, **{name: np.asarray(value) for name, value in arrays.items()}
    )
    return buffer.getvalue()


def unpack_arrays(blob: bytes, where: object = "bundle") -> dict[str, Any]:
    """Read the arrays of an npz; never unpickle, and never unpack more than MAX_PART_BYTES."""
    try:
        with zipfile.ZipFile(io.BytesIO(blob)) as archive:
            if sum(member.file_size for member in archive.infolist()) > MAX_PART_BYTES:
                raise CorruptBundle(
                    f"{where}: weights.npz unpacks to more than {MAX_PART_BYTES} bytes"
                )
        with np.load(io.BytesIO(blob), allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except (
        ValueError,
        OSError,
        KeyError,
        EOFError,
        zipfile.BadZipFile,
        NotImplementedError,
    ) as exc:
        raise CorruptBundle(f"{where}: weights.npz cannot be read: {exc}") from exc
