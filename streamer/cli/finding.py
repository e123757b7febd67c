"""One line of `streamer doctor`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """One line: what was looked at, how it is (ok, warn, fail), and what to do about it."""

    name: str
    status: str
    detail: str
    fix: str = ""
