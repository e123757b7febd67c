"""The folder of reports: why the newest refusals were, and what the newest evaluations found."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

KEPT = 20
OURS = re.compile(r"\d{8}-\d{6}-")  # names of reports; what else lies in their folder is left alone


def keep_refusal(refused: Path, folder: Path, version: str) -> str:
    """Keep the report of a refusal; what it says, and where it is."""
    reasons = refusal(refused)
    if not refused.is_dir():
        return f"refused: {reasons}"
    kept = shelf(folder) / version
    shutil.copytree(refused, kept, dirs_exist_ok=True)
    return f"refused: {reasons}; the report is {kept}"


def refusal(directory: Path) -> str:
    """Why the gate refused, from its report."""
    try:
        report = json.loads((directory / "gate.json").read_text())
    except (OSError, ValueError):
        return "the gate gave no report"
    return str(report.get("why") or "see the report")


def shelf(folder: Path) -> Path:
    """The folder of reports, with room for one more."""
    folder.mkdir(parents=True, exist_ok=True)
    ours = sorted(path for path in folder.iterdir() if OURS.match(path.name))
    for old in ours[: -KEPT + 1]:
        shutil.rmtree(old) if old.is_dir() else old.unlink()
    return folder
