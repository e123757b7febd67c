"""A challenger is tried out beside the champion, then promoted or let go."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from streamer.connect.storage.files_registry import DirectoryRegistry
from streamer.errors import GateRefused
from streamer.lifecycle import promotion
from tests.lifecycle.house import BAD, House
from tests.lifecycle.training_world import written

SHADOW: dict[str, Any] = {"events": 500}


def test_a_challenger_without_objection_is_promoted_by_itself(registry: DirectoryRegistry) -> None:
    house = House(registry, shadow=SHADOW)
    house.feed(0, 600)
    promotion.shadow(registry, "v1", "try it")
    house.feed(600, 2400)
    assert house.judging == "v1"
    assert registry.aliases() == {"champion": "v1", "previous": "v0"}
    assert "shadow:" in registry.moves()[-1].why


def test_a_challenger_that_no_gate_has_judged_waits_for_somebody(
    registry: DirectoryRegistry, tmp_path: Path
) -> None:
    registry.publish(written(tmp_path / "v2", "v2", 1.01))
    house = House(registry, shadow=SHADOW)
    promotion.shadow(registry, "v2", "try it")
    house.feed(0, 2400)
    assert registry.aliases() == {"champion": "v0", "challenger": "v2"}
    assert house.room.shadow_slot.told


def test_a_challenger_that_the_gate_refused_goes_and_everything_else_goes_on(
    registry: DirectoryRegistry, tmp_path: Path
) -> None:
    registry.publish(written(tmp_path / "v2", "v2", 1.01, gate={"passed": False, "why": "copycat"}))
    house = House(registry, shadow=SHADOW)
    with pytest.raises(GateRefused, match="copycat"):
        promotion.shadow(registry, "v2", "try it")
    registry.move({"challenger": "v2"}, why="by somebody else's tool")
    house.feed(0, 2400)
    assert registry.aliases() == {"champion": "v0"}
    assert "copycat" in registry.moves()[-1].why
    promotion.promote(registry, "v1", "")
    house.follow()
    assert house.judging == "v1"


def test_a_challenger_waits_for_somebody_where_promotion_is_manual(
    registry: DirectoryRegistry,
) -> None:
    house = House(registry, shadow=SHADOW | {"promote": "manual"})
    promotion.shadow(registry, "v1", "try it")
    house.feed(0, 2400)
    assert (house.judging, registry.aliases()["challenger"]) == ("v0", "v1")
    assert house.room.shadow_slot.report is not None
    assert house.room.shadow_slot.report.events > 500


def test_a_challenger_that_cries_wolf_goes_without_ever_having_judged(
    registry: DirectoryRegistry, tmp_path: Path
) -> None:
    registry.publish(written(tmp_path / "bad", "bad", BAD))
    house = House(registry, shadow={"events": 800})
    house.feed(0, 2600)
    promotion.shadow(registry, "bad", "try it")
    house.feed(2600, 4200)
    assert registry.aliases() == {"champion": "v0"}
    assert {version for version, _ in house.room.judged} == {"v0"}
    assert house.room.sink.events == []
