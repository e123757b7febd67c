"""Figures of a benchmark with their anchors and promises, as JSON and as a table."""

from __future__ import annotations

import json
import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "bench" / "results"
SCHEMA = "streamer.bench/1"


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured number.

    `must` is the promise, `aim` the goal; `better` is the good direction.
    """

    name: str
    value: float
    unit: str
    better: str = "higher"  # "higher" | "lower"
    low: float | None = None
    high: float | None = None
    anchor: str | None = None  # what the number is compared with
    anchor_value: float | None = None
    must: float | None = None
    aim: float | None = None

    @property
    def kept(self) -> bool | None:
        """Whether the promise is kept; None if there is none."""
        if self.must is None:
            return None
        return self.value >= self.must if self.better == "higher" else self.value <= self.must


def rounded(value: float, digits: int = 4) -> float:
    """Round to four significant digits; more would be noise."""
    return float(f"{value:.{digits}g}")


def machine() -> str:
    """Number of cores and processor model; nothing that identifies the machine."""
    model = platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = cpuinfo.read_text().splitlines()
        model = next(
            (line.partition(":")[2].strip() for line in lines if line.startswith("model name")),
            model,
        )
    return f"{os.cpu_count()} cores, {model}"


def commit() -> str:
    """Commit of the checkout, marked if tracked files differ from it."""
    found = _git("rev-parse", "--short=12", "HEAD")
    return (
        (found + ("+changes" if _git("status", "--porcelain", "-uno") else ""))
        if found
        else "unknown"
    )


def _git(*words: str) -> str:
    done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""


def provenance(name: str) -> dict[str, str]:
    """What a result is to be read with: the machine, the commit and the command."""
    command = shlex.join(["python", "-m", f"bench.{name}", *sys.argv[1:]])
    return {"machine": machine(), "commit": commit(), "command": command}


def write(name: str, figures: Sequence[Figure], path: Path | None = None, **extra: Any) -> Path:
    """bench/results/<name>.json, or the given file."""
    path = path or RESULTS / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    body: dict[str, Any] = {"schema": SCHEMA, "name": name} | provenance(name)
    body |= {"figures": [asdict(figure) for figure in figures], **extra}
    path.write_text(json.dumps(body, indent=1) + "\n")
    return path


def table(figures: Sequence[Figure]) -> str:
    """The figures as lines of text; those below their promise are marked."""
    rows = [("figure", "value", "range", "must", "anchor", "")]
    rows += [
        (f.name, show(f.value, f.unit), _range(f), _must(f), _anchor(f), _mark(f)) for f in figures
    ]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def show(value: float, unit: str = "") -> str:
    text = f"{value:,.0f}" if abs(value) >= 1000 else f"{rounded(value, 3):g}"
    return f"{text} {unit}".rstrip()


def _range(figure: Figure) -> str:
    if figure.low is None or figure.high is None:
        return ""
    return f"{show(figure.low)} .. {show(figure.high)}"


def _must(figure: Figure) -> str:
    return (
        ""
        if figure.must is None
        else f"{'>=' if figure.better == 'higher' else '<='} {show(figure.must)}"
    )


def _anchor(figure: Figure) -> str:
    if figure.anchor is None:
        return ""
    return (
        figure.anchor
        if figure.anchor_value is None
        else f"{figure.anchor}: {show(figure.anchor_value)}"
    )


def _mark(figure: Figure) -> str:
    return {None: "", True: "ok", False: "BELOW ITS MUST"}[figure.kept]
