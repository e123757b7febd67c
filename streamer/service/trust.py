"""Whose models may judge, and be learnt from."""

from __future__ import annotations

from pathlib import Path

from streamer import artifact
from streamer.artifact import Bundle
from streamer.config import Model
from streamer.signing import Trust, trust_of


def trust_for(model: Model) -> Trust:
    """Whose signatures count, a `check` for artifact.load. ConfigError names the key that is none."""
    return trust_of(model.keys, required=model.require_signature)


def trusted(directory: Path, trust: Trust) -> Bundle:
    """A bundle, verified. CorruptBundle or SchemaMismatch if it cannot be used, UntrustedBundle if it may not be."""
    # The starter bundle is part of the program: who could alter it could alter the check.
    return artifact.load(directory, None if directory == artifact.PRETRAINED else trust)
