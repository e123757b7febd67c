"""Output of `streamer model`: rows, pages and differences, as data and as lines."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from streamer import artifact, signing
from streamer.artifact import Bundle
from streamer.errors import StreamerError, UntrustedBundle

if TYPE_CHECKING:
    from streamer.protocols import Move, Registry

COLUMNS = (
    "version",
    "roles",
    "sha256",
    "bytes",
    "created_at",
    "cause",
    "parent",
    "gate",
    "signed_by",
    "problem",
)
MAX_CELL = 60


def row(registry: Registry, version: str) -> dict[str, Any]:
    """Return one version in brief, or its problem if it is damaged."""
    roles = sorted(alias for alias, held in registry.aliases().items() if held == version)
    try:
        return {"version": version, "roles": roles, **brief(artifact.load(registry.path(version)))}
    except StreamerError as exc:
        return {"version": version, "roles": roles, "problem": str(exc)}


def brief(bundle: Bundle) -> dict[str, Any]:
    training = bundle.manifest.get("training", {})
    return {
        "sha256": bundle.sha256,
        "bytes": sum(map(len, bundle.files.values())),
        "created_at": training.get("created_at"),
        "cause": training.get("cause"),
        "parent": training.get("parent"),
        "gate": gate_word(bundle),
        "signed_by": signer(bundle),
    }


def page(bundle: Bundle, roles: Sequence[str], where: Path) -> dict[str, Any]:
    """Return all facts of a bundle."""
    manifest = bundle.manifest
    return {
        "version": bundle.version,
        "roles": sorted(roles),
        "path": str(where),
        **brief(bundle),
        "parameters": sum(weight.size for weight in bundle.weights.values()),
        "spec": manifest["spec"],
        "training": manifest.get("training", {}),
        "calibration": bundle.calibration,
        "parts": manifest["parts"],
        "gate_report": report(bundle, "gate.json"),
        "distil_report": report(bundle, "distil.json"),
    }


def report(bundle: Bundle, name: str) -> dict[str, Any] | None:
    """Return a report of the bundle, None without one; its hash is checked, its author is not."""
    try:
        told = json.loads(bundle.parts[name])
    except (KeyError, ValueError, RecursionError):
        return None
    return told if isinstance(told, dict) else None


def gate_word(bundle: Bundle) -> str | None:
    told = report(bundle, "gate.json")
    return None if told is None else "passed" if told.get("passed") is True else "refused"


def signer(bundle: Bundle) -> str | None:
    try:
        return signing.signer(bundle.signature)
    except UntrustedBundle:
        return "unreadable"


def difference(a: Bundle, b: Bundle) -> dict[str, Any]:
    """Return the differences of two bundles: facts as pairs, weights by their change."""
    facts: dict[str, list[Any]] = {}
    for section in ("spec", "calibration", "training"):
        old, new = flat(a.manifest.get(section, {})), flat(b.manifest.get(section, {}))
        keys = sorted(key for key in old.keys() | new.keys() if old.get(key) != new.get(key))
        facts |= {f"{section}.{key}": [old.get(key), new.get(key)] for key in keys}
    parts = {
        name: [size(a, name), size(b, name)]
        for name in sorted(a.parts.keys() | b.parts.keys())
        if a.parts.get(name) != b.parts.get(name)
    }
    return {
        "versions": [a.version, b.version],
        "sha256": [a.sha256, b.sha256],
        "same": a.sha256 == b.sha256,
        "facts": facts,
        "weights": moved_weights(a, b),
        "parts_bytes": parts,
    }


def moved_weights(a: Bundle, b: Bundle) -> dict[str, float | str]:
    """Return per weight the norm of its change over its norm; words where shapes differ."""
    import numpy as np

    found: dict[str, float | str] = {}
    for name in sorted(a.weights.keys() | b.weights.keys()):
        old, new = a.weights.get(name), b.weights.get(name)
        if old is None or new is None:
            found[name] = "added" if old is None else "gone"
        elif old.shape != new.shape:
            found[name] = f"{list(old.shape)} became {list(new.shape)}"
        elif not np.array_equal(old, new):
            norm = float(np.linalg.norm(old)) or 1.0
            found[name] = round(float(np.linalg.norm(new - old)) / norm, 6)
    return found


def flat(value: object, prefix: str = "") -> dict[str, Any]:
    """Flatten nested mappings into one with dotted keys."""
    if not isinstance(value, Mapping):
        return {prefix: value}
    found: dict[str, Any] = {}
    for key, below in value.items():
        found |= flat(below, f"{prefix}.{key}" if prefix else str(key))
    return found


def size(bundle: Bundle, name: str) -> int | None:
    return len(bundle.parts[name]) if name in bundle.parts else None


def table(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield rows under the columns that have a value in any row."""
    columns = [name for name in COLUMNS if any(r.get(name) for r in rows)]
    cells = [columns] + [[_cell(name, r.get(name)) for name in columns] for r in rows]
    widths = [max(len(line[i]) for line in cells) for i in range(len(columns))]
    for line in cells:
        yield "  ".join(
            cell.ljust(width) for cell, width in zip(line, widths, strict=True)
        ).rstrip()


def lines_of(told: Mapping[str, Any]) -> Iterator[str]:
    """Yield a page as aligned `name  value` lines; nested values by dotted names."""
    found = {name: value for name, value in flat(told).items() if value is not None}
    width = max(map(len, found), default=0)
    for name, value in found.items():
        yield f"{name:<{width}}  {plain(value)}"


def move_row(move: Move) -> dict[str, Any]:
    return {"at": move.at, "changes": dict(move.changes), "why": move.why, "by": move.by}


def move_line(move: Move) -> str:
    changes = ", ".join(
        f"{alias} -> {version or 'nothing'}" for alias, version in move.changes.items()
    )
    return plain(f"{move.at}  {changes}  {move.why or '-'}  {move.by}")


def plain(value: object) -> str:
    """Return text without control characters, because a bundle may come from elsewhere."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return "".join(c if c.isprintable() else "?" for c in text)


def _cell(name: str, value: object) -> str:
    if value is None or value == []:
        return "-"
    if name == "sha256":
        return str(value)[:12]
    text = plain(",".join(value) if isinstance(value, list) else value)
    return text if len(text) <= MAX_CELL or name == "problem" else f"{text[: MAX_CELL - 3]}..."
