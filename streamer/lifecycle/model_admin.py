"""Requests of operators about the models of a running service: list, promote, roll back, shadow."""

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
    """Any thread may call it.

    Changes are written to the registry, so that every replica follows, and each is audited.
    """

    def __init__(self, registry: Registry | None, state: ModelState, trust: Trust) -> None:
        self._registry, self._state, self._trust = registry, state, trust

    def listing(self) -> dict[str, Any]:
        """Return the model that judges, the shadow report, and the registry's content.

        StoreError if the registry cannot be read.
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
        """Promote the version of the body, else the challenger."""
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
        """Promote the previous version again; the returned version is null for the starter."""
        wish = _wish(body)
        version = promotion.rollback(self._open(), wish.why or "by request", check=self._trust)
        return self._done("model_rollback", version, wish)

    def shadow(self, body: bytes) -> dict[str, Any]:
        """Make a version the challenger; null removes the challenger."""
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
    """Read the body of a request; InputError if it is invalid."""
    try:
        return msgspec.json.decode(body, type=Wish) if body.strip() else Wish()
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise InputError(
            f'the body must be JSON like {{"version": "v7", "why": "..."}}: {exc}'
        ) from exc
