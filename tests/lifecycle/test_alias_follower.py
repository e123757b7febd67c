"""The registry's choice judges: promoted, refused, tried out, watched and rolled back, with nothing
lost on the way.
"""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from streamer import artifact
from streamer.connect.storage.files_registry import DirectoryRegistry
from streamer.errors import ModelError
from streamer.lifecycle import promotion
from streamer.lifecycle.alias_follower import AGAIN_S
from tests.lifecycle.house import BAD, House
from tests.lifecycle.training_world import golden, variant, written


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
    assert house.follower.watch.watch is None


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
    assert house.follower.watch.watch is not None
    house.now[0] += 2
    house.follow()
    assert house.follower.watch.watch is None and house.judging == "v0"


def test_after_a_rollback_nobody_is_watched(registry: DirectoryRegistry) -> None:
    promotion.promote(registry, "v1", "")
    promotion.rollback(registry, "it cried wolf")
    assert House(registry).follower.watch.watch is None


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
    patient, house.follower.fetcher.section = (
        house.section,
        house.section.model_copy(update={"probe_timeout": 0.0}),
    )
    promotion.promote(registry, "v1", "")
    house.follow(4)
    assert (house.judging, registry.aliases()["champion"]) == ("v0", "v1")
    assert "its limit" in str(house.room.current.state.problem)
    assert house.room.current.state.swaps == {"refused": 1}
    house.follower.fetcher.section = patient
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


# -- a registry in trouble
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
