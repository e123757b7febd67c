"""The request of a retraining or a review: a JSON file, read and checked.

Keys of request.json (paths absolute or relative to the folder of the request):
    champion   directory of the bundle in service
    history    npz: values (P, L, C) with NaN = missing, time_s (P, L) ascending;
               optional: mask (P, L) = 1 for rows that must not be learnt,
               weight (P, L) of each row in the loss (1),
               rhythm (P,) = 0 if times carry no information,
               entity (P,) names of the owners of the pieces (an entity may own several)
    labels     optional list of {"start_s", "end_s", "entity": name or null}: confirmed anomalies;
               never learnt, and judged by the gate where they lie in the held-out span
    out        directory that must not exist; `out` + "-edge" is the edge twin's,
               `out` + "-refused" a refusal's
    version    of the new bundle; the edge twin's is version + "-edge"
    seconds    optional total wall time (600)
    seed       optional (0)
    start      optional "champion" | "scratch"
    distil     optional, whether to make an edge twin (true)
    edge       optional directory of the edge twin in service
    gate       optional, fields of models.gate_rules.GateRules
    detect     optional, fields of streamer.settings.DetectSettings of the served stream
    training   optional, further entries of the manifest: cause, created_by, created_at ...
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from models.split import LabelledSpan
from streamer.errors import InputError

STARTS = ("champion", "scratch")


@dataclass(frozen=True, slots=True)
class Request:
    """A checked request, see the module's docstring."""

    champion: Path
    history: Path
    out: Path
    version: str
    labels: tuple[LabelledSpan, ...] = ()
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
            raise InputError(
                f"request: start must be one of {', '.join(STARTS)}, got {self.start!r}"
            )
        if not self.version:
            raise InputError("request: version is empty")
        for taken in (self.out, beside(self.out, "-edge"), beside(self.out, "-refused")):
            if taken.exists():
                raise InputError(f"request: {taken} exists already; name a new directory")


def beside(out: Path, suffix: str) -> Path:
    """Return the path of `out` with a suffix."""
    return out.with_name(out.name + suffix)


def read_request(path: Path) -> Request:
    """Read a request; InputError names the key if it is not as documented."""
    try:
        raw = json.loads(path.read_text())
    except (OSError, ValueError) as exc:
        raise InputError(f"{path}: cannot be read as JSON: {exc}") from exc
    if not isinstance(raw, dict):
        raise InputError(f"{path}: is not a JSON object")
    known = set(Request.__dataclass_fields__)
    if unknown := sorted(raw.keys() - known):
        raise InputError(
            f"{path}: unknown key {', '.join(unknown)}; known are {', '.join(sorted(known))}"
        )
    if missing := sorted({"champion", "history", "out", "version"} - raw.keys()):
        raise InputError(f"{path}: lacks {', '.join(missing)}")
    paths = {
        name: path.parent / raw[name]
        for name in ("champion", "history", "out", "edge")
        if raw.get(name)
    }
    given = {name: value for name, value in raw.items() if value is not None}
    return Request(**(given | paths | {"labels": _labels(path, raw.get("labels") or [])}))


def _labels(path: Path, raw: Any) -> tuple[LabelledSpan, ...]:
    try:
        return tuple(
            LabelledSpan(float(one["start_s"]), float(one["end_s"]), one.get("entity"))
            for one in raw
        )
    except (TypeError, KeyError, ValueError, AttributeError) as exc:
        raise InputError(
            f"{path}: labels must be objects with start_s, end_s and entity: {exc!r}"
        ) from exc
