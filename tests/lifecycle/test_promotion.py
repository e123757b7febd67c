"""Laws of promotion and rollback, over any registry."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.artifact import PRETRAINED
from streamer.connect.storage.files_registry import DirectoryRegistry
from streamer.errors import CorruptBundle, ModelError, UntrustedBundle
from streamer.lifecycle import promotion
from streamer.lifecycle.promotion import champion, promote, prunable, rollback, shadow
from streamer.signing import Trust
from tests.bundles import a_bundle


@pytest.fixture
def registry(tmp_path: Path) -> DirectoryRegistry:
    opened = DirectoryRegistry(tmp_path / "registry", create=True)
    for i, version in enumerate(["v1", "v1-edge", "v2", "v3", "v3-edge"]):
        opened.publish(a_bundle(tmp_path / version, version, seed=i))
    return opened


def test_what_is_promoted_is_champion_and_the_one_before_is_previous(
    registry: DirectoryRegistry,
) -> None:
    assert champion(registry) == PRETRAINED
    assert promote(registry, "v1", "first")
    assert registry.aliases() == {"champion": "v1", "edge": "v1-edge"}
    shadow(registry, "v3", "try")
    assert promote(registry, "v3", "better")
    assert registry.aliases() == {"champion": "v3", "previous": "v1", "edge": "v3-edge"}
    assert champion(registry).name == "v3"
    assert [move.why for move in registry.moves()] == ["first", "try", "better"]


def test_who_is_champion_already_may_be_promoted_and_nothing_moves(
    registry: DirectoryRegistry,
) -> None:
    promote(registry, "v1", "first")
    promote(registry, "v2", "second")
    assert promote(registry, "v2", "again")
    assert registry.aliases() == {"champion": "v2", "previous": "v1", "edge": "v1-edge"}
    assert len(registry.moves()) == 2


def test_a_challenger_of_another_version_stays(registry: DirectoryRegistry) -> None:
    shadow(registry, "v3", "try")
    promote(registry, "v1", "first")
    assert registry.aliases()["challenger"] == "v3"
    shadow(registry, None, "enough")
    assert "challenger" not in registry.aliases()


def test_rolling_back_once_is_undoing_and_twice_is_refused(registry: DirectoryRegistry) -> None:
    promote(registry, "v1", "first")
    promote(registry, "v3", "second")
    assert rollback(registry, "bad") == "v1"
    assert registry.aliases() == {"champion": "v1", "edge": "v1-edge"}
    with pytest.raises(ModelError, match="no previous model"):
        rollback(registry, "again")


def test_a_rollback_of_the_first_promotion_lets_the_starter_judge_again(
    registry: DirectoryRegistry,
) -> None:
    with pytest.raises(ModelError, match="no previous model"):
        rollback(registry, "nothing was promoted")
    promote(registry, "v1", "first")
    shadow(registry, "v2", "try")
    promote(registry, "v1", "once more")
    assert rollback(registry, "bad") is None
    assert registry.aliases() == {"challenger": "v2"} and champion(registry) == PRETRAINED
    promote(registry, "v2", "first after it")
    assert rollback(registry, "bad too") is None


def test_a_first_promotion_that_another_overtook_is_not_taken_back(
    registry: DirectoryRegistry,
) -> None:
    promote(registry, "v1", "first")
    before = registry.aliases()
    promote(registry, "v2", "somebody else")
    with pytest.raises(ModelError):
        rollback(registry, "bad", over=before)
    assert registry.aliases()["champion"] == "v2"


def test_the_twin_of_what_goes_goes_with_it(registry: DirectoryRegistry) -> None:
    promote(registry, "v2", "first")
    promote(registry, "v3", "second")
    rollback(registry, "bad")
    assert registry.aliases() == {"champion": "v2"}


def test_what_is_damaged_or_untrusted_is_never_promoted_nor_gone_back_to(
    registry: DirectoryRegistry, tmp_path: Path
) -> None:
    promote(registry, "v1", "first")
    promote(registry, "v2", "second")
    before = registry.aliases(), len(registry.moves())
    (tmp_path / "registry" / "versions" / "v1" / "golden.npz").unlink()
    with pytest.raises(CorruptBundle):
        rollback(registry, "bad")
    with pytest.raises(CorruptBundle):
        shadow(registry, "v1", "try")
    with pytest.raises(UntrustedBundle):
        promote(registry, "v3", "unsigned", check=Trust(required=True))
    with pytest.raises(ModelError, match="would only shadow itself"):
        shadow(registry, "v2", "try")
    assert (registry.aliases(), len(registry.moves())) == before


def test_a_champion_that_moved_meanwhile_is_not_overrun(
    registry: DirectoryRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    promote(registry, "v1", "first")
    stale = registry.aliases()
    promote(registry, "v2", "somebody else")
    monkeypatch.setattr(registry, "aliases", lambda: stale)
    assert not promote(registry, "v3", "late")
    monkeypatch.undo()
    assert registry.aliases()["champion"] == "v2"


@given(keep=st.integers(0, 6))
def test_nothing_that_an_alias_needs_is_pruned_and_never_the_newest(
    tmp_path_factory: pytest.TempPathFactory, keep: int
) -> None:
    home = tmp_path_factory.mktemp("prune")
    registry = DirectoryRegistry(home / "registry", create=True)
    for version in ["v1", "v1-edge", "v2", "v2-edge", "v3", "v4"]:
        registry.publish(a_bundle(home / version, version))
    promote(registry, "v1", "first")
    gone = prunable(registry, keep)
    assert not set(gone) & {"v1", "v1-edge"}
    assert gone == {
        0: ["v2", "v2-edge", "v3", "v4"],
        1: ["v2", "v2-edge", "v3"],
        2: ["v2", "v2-edge"],
    }.get(keep, [])
    for version in gone:
        registry.remove(version)
    assert promotion.champion(registry).name == "v1"


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
