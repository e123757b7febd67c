"""Daemons that learn, seen from outside: what judged which event, how often they alarmed, and when
what happened.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from streamer.protocols import Registry
from tests.integration.history import Told
from tests.integration.load import Load
from tests.integration.plant import Plant
from tests.integration.runner import Daemon
from tests.servers.child import wait_until


class Row(NamedTuple):
    """One line of a score file."""

    partition: int
    offset: int
    status: str
    model: str  # SHA-256


def rows(path: Path, load: Load) -> Iterator[Row]:
    """Every judgement, in the order it was written. The machine's number is the last part of its
    name.
    """
    with path.open(newline="") as file:
        for one in csv.DictReader(file):
            partition = int(one["entity"].rpartition("-")[2]) % load.partitions
            yield Row(partition, int(one["row"]), one["status"], one["model"])


def assert_judged(rows: Sequence[Row], end: Mapping[int, int], *, once: bool) -> None:
    """Every record of the log has a judgement; `once`: only one, as nobody shared the
    partitions.
    """
    assert {row.status for row in rows} <= {"warming", "scored"}
    for partition, upto in end.items():
        found = Counter(row.offset for row in rows if row.partition == partition)
        assert found.keys() == set(range(upto)), (
            f"partition {partition}: {len(found)} of {upto} events were judged"
        )
        assert not once or found.total() == upto


def stretches(rows: Sequence[Row]) -> list[list[str]]:
    """The models that judged each partition, in the order of its log."""
    found: dict[int, list[str]] = {}
    for row in sorted(rows, key=lambda row: row.offset):
        models = found.setdefault(row.partition, [])
        if models[-1:] != [row.model]:
            models.append(row.model)
    return list(found.values())


def taken_over(judged: Iterable[Row], sha256: str, plant: Plant) -> int:
    """The first step of the plant at which every partition is judged by the model."""
    first: dict[int, int] = {}
    for row in judged:
        if row.model == sha256:
            first[row.partition] = min(row.offset, first.get(row.partition, row.offset))
    assert len(first) == plant.partitions, f"only {sorted(first)} were ever judged by it"
    return max(plant.step_of(offset) for offset in first.values()) + 1


def alarms(alerts: Sequence[Told], plant: Plant, first: int, steps: int) -> int:
    """Incidents that were opened in so many steps of the plant from `first` on. All of them are
    false.
    """
    opened = [one for one in alerts if one.message.event == "opened" and one.upto is not None]
    return sum(first <= plant.step_of(one.upto or 0) < first + steps for one in opened)


def at(line: dict[str, Any]) -> float:
    """When a line was logged, seconds since 1970."""
    return datetime.fromisoformat(line["time"]).timestamp()


def wait_line(
    daemons: Sequence[Daemon], event: str, timeout_s: float, **fields: object
) -> dict[str, Any]:
    """The first line of an event with these fields that any of the daemons logs."""
    return _wait(daemons, event, lambda line: fields.items() <= line.items(), timeout_s)


def wait_trained(daemons: Sequence[Daemon], timeout_s: float) -> dict[str, Any]:
    """How the first training ended; a replica that wants one meanwhile finds the turn taken."""
    return _wait(daemons, "retrain_done", lambda line: line["outcome"] != "busy", timeout_s)


def _wait(
    daemons: Sequence[Daemon],
    event: str,
    wanted: Callable[[dict[str, Any]], bool],
    timeout_s: float,
) -> dict[str, Any]:
    found: list[dict[str, Any]] = []

    def there() -> bool:
        found.extend(line for daemon in daemons for line in daemon.logged(event) if wanted(line))
        return bool(found) or not all(daemon.running for daemon in daemons)

    wait_until(there, timeout_s=timeout_s, what=event, every_s=0.25)
    assert found, "\n".join(daemon.child.tail() for daemon in daemons)
    return found[0]


def wait_judging(daemons: Sequence[Daemon], version: str, timeout_s: float) -> None:
    """Until all of them are judged by a version."""
    wait_until(
        lambda: all(judging(daemon) == {version} for daemon in daemons),
        timeout_s=timeout_s,
        what=f"{version} judges",
        every_s=0.1,
    )


def judging(daemon: Daemon) -> set[str]:
    found = daemon.rows("streamer_model_info")
    return {labels["model_version"] for labels, _ in found if labels["role"] == "champion"}


def moved_s(registry: Registry, alias: str, version: str | None) -> float:
    """When an alias last moved to a version."""
    moves = (
        move
        for move in reversed(registry.moves())
        if alias in move.changes and move.changes[alias] == version
    )
    return datetime.fromisoformat(next(moves).at).timestamp()
