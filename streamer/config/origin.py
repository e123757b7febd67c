"""The origin of a value of the configuration, for errors and listings."""

from __future__ import annotations

from dataclasses import dataclass

Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class SettingOrigin:
    """A place: `where` is file:line:col, an environment variable, a --set or a preset."""

    where: str
    line: str = ""  # the source line
    number: int = 0  # its number, from 1; 0 if it is not a line of a file
    column: int = 0  # from 0
    # the value is from a file of secrets, or its variable or key is named like a secret
    secret: bool = False
    # the value itself is written there, not a reference to a variable or file
    clear: bool = False


DEFAULT = SettingOrigin("default")


def dotted(path: Path) -> str:
    """Return a path as text, such as streams[0].detect.for."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.removeprefix(".")
