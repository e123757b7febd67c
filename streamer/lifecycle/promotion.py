"""Which version judges: moved in one step, and undone in one (the rules: promotion_rules)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from streamer import artifact
from streamer.artifact import PRETRAINED, Bundle, Check
from streamer.errors import GateRefused, ModelError
from streamer.lifecycle.promotion_rules import (
    EDGE,
    TO_STARTER,
    aliases_after_promotion,
    aliases_after_rollback,
    gate_of,
)
from streamer.protocols import Registry
from streamer.timefmt import seconds


def promote(
    registry: Registry,
    version: str,
    why: str,
    *,
    over: Mapping[str, str] | None = None,
    check: Check | None = None,
) -> bool:
    """Let a version judge: it becomes champion, the champion before it previous, and a challenger
    no longer.

    The alias edge goes to its twin, if there is one. `over` are the aliases by which it was
    decided, those of now by default. True also if it is champion already; False, and nothing has
    changed, if somebody moved the champion since. ModelError if the version cannot be used or
    `check` refuses it, GateRefused if its own report says that the gate did.
    """
    aliases, there = registry.aliases() if over is None else over, registry.versions()
    refuse_refused(verified(registry, version, check))
    twin = f"{version}{EDGE}"
    if twin in there:
        verified(registry, twin, check)
    changes = aliases_after_promotion(aliases, version, there)
    return registry.move(changes, expected={"champion": aliases.get("champion")}, why=why)


def rollback(
    registry: Registry,
    why: str,
    *,
    over: Mapping[str, str] | None = None,
    check: Check | None = None,
) -> str | None:
    """Let the model before judge again; return its version, None for the starter. Nothing is
    previous then, so that twice is not back again.

    `over` are the aliases by which it was decided, those of now by default. ModelError, and nothing
    has changed, if there is none to go back to, it cannot be used, or the champion moved since.
    """
    aliases = registry.aliases() if over is None else over
    champion, previous = aliases.get("champion"), aliases.get("previous")
    if previous is None and not is_first(registry, champion):
        raise ModelError(
            "there is no previous model to go back to; streamer model promote VERSION chooses one"
        )
    if previous is not None:
        verified(registry, previous, check)
        changes = aliases_after_rollback(aliases, previous, registry.versions())
    else:
        changes = dict(TO_STARTER)
    expected = {"champion": champion, "previous": previous}
    if not registry.move(changes, expected=expected, why=why):
        raise ModelError(
            "somebody else moved the champion just now; look at streamer model list, and decide "
            "again"
        )
    return previous


def is_first(registry: Registry, champion: str | None) -> bool:
    """Whether the starter judged before this champion, by the audit trail."""
    judged = (m.changes["champion"] for m in reversed(registry.moves()) if "champion" in m.changes)
    before = next((version for version in judged if version != champion), None)
    return champion is not None and before is None


def shadow(
    registry: Registry, version: str | None, why: str, *, check: Check | None = None
) -> None:
    """Let a version be the challenger (None: nobody), which scores silently. ModelError,
    GateRefused as `promote`.
    """
    if version is not None:
        refuse_refused(verified(registry, version, check))
        if registry.aliases().get("champion") == version:
            raise ModelError(f"{version} is the champion: it would only shadow itself")
    registry.move({"challenger": version}, why=why)


def champion(registry: Registry) -> Path:
    """The champion's bundle; the starter's, where nothing was promoted yet."""
    return registry.path("champion") if "champion" in registry.aliases() else PRETRAINED


def trained_at(manifest: Mapping[str, object]) -> float | None:
    """When a bundle was made, seconds since 1970; None where its manifest does not say."""
    training = manifest.get("training")
    made = training.get("created_at") if isinstance(training, dict) else None
    try:
        return seconds(str(made)) if made else None
    except ValueError:
        return None


def prunable(registry: Registry, keep: int) -> list[str]:
    """The versions beyond the newest `keep` that no alias needs; the twin of a needed version is
    needed too.
    """
    needed = set(registry.aliases().values())
    needed |= {f"{version}{EDGE}" for version in needed} | {
        version.removesuffix(EDGE) for version in needed
    }
    full = [version for version in registry.versions() if not version.endswith(EDGE)]
    needed |= {
        name
        for version in full[max(len(full) - keep, 0) :]
        for name in (version, f"{version}{EDGE}")
    }
    return [version for version in registry.versions() if version not in needed]


def verified(registry: Registry, version: str, check: Check | None) -> Bundle:
    return artifact.load(registry.path(version), check)


def refuse_refused(bundle: Bundle) -> None:
    """GateRefused if the bundle carries a gate's report and did not pass; without one it is the
    operator's own wish.
    """
    passed, why = gate_of(bundle)
    if passed is False:
        raise GateRefused(
            f"{bundle.version} was refused by the gate: {why or 'its gate.json says how'}"
        )
