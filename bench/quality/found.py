"""What a part of the measurement gives back, and what it is asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from bench.figures import Figure, rounded

Cell = str | float
# Alerts a day that the default configuration promises of an entity.
BUDGET_PER_DAY = 5.0


@dataclass(frozen=True, slots=True)
class Scope:
    """How much is measured. `limit` series of each part, None: all."""

    limit: int | None = None
    quick: bool = False
    modes: tuple[str, ...] = ("zero_shot", "fitted", "int8", "baseline")
    long: bool = False
    steps_s: tuple[float, ...] = (1.0, 10.0, 60.0)  # of the pump


@dataclass(slots=True)
class Table:
    """A table for people; a cell is a number or a word."""

    columns: tuple[str, ...]
    rows: list[tuple[Cell, ...]] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        return {"columns": list(self.columns), "rows": [list(map(_cell, row)) for row in self.rows]}

    def text(self) -> str:
        """The table as aligned lines."""
        lines = [self.columns, *([_shown(cell) for cell in row] for row in self.rows)]
        widths = [max(len(line[i]) for line in lines) for i in range(len(self.columns))]
        return "\n".join(
            "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
            for line in lines
        )


@dataclass(slots=True)
class Found:
    """Figures, tables by name, and details by series."""

    figures: list[Figure] = field(default_factory=list)
    tables: dict[str, Table] = field(default_factory=dict)
    detail: dict[str, Any] = field(default_factory=dict)

    def add(
        self, name: str, value: float, unit: str = "", better: str = "higher", **more: Any
    ) -> None:
        """A figure, unless there was nothing to measure."""
        if np.isfinite(value):
            self.figures.append(Figure(name, rounded(float(value)), unit, better, **more))

    def add_all(self, prefix: str, values: Mapping[str, float], lower: Sequence[str] = ()) -> None:
        """Figures named prefix_key; those named in `lower` are better when lower."""
        for key, value in values.items():
            self.add(f"{prefix}_{key}", value, "", "lower" if key in lower else "higher")


def _cell(cell: Cell) -> Cell | None:
    if isinstance(cell, str):
        return cell
    return rounded(float(cell), 3) if np.isfinite(cell) else None


def _shown(cell: Cell) -> str:
    value = _cell(cell)
    return "" if value is None else value if isinstance(value, str) else f"{value:g}"


def row_of(name: str, values: Mapping[str, float], columns: Sequence[str]) -> tuple[Cell, ...]:
    """A row of a table; what was not measured stays empty."""
    return (name, *(values.get(column, float("nan")) for column in columns))
