"""Promotion, rollback and shadow: each is one move of aliases (the rules: promotion_rules)."""

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
    """Make a version champion, the champion before it previous, and end its challenge.

    The alias `edge` moves to the version's twin, if there is one. `over` are the aliases on which
    the decision is based, by default the current ones. Returns True also if it is champion already.
    Returns False without any change if the champion was moved since. ModelError if the version
    cannot be used or `check` refuses it, GateRefused if its own gate report says so.
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
    """Make the previous version champion again; return it, None for the starter.

    Afterwards no version is previous, so a second rollback does not undo the first. `over` are the
    aliases on which the decision is based, by default the current ones. ModelError without any
    change if there is no previous version, it cannot be used, or the champion was moved since.
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
    """Return whether the starter judged before this champion, by the audit trail."""
    judged = (m.changes["champion"] for m in reversed(registry.moves()) if "champion" in m.changes)
    before = next((version for version in judged if version != champion), None)
    return champion is not None and before is None


def shadow(
    registry: Registry, version: str | None, why: str, *, check: Check | None = None
) -> None:
    """Make a version the challenger, which scores without alerts; None removes it.

    ModelError and GateRefused as in `promote`.
    """
    if version is not None:
        refuse_refused(verified(registry, version, check))
        if registry.aliases().get("champion") == version:
            raise ModelError(f"{version} is the champion: it would only shadow itself")
    registry.move({"challenger": version}, why=why)


def champion(registry: Registry) -> Path:
    """Return the champion's bundle folder; the starter's without a promotion."""
    return registry.path("champion") if "champion" in registry.aliases() else PRETRAINED


def trained_at(manifest: Mapping[str, object]) -> float | None:
    """Return when a bundle was made, in seconds since 1970; None if its manifest does not say."""
    training = manifest.get("training")
    made = training.get("created_at") if isinstance(training, dict) else None
    try:
        return seconds(str(made)) if made else None
    except ValueError:
        return None


def prunable(registry: Registry, keep: int) -> list[str]:
    """Return the versions that may be deleted: not among the newest `keep`, and without alias.

    The twin of a needed version is needed too.
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
    """Raise GateRefused if the bundle has a gate report and did not pass.

    A bundle without a report is allowed: an operator chose it.
    """
    passed, why = gate_of(bundle)
    if passed is False:
        raise GateRefused(
            f"{bundle.version} was refused by the gate: {why or 'its gate.json says how'}"
        )
