"""Ed25519 signatures (RFC 8032) of manifests.

A manifest holds the hashes of all parts, so one signature covers them. The package `cryptography`
comes with the extra `sign`; it is needed only where keys are configured.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from streamer.errors import BackendError, ConfigError, ModelError, UntrustedBundle

FORMAT = "streamer.signature/1"
# signed before the manifest, because the key may also sign other things
CONTEXT = FORMAT.encode() + b"\n"
KEY_BYTES = 32


@dataclass(frozen=True, slots=True)
class Trust:
    """Which signatures count.

    Without keys no signature is checked. With keys every signature present must be of one of them.
    An instance is a `check` of artifact.load: UntrustedBundle if it refuses the bundle.
    """

    keys: tuple[bytes, ...] = ()  # raw public keys
    required: bool = False

    def __call__(self, where: Path, manifest: bytes, signature: bytes | None) -> None:
        if signature is None:
            if self.required:
                raise UntrustedBundle(
                    f"{where}: is not signed, and model.require_signature is set; sign it with: "
                    f"streamer model sign"
                )
        elif self.keys:
            self._verify(where, manifest, _told(where, signature))

    def _verify(self, where: Path, manifest: bytes, told: dict[str, bytes]) -> None:
        if told["key"] not in self.keys:
            raise UntrustedBundle(
                f"{where}: is signed by {shown(told['key'])}, which is not among model.keys; add "
                f"it if it may sign"
            )
        from cryptography.exceptions import InvalidSignature

        try:
            _ed25519().Ed25519PublicKey.from_public_bytes(told["key"]).verify(
                told["signature"], CONTEXT + manifest
            )
        except (InvalidSignature, ValueError) as exc:
            raise UntrustedBundle(
                f"{where}: its signature does not fit its manifest, which was altered; fetch it "
                f"again"
            ) from exc


ANYBODY = Trust()


def holds(where: Path, manifest: bytes, signature: bytes | None) -> None:
    """A `check` of artifact.load: a signature must fit its manifest by the key that it names,
    whosever that is.
    """
    if signature is not None:
        Trust((_told(where, signature)["key"],))(where, manifest, signature)


def trust_of(keys: Sequence[str], *, required: bool) -> Trust:
    """The trust set by model.keys and model.require_signature; ConfigError names an invalid key."""
    if keys:
        _ed25519()
    return Trust(tuple(_named_key(i, key) for i, key in enumerate(keys)), required)


def public_key(text: str) -> bytes:
    """Return the raw public key given as base64 or as the path of a PEM file.

    ValueError says what is wrong.
    """
    raw = _base64(text)
    if raw is not None and len(raw) == KEY_BYTES:
        return raw
    try:
        blob = Path(text).read_bytes()
    except OSError as exc:
        raise ValueError(
            f"is neither base64 of {KEY_BYTES} bytes nor a readable PEM file ({exc.strerror})"
        ) from None
    return _raw(_public_of(blob))


def sign(manifest: bytes, private: Path) -> bytes:
    """Return the contents of signature.json for a manifest.

    ModelError if the PEM file holds no Ed25519 private key.
    """
    key = _private(private)
    told = {"key": _raw(key.public_key()), "signature": key.sign(CONTEXT + manifest)}
    whole = {
        "format": FORMAT,
        **{name: base64.b64encode(value).decode() for name, value in told.items()},
    }
    return (json.dumps(whole, indent=1) + "\n").encode()


def generate(private: Path) -> str:
    """Write a new private key and return its public key as base64.

    The file is PEM, mode 0600, and never overwrites another.
    """
    from cryptography.hazmat.primitives import serialization

    key = _ed25519().Ed25519PrivateKey.generate()
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    try:
        handle = os.open(private, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as exc:
        raise ModelError(f"cannot write the key to {private}: {exc.strerror}") from exc
    with os.fdopen(handle, "wb") as file:
        file.write(pem)
    return base64.b64encode(_raw(key.public_key())).decode()


def signer(signature: bytes | None) -> str | None:
    """Return the public key named in a signature as base64; None without one. Not verified."""
    return None if signature is None else shown(_told(Path("signature.json"), signature)["key"])


def shown(key: bytes) -> str:
    return base64.b64encode(key).decode()


def _named_key(i: int, text: str) -> bytes:
    try:
        return public_key(text)
    except ValueError as exc:
        raise ConfigError(f"model.keys[{i}]", str(exc), text) from None


def _told(where: Path, signature: bytes) -> dict[str, bytes]:
    """The key and the signature stored in signature.json."""
    try:
        told = json.loads(signature)
        if told["format"] != FORMAT:
            raise UntrustedBundle(
                f"{where}: its signature is a {str(told['format'])[:60]!r}, this version reads "
                f"{FORMAT!r}; upgrade it"
            )
        return {name: base64.b64decode(told[name], validate=True) for name in ("key", "signature")}
    except (ValueError, TypeError, KeyError, RecursionError) as exc:
        raise UntrustedBundle(f"{where}: its signature.json cannot be read; sign it again") from exc


def _base64(text: str) -> bytes | None:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None


def _public_of(pem: bytes) -> Any:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        key = load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm) as exc:
        raise ValueError("holds no public key in PEM form") from exc
    if not isinstance(key, _ed25519().Ed25519PublicKey):
        raise ValueError("is no Ed25519 key")
    return key


def _private(path: Path) -> Any:
    ed25519 = _ed25519()
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except OSError as exc:
        raise ModelError(f"cannot read the key {path}: {exc.strerror}") from exc
    except (ValueError, TypeError, UnsupportedAlgorithm) as exc:
        raise ModelError(
            f"{path} holds no unencrypted private key in PEM form; streamer model keygen makes one"
        ) from exc
    if not isinstance(key, ed25519.Ed25519PrivateKey):
        raise ModelError(f"{path} holds no Ed25519 key; streamer model keygen makes one")
    return key


def _raw(key: Any) -> bytes:
    raw: bytes = key.public_bytes_raw()
    return raw


def _ed25519() -> Any:
    try:
        from cryptography.hazmat.primitives.asymmetric import ed25519
    except ImportError as exc:
        raise BackendError(
            "signatures need the package cryptography: pip install 'streamer[sign]'"
        ) from exc
    return ed25519
