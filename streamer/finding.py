"""A line of `streamer check` and `streamer doctor`, or a check of /readyz."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Status = Literal["ok", "note", "warn", "fail"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at: how it is, why, and what to do about it.

    A note is how things usually are; what has a warning works, and is not as it should be.
    """

    name: str
    status: Status
    detail: str
    fix: str = ""

    @property
    def ok(self) -> bool:
        """Whether it works."""
        return self.status != "fail"

    def as_dict(self) -> dict[str, str | None]:
        return {
            "name": self.name,
            "status": self.status,
            "detail": self.detail,
            "fix": self.fix or None,
        }


def reading(name: str, ok: bool, detail: str) -> Finding:
    """Ok or fail, with its reason, and nothing to do about it here."""
    return Finding(name, "ok" if ok else "fail", detail)
