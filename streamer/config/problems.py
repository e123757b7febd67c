"""The problems of a configuration: one Problem per mistake, all in one ConfigErrors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from streamer.config.origin import Path, SettingOrigin, dotted
from streamer.errors import ConfigError

MAX_LINE = 160  # of a shown source line


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake: its path in the configuration, the sentence, its place and a hint."""

    path: Path
    text: str
    origin: SettingOrigin
    hint: str = ""

    def render(self) -> str:
        """Return file:line:col: path: sentence; hint, and below it the line with a caret."""
        head = ": ".join(part for part in (self.origin.where, dotted(self.path), self.text) if part)
        return "\n".join([f"{head}; {self.hint}" if self.hint else head, *self._excerpt()])

    def as_dict(self) -> dict[str, str | int | None]:
        """Return the problem for `check --format json`."""
        line, column = (
            self.origin.number or None,
            self.origin.column + 1 if self.origin.number else None,
        )
        where = {"where": self.origin.where, "line": line, "column": column}
        return {"path": dotted(self.path), "problem": self.text, "hint": self.hint or None, **where}

    def _excerpt(self) -> list[str]:
        if not self.origin.line:
            return []
        start = max(0, self.origin.column - MAX_LINE // 2)
        line = printable(self.origin.line[start : start + MAX_LINE])
        gutter = f"{self.origin.number:>6} | "
        caret = f"{' ' * 7}| {' ' * (self.origin.column - start)}^"
        return [f"{gutter}{line}"] + [caret] * ("***" not in self.origin.line[: self.origin.column])


class ConfigErrors(ConfigError):
    """All problems of a configuration, each with its place.

    The text has one block per problem, in the order of the file.
    """

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(
            sorted(problems, key=lambda p: (p.origin.number == 0, p.origin.number, p.origin.column))
        )
        super().__init__("", "\n".join(problem.render() for problem in self.problems))
        self.path = dotted(self.problems[0].path)

    def __str__(self) -> str:
        return str(self.args[0])


def printable(text: str) -> str:
    """Replace control characters, which could control a terminal, keeping the width."""
    return "".join(
        c if c.isprintable() else " " if c == "\t" else "\N{REPLACEMENT CHARACTER}" for c in text
    )
