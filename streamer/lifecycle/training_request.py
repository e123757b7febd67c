"""The request of a training or an evaluation: the files that its child process reads."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import structlog

from streamer import artifact
from streamer.artifact import Bundle
from streamer.config import Config, Retrain
from streamer.errors import ModelError
from streamer.lifecycle.training_data import Past
from streamer.protocols import Registry
from streamer.runtime.model import trust_for, trusted
from streamer.timefmt import rfc3339

TRAIN_SHARE = 0.9  # fraction of the time limit given to the child, which then ends by itself

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class RequestWriter:
    """Writes requests of models.retrain and models.review into a folder."""

    config: Config
    retrain: Retrain
    registry: Registry

    def write(
        self,
        folder: Path,
        champion: Bundle,
        past: Past,
        version: str,
        training: Mapping[str, Any],
        *,
        now_s: float,
    ) -> Path:
        """Write request.json with the champion, its twin and the rows; return its path.

        `training` holds further entries of the new bundle's manifest. The key `out` is "bundle".
        """
        _write_rows(folder / "rows.npz", past)
        limits, gate = self.retrain.limits, self.retrain.gate
        request = {
            "champion": artifact.unpack(champion, folder / "champion").name,
            "edge": self._edge(folder),
            "history": "rows.npz",
            "labels": past.labels,
            "out": "bundle",
            "version": version,
            "seconds": float(limits.time) * TRAIN_SHARE,
            "seed": 0,
            "start": self.retrain.start,
            "distil": self.retrain.distil,
            "detect": self._detect(),
            "gate": {name: getattr(gate, name) for name in type(gate).model_fields},
            "training": _training(past, training, now_s),
        }
        path = folder / "request.json"
        path.write_text(json.dumps(request))
        return path

    def _detect(self) -> dict[str, Any]:
        """Return the settings of the stream if there is only one; several use the defaults."""
        if len(self.config.streams) > 1 or not self.config.streams[0].fields.channels:
            return {}
        stream = self.config.streams[0]
        settings = asdict(stream.detect_settings(stream.fields.channels))
        return {name: value for name, value in settings.items() if value != float("inf")}

    def _edge(self, folder: Path) -> str | None:
        """Unpack the twin in service as a student's start; None if there is no usable one."""
        if "edge" not in self.registry.aliases():
            return None
        try:
            twin = trusted(self.registry.path("edge"), trust_for(self.config.model))
        except ModelError as exc:
            log.warning("edge_unusable", problem=str(exc))
            return None
        return artifact.unpack(twin, folder / "edge").name


def _write_rows(path: Path, past: Past) -> None:
    rows = past.rows
    blob = artifact.pack_arrays(
        {
            "values": rows.values,
            "time_s": rows.time_s,
            "mask": rows.mask,
            "weight": past.weight,
            "rhythm": past.rhythm,
            "entity": list(past.names),
        }
    )
    path.write_bytes(blob)


def _training(past: Past, more: Mapping[str, Any], now_s: float) -> dict[str, Any]:
    at = rfc3339(now_s, "seconds")
    own = {
        "created_at": at,
        "created_by": f"{os.uname().nodename}:{os.getpid()}",
        "rows": past.count,
        "span": list(past.span),
        "streams": list(past.profiles),
        "profiles": past.profiles,
    }
    return own | dict(more)
