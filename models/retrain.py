"""One retraining, as the body of a child process: history in, a gated challenger and its edge twin out, or a refusal.

    python -m models.retrain --request request.json

request.json (paths absolute or relative to the request's folder):
    champion   directory of the bundle in service
    history    npz: values (P, L, C) with NaN = missing, time_s (P, L) ascending; optional mask (P, L) = 1 for rows that
               must not be learnt, rhythm (P,) = 0 where the clock carries nothing, entity (P,) names of the pieces'
               owners (several pieces may be of one entity)
    labels     optional list of {"start_s", "end_s", "entity": name or null}: confirmed anomalies; never learnt, and
               what the gate counts as caught or missed where they lie in the held-out span
    out        directory that must not exist; `out` + "-edge" is the edge twin's, `out` + "-refused" a refusal's
    version    of the new bundle; the edge twin's is version + "-edge"
    seconds    optional wall time of all of it (600); seed optional (0)
    start      optional "champion" | "scratch"
    distil     optional, whether to make an edge twin (true); edge: optional directory of the edge twin in service
    gate       optional, fields of models.gate.GateRules
    detect     optional, fields of streamer.detect.settings.DetectSettings of the stream that is being served
    training   optional, what the manifest says besides: cause, created_by, created_at ...

Progress: JSON lines on stderr, each with an `event`: started, epoch, trained, exported, gate, distilled, done | refused
| failed. Exit 0: `out` (and `out`-edge) is a complete bundle that holds gate.json and gate.html. Exit 4: refused, and
the report lies in `out`-refused. Any other code: an error, and nothing was written.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from models.split import Label
from streamer.errors import InputError

BEGAN = time.monotonic()
STARTS = ("champion", "scratch")


@dataclass(frozen=True, slots=True)
class Request:
    """What the module's docstring says, checked."""

    champion: Path
    history: Path
    out: Path
    version: str
    labels: tuple[Label, ...] = ()
    seconds: float = 600.0
    seed: int = 0
    start: str = "champion"
    distil: bool = True
    edge: Path | None = None
    gate: Mapping[str, Any] = field(default_factory=dict)
    detect: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.start not in STARTS:
            raise InputError(f"request: start must be one of {', '.join(STARTS)}, got {self.start!r}")
        if not self.version:
            raise InputError("request: version is empty")
        for taken in (self.out, beside(self.out, "-edge"), beside(self.out, "-refused")):
            if taken.exists():
                raise InputError(f"request: {taken} exists already; name a new directory")


def beside(out: Path, suffix: str) -> Path:
    """The neighbour of `out` with a suffix."""
    return out.with_name(out.name + suffix)


def read_request(path: Path) -> Request:
    """InputError naming the key if the request is not as documented."""
    try:
        raw = json.loads(path.read_text())
    except (OSError, ValueError) as exc:
        raise InputError(f"{path}: cannot be read as JSON: {exc}") from exc
    if not isinstance(raw, dict):
        raise InputError(f"{path}: is not a JSON object")
    known = set(Request.__dataclass_fields__)
    if unknown := sorted(raw.keys() - known):
        raise InputError(f"{path}: unknown key {', '.join(unknown)}; known are {', '.join(sorted(known))}")
    if missing := sorted({"champion", "history", "out", "version"} - raw.keys()):
        raise InputError(f"{path}: lacks {', '.join(missing)}")
    paths = {name: path.parent / raw[name] for name in ("champion", "history", "out", "edge") if raw.get(name)}
    given = {name: value for name, value in raw.items() if value is not None}
    return Request(**(given | paths | {"labels": _labels(path, raw.get("labels") or [])}))


def _labels(path: Path, raw: Any) -> tuple[Label, ...]:
    try:
        return tuple(Label(float(one["start_s"]), float(one["end_s"]), one.get("entity")) for one in raw)
    except (TypeError, KeyError, ValueError, AttributeError) as exc:
        raise InputError(f"{path}: labels must be objects with start_s, end_s and entity: {exc!r}") from exc
