"""Where a value of the configuration comes from, so that an error and a listing can
name the place.
"""

from __future__ import annotations

from dataclasses import dataclass

Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class SettingOrigin:
    """A place: `where` is file:line:col, an environment variable, a --set or a preset."""

    where: str
    line: str = ""  # the source line
    number: int = 0  # its number, from 1; 0 = not a line of a file
    column: int = 0  # from 0
    secret: bool = False  # the value was read from a file of secrets or a variable named like one
    # the value itself stands there, not the name of a variable or a file that holds it
    clear: bool = False


DEFAULT = SettingOrigin("default")


def dotted(path: Path) -> str:
    """streams[0].detect.for"""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.removeprefix(".")
