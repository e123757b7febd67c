"""What whoever has the turn tells all members: how the newest training and the newest evaluation stand."""

from __future__ import annotations

import json
from typing import Any

import structlog

from streamer.connect.turns import Turn, Turns
from streamer.errors import StoreError
from streamer.service.learning.evaluation import Remembered, remembered

log = structlog.get_logger()


def note(turns: Turns, turn: Turn, **fields: Any) -> None:
    """Let all members know, beside what is noted already. A store that is away costs the note; one that says we were
    overtaken is an error later."""
    try:
        turn.note(json.dumps(noted(turns) | fields).encode())
    except StoreError as exc:
        log.warning("retrain_not_noted", problem=str(exc))


def noted(turns: Turns) -> dict[str, Any]:
    """What those who had the turn have told all members."""
    try:
        found = json.loads(turns.read() or b"{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def last_attempt(turns: Turns) -> float | None:
    """When the newest training began, by anybody."""
    found = noted(turns).get("at")
    return float(found) if isinstance(found, int | float) else None


def last_evaluation(turns: Turns) -> Remembered:
    """What is known of the newest evaluation, by anybody."""
    return remembered(noted(turns))
