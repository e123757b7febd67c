"""What operators ask of the models of a running service: which there are, and that one shall judge,
or go.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Annotated, Any

import msgspec
import structlog

from streamer.errors import InputError, ModelError
from streamer.lifecycle import promotion
from streamer.protocols import Registry
from streamer.runtime.model import ModelState
from streamer.signing import Trust

log = structlog.get_logger()

MOVES = 20
Short = Annotated[str, msgspec.Meta(max_length=200)]


class Wish(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The body of a request."""

    version: Short | None = None
    why: Short = ""


class ModelAdmin:
    """Any thread may ask. Changes go through the registry, so that every replica follows; each is
    audited.
    """

    def __init__(self, registry: Registry | None, state: ModelState, trust: Trust) -> None:
        self._registry, self._state, self._trust = registry, state, trust

    def listing(self) -> dict[str, Any]:
        """What judges, what tries out, and what the registry holds. StoreError if it cannot be
        read.
        """
        state, registry = self._state, self._registry
        held: Mapping[str, Any] = {"aliases": {}, "versions": [], "moves": []}
        if registry is not None:
            moves = [
                asdict(move) | {"changes": dict(move.changes)}
                for move in list(registry.moves())[-MOVES:]
            ]
            held = {
                "aliases": dict(registry.aliases()),
                "versions": list(registry.versions()),
                "moves": moves,
            }
        judging = asdict(state.ref) | {"role": state.role, "trained_s": state.trained_s}
        report = None if state.report is None else state.report.summary()
        return {
            "schema": "streamer.models/1",
            "judging": judging,
            "trouble": state.problem,
            "shadow": report,
            **held,
        }

    def promote(self, body: bytes) -> dict[str, Any]:
        """Let a version judge: that of the body, else the challenger."""
        registry, wish = self._open(), _wish(body)
        version = wish.version or registry.aliases().get("challenger")
        if version is None:
            raise InputError('say which: {"version": ...}; nothing is the challenger now')
        if not promotion.promote(registry, version, wish.why or "by request", check=self._trust):
            raise ModelError(
                "somebody else moved the champion just now; look at /api/v1/models, and decide "
                "again"
            )
        return self._done("model_promote", version, wish)

    def rollback(self, body: bytes) -> dict[str, Any]:
        """Let the version before judge again; the version is null where that is the starter."""
        wish = _wish(body)
        version = promotion.rollback(self._open(), wish.why or "by request", check=self._trust)
        return self._done("model_rollback", version, wish)

    def shadow(self, body: bytes) -> dict[str, Any]:
        """Let a version judge along silently; none ends it."""
        wish = _wish(body)
        promotion.shadow(self._open(), wish.version, wish.why or "by request", check=self._trust)
        return self._done("model_shadow", wish.version, wish)

    def _open(self) -> Registry:
        if self._registry is None:
            raise InputError("there is no registry to move in; set model.registry and restart")
        return self._registry

    def _done(self, action: str, version: str | None, wish: Wish) -> dict[str, Any]:
        log.info("audit", action=action, model=version, why=wish.why)
        return {
            "schema": "streamer.move/1",
            "version": version,
            "aliases": dict(self._open().aliases()),
        }


def _wish(body: bytes) -> Wish:
    """InputError if it is none."""
    try:
        return msgspec.json.decode(body, type=Wish) if body.strip() else Wish()
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise InputError(
            f'the body must be JSON like {{"version": "v7", "why": "..."}}: {exc}'
        ) from exc
