"""The registry's choice judges: promoted, refused, tried out, watched and rolled back, with nothing
lost on the way.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from streamer import artifact
from streamer.config import Model
from streamer.connect.storage.files_registry import DirectoryRegistry
from streamer.errors import BackendError, GateRefused, ModelError
from streamer.lifecycle import promotion
from streamer.lifecycle.alias_follower import AGAIN_S, Follower
from streamer.lifecycle.probe import probe
from tests.lifecycle.training_world import Room, golden, loaded, pieces, traffic, variant, written

PASSED = {"passed": True, "why": ""}
BAD = 10.0  # times the weights: forecasts far off
WHOLE = traffic(6000, entities=20)


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[DirectoryRegistry]:
    made = DirectoryRegistry(tmp_path / "registry", create=True)
    made.publish(written(tmp_path / "v0", "v0"))
    made.publish(written(tmp_path / "v1", "v1", 1.01, gate=PASSED))
    promotion.promote(made, "v0", "first")
    yield made
    made.close()


class House:
    """A room and its follower."""

    def __init__(self, registry: DirectoryRegistry, **section: Any) -> None:
        self.now, self.registry = [0.0], registry
        self.room = Room(first=loaded("v0"), clock=lambda: self.now[0])
        self.section = Model.model_validate({"registry": "x", "backend": "numpy", **section})
        self.restart()

    def restart(self, later_s: float = 0.0) -> None:
        """A follower that knows nothing of the one before, over what the snapshots brought back, so
        much later.
        """
        began_s = time.time() - self.now[0]
        self.now[0] += later_s
        self.follower = Follower(
            self.registry,
            self.section,
            self.room.swapper,
            self.room.shadow_slot,
            [self.room.processor],
            clock=lambda: self.now[0],
            wall=lambda: began_s + self.now[0],
        )
        self.follower.step(0.0)

    def follow(self, steps: int = 2) -> None:
        for _ in range(steps):
            self.follower.step(0.0)
            self.room.settle()
            self.room.scoring_loop.step()

    def feed(self, start: int, end: int) -> None:
        for batch in pieces(WHOLE.rows(slice(start, end)), 100):
            self.room.feed(batch)
            self.follow(1)

    @property
    def judging(self) -> str:
        return self.room.processor.model_ref().version


def test_what_is_promoted_judges_soon_and_is_told(registry: DirectoryRegistry) -> None:
    house = House(registry)
    house.feed(0, 200)
    promotion.promote(registry, "v1", "it is better")
    house.follow()
    assert house.judging == "v1"
    told = house.room.sink.events
    assert [(event.event, event.model.version, event.why) for event in told] == [
        ("promoted", "v1", "it is better")
    ]
    assert house.room.current.state.trained_s == 1767323045.0
    assert house.room.current.state.swaps == {"promoted": 1}


def test_a_rollback_by_hand_is_followed_and_told_as_one(registry: DirectoryRegistry) -> None:
    house = House(registry)
    promotion.promote(registry, "v1", "")
    house.follow()
    promotion.rollback(registry, "it cried wolf")
    house.follow()
    assert house.judging == "v0"
    assert [event.event for event in house.room.sink.events] == ["promoted", "rolledback"]


def test_a_bad_promotion_rolls_itself_back_loudly(
    registry: DirectoryRegistry, tmp_path: Path
) -> None:
    registry.publish(written(tmp_path / "bad", "bad", BAD))
    house = House(registry)
    house.feed(0, 2600)
    promotion.promote(registry, "bad", "forced")
    house.feed(2600, 4200)
    assert house.judging == "v0"
    assert registry.aliases()["champion"] == "v0"
    assert [event.event for event in house.room.sink.events] == ["promoted", "rolledback"]
    assert "incidents" in registry.moves()[-1].why
    assert house.room.processor.accounting.balanced(0)
    assert sum(events for _, events in house.room.judged) == 4200


def test_the_first_promotion_of_all_rolls_back_to_the_starter(tmp_path: Path) -> None:
    registry = DirectoryRegistry(tmp_path / "r", create=True)
    registry.publish(written(tmp_path / "bad", "bad", BAD))
    house = House(registry)
    house.feed(0, 2600)
    promotion.promote(registry, "bad", "forced")
    house.feed(2600, 4200)
    assert registry.aliases() == {}
    assert house.judging == artifact.load(artifact.PRETRAINED).version


def test_a_watch_that_ends_well_leaves_the_new_model(registry: DirectoryRegistry) -> None:
    house = House(registry, watch={"for": "10m"})
    promotion.promote(registry, "v1", "")
    house.feed(0, 400)
    house.now[0] += 601
    house.follow()
    house.feed(400, 600)
    assert house.judging == "v1"
    assert house.follower._watch is None


@pytest.mark.parametrize(("later_s", "stays"), [(600, False), (1801, True)])
def test_a_restart_ends_no_watch_period(
    registry: DirectoryRegistry, tmp_path: Path, later_s: float, stays: bool
) -> None:
    registry.publish(written(tmp_path / "bad", "bad", BAD))
    house = House(registry)
    house.feed(0, 2600)
    promotion.promote(registry, "bad", "forced")
    house.follow()
    house.restart(later_s)
    house.feed(2600, 4200)
    assert (house.judging, registry.aliases()["champion"]) == (
        ("bad", "bad") if stays else ("v0", "v0")
    )


def test_a_watch_that_a_restart_cut_ends_well_when_its_period_does(
    registry: DirectoryRegistry,
) -> None:
    house = House(registry)
    house.restart(600)
    house.feed(0, 400)
    house.now[0] += 1199
    house.follow()
    assert house.follower._watch is not None
    house.now[0] += 2
    house.follow()
    assert house.follower._watch is None and house.judging == "v0"


def test_after_a_rollback_nobody_is_watched(registry: DirectoryRegistry) -> None:
    promotion.promote(registry, "v1", "")
    promotion.rollback(registry, "it cried wolf")
    assert House(registry).follower._watch is None


def altered_golden(directory: Path) -> Path:
    """A bundle, whole and hashed, whose weights give other outputs than were recorded."""
    made = variant("strange", 1.2)
    artifact.save(
        directory,
        version="strange",
        spec=made.spec,
        weights=made.weights,
        calibration=made.calibration,
        parts={"golden.npz": artifact.pack_arrays(golden(variant("other", 1.0)))},
        training={},
    )
    return directory


def test_a_model_that_fails_its_probe_never_judges_and_is_taken_back(
    registry: DirectoryRegistry, tmp_path: Path
) -> None:
    registry.publish(altered_golden(tmp_path / "strange"))
    house = House(registry)
    promotion.promote(registry, "strange", "forced")
    house.follow()
    assert (house.judging, registry.aliases()["champion"]) == ("v0", "v0")
    assert house.room.current.state.swaps == {"refused": 1}
    assert house.room.sink.events == []
    assert "stray" in registry.moves()[-1].why


def test_an_unsigned_model_never_judges_where_signatures_are_required(
    registry: DirectoryRegistry, tmp_path: Path
) -> None:
    signing = pytest.importorskip("streamer.signing")
    key = signing.generate(tmp_path / "key.pem")
    house = House(registry, keys=[key], require_signature=True)
    promotion.promote(registry, "v1", "forced")
    house.follow()
    assert house.judging == "v0"
    assert "not signed" in str(house.room.current.state.problem)


# -- the probe
# --------------------------------------------------------------------------------------------------------
def test_the_starter_passes_its_probe_on_every_backend_here() -> None:
    for backend in ("numpy", "litert", "litert-int8"):
        probe(artifact.PRETRAINED, backend, timeout_s=60)


def test_a_bundle_that_kills_its_process_kills_only_the_probe(tmp_path: Path) -> None:
    """A .tflite of the right hash whose bytes are none: whatever it does to its
    process, we go on.
    """
    made = artifact.load(artifact.PRETRAINED)
    rng = np.random.default_rng(0)
    parts = {
        name: blob
        for name, blob in made.parts.items()
        if name not in ("weights.npz", "manifest.json")
    }
    broken = bytearray(parts["step_f32.tflite"])
    for at in rng.integers(64, len(broken), 4000).tolist():
        broken[at] = 255
    parts["step_f32.tflite"] = bytes(broken)
    artifact.save(
        tmp_path / "b",
        version="b",
        spec=made.spec,
        weights=made.weights,
        calibration=made.calibration,
        parts=parts,
        training={},
    )
    with pytest.raises(ModelError, match="failed its probe"):
        probe(tmp_path / "b", "litert", timeout_s=60)


def test_a_probe_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    with pytest.raises(BackendError, match="its limit"):
        probe(artifact.PRETRAINED, "numpy", timeout_s=0.0)


def test_a_stop_during_a_probe_takes_nothing_back(registry: DirectoryRegistry) -> None:
    house, stop = House(registry), threading.Event()
    promotion.promote(registry, "v1", "")
    runs = threading.Thread(target=house.follower.run, args=(stop,))
    runs.start()
    stop.set()
    runs.join(10.0)
    assert not runs.is_alive()
    assert registry.aliases() == {"champion": "v1", "previous": "v0"}
    assert house.room.current.state.swaps == {}


def test_a_machine_too_slow_for_the_probe_keeps_its_model_and_tries_again_later(
    registry: DirectoryRegistry,
) -> None:
    house = House(registry)
    patient, house.follower._section = (
        house.section,
        house.section.model_copy(update={"probe_timeout": 0.0}),
    )
    promotion.promote(registry, "v1", "")
    house.follow(4)
    assert (house.judging, registry.aliases()["champion"]) == ("v0", "v1")
    assert "its limit" in str(house.room.current.state.problem)
    assert house.room.current.state.swaps == {"refused": 1}
    house.follower._section = patient
    house.now[0] += AGAIN_S
    house.follow()
    assert (house.judging, house.room.current.state.problem) == ("v1", None)


def test_a_model_of_longer_rings_stays_champion_until_a_restart(
    registry: DirectoryRegistry, tmp_path: Path
) -> None:
    made = variant("long", 1.01)
    artifact.save(
        tmp_path / "long",
        version="long",
        spec=replace(made.spec, window=2 * made.spec.ring),
        weights=made.weights,
        calibration=made.calibration,
        parts=made.parts,
        training={},
    )
    registry.publish(tmp_path / "long")
    house = House(registry)
    promotion.promote(registry, "long", "")
    house.follow(4)
    assert (house.judging, registry.aliases()["champion"]) == ("v0", "long")
    assert "restart this daemon" in str(house.room.current.state.problem)


# -- the challenger
# ---------------------------------------------------------------------------------------------------
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


# -- a registry in trouble
# --------------------------------------------------------------------------------------------
def test_while_the_registry_cannot_be_read_what_judges_goes_on(
    registry: DirectoryRegistry, tmp_path: Path
) -> None:
    house = House(registry)
    index = tmp_path / "registry" / "registry.json"
    whole = index.read_text()
    index.write_text("{")
    house.follow()
    house.feed(0, 200)
    assert house.judging == "v0"
    assert house.room.current.state.problem is not None
    index.write_text(whole)
    house.now[0] += 60
    promotion.promote(registry, "v1", "")
    house.follow(4)
    assert house.judging == "v1"


def test_a_registry_of_the_future_is_told_of_and_followed_again_once_it_is_understood(
    registry: DirectoryRegistry, tmp_path: Path
) -> None:
    house, index = House(registry), tmp_path / "registry" / "registry.json"
    whole = index.read_text()
    index.write_text(json.dumps(json.loads(whole) | {"format": 99}))
    house.follow()
    assert house.room.current.state.problem is not None
    index.write_text(whole)
    house.now[0] += 60
    house.follow()
    assert house.room.current.state.problem is None


def test_a_rollback_that_is_due_is_made_once_the_registry_is_back(
    registry: DirectoryRegistry, tmp_path: Path
) -> None:
    registry.publish(written(tmp_path / "bad", "bad", BAD))
    house, index = House(registry), tmp_path / "registry" / "registry.json"
    house.feed(0, 2600)
    promotion.promote(registry, "bad", "forced")
    house.follow()
    whole = index.read_text()
    index.write_text("{")
    house.feed(2600, 4200)
    index.write_text(whole)
    assert (house.judging, registry.aliases()["champion"]) == ("bad", "bad")
    house.now[0] += 60
    house.follow(4)
    assert (house.judging, registry.aliases()["champion"]) == ("v0", "v0")


def test_what_was_decided_by_aliases_that_moved_since_changes_nothing(
    registry: DirectoryRegistry,
) -> None:
    seen = registry.aliases()
    promotion.promote(registry, "v1", "somebody was faster")
    now = registry.aliases()
    assert not promotion.promote(registry, "v0", "", over=seen)
    with pytest.raises(ModelError):
        promotion.rollback(registry, "", over={"champion": "v2", "previous": "v0"})
    assert registry.aliases() == now


@pytest.mark.parametrize(
    ("training", "seconds"),
    [
        ({"created_at": "1970-01-01T00:01:00+00:00"}, 60.0),
        ({"created_at": "soon"}, None),
        ({}, None),
    ],
)
def test_when_a_model_was_trained_is_read_from_its_manifest(
    training: dict[str, str], seconds: float | None
) -> None:
    assert promotion.trained_at(json.loads(json.dumps({"training": training}))) == seconds
