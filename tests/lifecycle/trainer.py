"""Stands in for `python -m models.retrain`: the same request, the same exits, a bundle with other
weights in no time.

How it behaves stands in the environment: TRAINER=publish | twin | refuse | fail | eat | sleep |
review.
"""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from streamer import artifact


def main(request: Path) -> int:
    told = json.loads(request.read_text())
    out = request.parent / told["out"]
    sys.stderr.write(json.dumps({"event": "started", "version": told["version"]}) + "\n")
    rows = artifact.unpack_arrays((request.parent / told["history"]).read_bytes())
    assert (
        rows["values"].shape[:2]
        == rows["time_s"].shape
        == rows["mask"].shape
        == rows["weight"].shape
    )
    assert len(rows["entity"]) == len(rows["rhythm"]) == len(rows["values"])
    return DO[os.environ.get("TRAINER", "publish")](out, told, rows)


def publish(out: Path, told: dict, rows: dict) -> int:
    champion = artifact.load(out.parent / told["champion"])
    changed = {name: weights * np.float32(1.001) for name, weights in champion.weights.items()}
    heavy = int((rows["weight"] > 1).sum())
    seen = {
        "masked": int(rows["mask"].sum()),
        "labels": told["labels"],
        "heavy": heavy,
        "edge": told["edge"],
    }
    bundle = replace(champion, version=told["version"], weights=changed)
    parts = {name: blob for name, blob in bundle.parts.items() if name != "weights.npz"}
    artifact.save(
        out,
        version=bundle.version,
        spec=bundle.spec,
        weights=changed,
        calibration=bundle.calibration,
        parts=parts,
        training=told["training"] | {"seen": seen},
    )
    return 0


def twin(out: Path, told: dict, rows: dict) -> int:
    """A small one beside, as far as a registry can tell."""
    edge = told | {"version": told["version"] + "-edge"}
    return publish(out, told, rows) or publish(out.with_name(out.name + "-edge"), edge, rows)


def refuse(out: Path, told: dict, rows: dict) -> int:
    refused = out.with_name(out.name + "-refused")
    refused.mkdir()
    (refused / "gate.json").write_text(
        json.dumps({"passed": False, "why": "recall fell from 0.9 to 0.2"})
    )
    return 4


def fail(out: Path, told: dict, rows: dict) -> int:
    sys.stderr.write("something broke\n")
    return 1


def eat(out: Path, told: dict, rows: dict) -> int:
    held = []
    while True:
        held.append(bytearray(64 << 20))


def sleep(out: Path, told: dict, rows: dict) -> int:
    time.sleep(float(os.environ.get("TRAINER_S", "60")))
    return publish(out, told, rows)


def review(out: Path, told: dict, rows: dict) -> int:
    """For `python -m models.review`, whose recall stands in the environment."""
    report = {
        "schema": "streamer.review/1",
        "version": "starter-1",
        "rows": 600,
        "anomalies": 12,
        "unscored_share": 0.0,
        "recall": float(os.environ["RECALL"]),
        "false_alarms_per_day": 0.5,
        "median_delay_rows": None,
        "skill_over_persistence": 0.25,
    }
    out.write_text(json.dumps(report))
    return 0


DO = {
    "publish": publish,
    "twin": twin,
    "refuse": refuse,
    "fail": fail,
    "eat": eat,
    "sleep": sleep,
    "review": review,
}

if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[2])))
