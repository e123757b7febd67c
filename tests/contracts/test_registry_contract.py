"""What every Registry promises (streamer.protocols): immutable versions, and aliases that move all
at once.
"""

from __future__ import annotations

import json
import multiprocessing
import random
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streamer import artifact
from streamer.errors import CorruptBundle, ModelError, SchemaMismatch, StoreError
from streamer.protocols import ALIASES, Registry
from tests.bundles import a_bundle, sha256
from tests.conftest import SEED
from tests.contracts.registries import Kind, publish_and_move


@pytest.fixture(params=["files", pytest.param("redis", marks=pytest.mark.needs_redis)])
def kind(request: pytest.FixtureRequest, tmp_path: Path) -> Kind:
    if request.param == "files":
        return Kind(tmp_path)
    return Kind.in_redis(tmp_path, request.getfixturevalue("redis_server").url)


@pytest.fixture
def registry(kind: Kind) -> Iterator[Registry]:
    opened = kind.open()
    yield opened
    opened.close()


@pytest.fixture
def three(registry: Registry, tmp_path: Path) -> Registry:
    """With the versions v1 to v3."""
    for i in (1, 2, 3):
        registry.publish(a_bundle(tmp_path / f"b{i}", f"v{i}", seed=i))
    return registry


def facts(registry: Registry) -> tuple[object, ...]:
    """Everything that a refusal must leave as it was."""
    hashes = [sha256(registry.path(version)) for version in registry.versions()]
    return list(registry.versions()), hashes, dict(registry.aliases()), list(registry.moves())


def test_a_registry_is_a_registry(registry: Registry) -> None:
    assert isinstance(registry, Registry)
    assert facts(registry) == ([], [], {}, [])


# -- versions
def test_what_is_published_is_found_by_everybody_and_loads_as_it_was(
    registry: Registry, kind: Kind, tmp_path: Path
) -> None:
    bundle = a_bundle(tmp_path / "b", "2026-01", size=500_000)
    (bundle / "notes.txt").write_text("not of the bundle")
    assert registry.publish(bundle) == "2026-01"
    found = kind.open("another").path("2026-01")
    assert artifact.load(found).files == artifact.load(bundle).files
    assert "notes.txt" not in [path.name for path in found.iterdir()]


def test_versions_are_listed_in_the_order_of_publication(
    registry: Registry, tmp_path: Path
) -> None:
    names = ["v9", "v10", "a", "v1"]
    for name in names:
        registry.publish(a_bundle(tmp_path / name, name))
    assert list(registry.versions()) == names


def test_a_version_never_changes(three: Registry, tmp_path: Path) -> None:
    before = facts(three)
    assert three.publish(tmp_path / "b1") == "v1"
    with pytest.raises(StoreError, match="another model of that version"):
        three.publish(a_bundle(tmp_path / "other", "v1", seed=9))
    assert facts(three) == before


def _drop(bundle: Path) -> None:
    (bundle / "step_f32.tflite").unlink()


def _alter(bundle: Path) -> None:
    (bundle / "weights.npz").write_bytes(b"\0" * 100)


def _rewrite(key: str, value: object) -> Callable[[Path], None]:
    def change(bundle: Path) -> None:
        path = bundle / "manifest.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {key: value}))

    return change


@pytest.mark.parametrize(
    ("spoil", "error", "says"),
    [
        (_drop, CorruptBundle, "step_f32.tflite: cannot be read"),
        (_alter, CorruptBundle, "weights.npz: SHA-256 is"),
        (
            _rewrite("format", "streamer.bundle/2"),
            SchemaMismatch,
            "a newer streamer made it: upgrade",
        ),
        (_rewrite("spec", {"units": 32, "colour": 3}), CorruptBundle, "does not match"),
        (_rewrite("parts", ["weights.npz"]), CorruptBundle, "must be mappings"),
        (_rewrite("version", "../../etc"), CorruptBundle, "cannot be a version"),
        (_rewrite("version", "champion"), ModelError, "name of an alias"),
    ],
)
def test_what_cannot_be_used_is_not_taken(
    three: Registry,
    tmp_path: Path,
    spoil: Callable[[Path], None],
    error: type[Exception],
    says: str,
) -> None:
    before, bundle = facts(three), a_bundle(tmp_path / "bad", "v4")
    spoil(bundle)
    with pytest.raises(error, match=says):
        three.publish(bundle)
    assert facts(three) == before


DAMAGES = [(part, blob) for part in ("weights.npz", "manifest.json") for blob in (b"altered", None)]


@pytest.mark.parametrize(("part", "blob"), DAMAGES)
def test_a_version_that_was_damaged_is_refused_until_it_is_published_again(
    three: Registry, kind: Kind, tmp_path: Path, part: str, blob: bytes | None
) -> None:
    three.move({"champion": "v2"}, why="it judges")
    kind.damage("v2", part, blob)
    with pytest.raises(ModelError, match=rf"{part}|no version"):
        kind.open("fresh").path("champion")
    assert sha256(three.path("v3")) == sha256(tmp_path / "b3")
    assert three.publish(tmp_path / "b2") == "v2"
    assert sha256(kind.open("other").path("champion")) == sha256(tmp_path / "b2")
    assert (sorted(three.versions()), len(three.moves())) == (["v1", "v2", "v3"], 1)


def test_a_version_that_was_damaged_gives_no_room_to_another_model(
    three: Registry, kind: Kind, tmp_path: Path
) -> None:
    kind.damage("v2", "weights.npz", b"altered")
    with pytest.raises(
        StoreError, match=r"another model of that version is damaged: .*weights\.npz"
    ):
        three.publish(a_bundle(tmp_path / "other", "v2", seed=9))
    three.publish(tmp_path / "b2")
    assert sha256(kind.open("fresh").path("v2")) == sha256(tmp_path / "b2")


@pytest.mark.parametrize("name", ["v9", "champion", "edge"])
def test_what_is_not_there_is_an_error_that_says_what_to_do(three: Registry, name: str) -> None:
    with pytest.raises(ModelError, match=r"there are: v1, v2, v3|streamer model promote"):
        three.path(name)


def test_a_name_that_could_lead_away_is_refused(three: Registry) -> None:
    with pytest.raises(ModelError, match="cannot be a version"):
        three.path("../v1")


def test_a_signature_may_come_later_and_nothing_else(
    three: Registry, kind: Kind, tmp_path: Path
) -> None:
    (tmp_path / "b1" / "signature.json").write_text("{}")
    three.publish(tmp_path / "b1")
    assert artifact.load(kind.open("fresh").path("v1")).signature == b"{}"
    (tmp_path / "b1" / "signature.json").write_text("[]")
    three.publish(tmp_path / "b1")
    assert artifact.load(kind.open("fresh").path("v1")).signature == b"{}"
    other = a_bundle(tmp_path / "again", "v2", seed=2, training={"cause": "another"})
    (other / "signature.json").write_text("{}")
    with pytest.raises(StoreError, match="about another manifest"):
        three.publish(other)
    assert list(three.versions()) == ["v1", "v2", "v3"]


def test_a_version_is_forgotten_unless_an_alias_points_at_it(three: Registry) -> None:
    three.move({"champion": "v2"})
    before = facts(three)
    with pytest.raises(ModelError, match="cannot remove v2: it is the registry's champion"):
        three.remove("v2")
    with pytest.raises(ModelError, match="no version 'v7'"):
        three.remove("v7")
    assert facts(three) == before
    three.remove("v1")
    assert list(three.versions()) == ["v2", "v3"]
    with pytest.raises(ModelError, match="no version 'v1'"):
        three.path("v1")


# -- aliases
def test_aliases_move_all_at_once_and_the_trail_says_why(three: Registry, kind: Kind) -> None:
    assert three.move({"champion": "v1", "challenger": "v2"}, why="begin")
    assert three.move(
        {"champion": "v2", "previous": "v1", "challenger": None},
        expected={"champion": "v1"},
        why="on",
    )
    assert dict(kind.open().aliases()) == {"champion": "v2", "previous": "v1"}
    assert sha256(three.path("champion")) == sha256(three.path("v2"))
    assert [(move.why, dict(move.changes)) for move in kind.open().moves()] == [
        ("begin", {"champion": "v1", "challenger": "v2"}),
        ("on", {"champion": "v2", "previous": "v1", "challenger": None}),
    ]
    assert all(move.at.endswith("Z") and "@" in move.by for move in three.moves())


@pytest.mark.parametrize(
    "expected", [{"champion": "v2"}, {"champion": None}, {"champion": "v1", "edge": "v1"}]
)
def test_a_move_that_expects_otherwise_changes_nothing(
    three: Registry, expected: dict[str, str | None]
) -> None:
    three.move({"champion": "v1"})
    before = facts(three)
    assert not three.move({"champion": "v3", "previous": "v1"}, expected=expected)
    assert facts(three) == before


def test_a_move_that_is_repeated_succeeds_and_is_told_once(three: Registry) -> None:
    for _ in range(2):
        assert three.move({"champion": "v1"}, expected={"champion": None})
    assert len(three.moves()) == 1


@pytest.mark.parametrize(
    ("changes", "says"),
    [({"chief": "v1"}, "no alias 'chief'"), ({"champion": "v1", "edge": "v8"}, "no version 'v8'")],
)
def test_a_move_to_what_is_not_there_changes_nothing(
    three: Registry, changes: dict[str, str], says: str
) -> None:
    before = facts(three)
    with pytest.raises(ModelError, match=says):
        three.move(changes)
    assert facts(three) == before


def test_of_many_who_move_an_alias_from_the_same_place_one_succeeds(
    three: Registry, kind: Kind
) -> None:
    three.move({"champion": "v1"})

    def attempt(i: int) -> bool:
        return kind.open().move(
            {"champion": f"v{2 + i % 2}", "challenger": "v1"},
            expected={"champion": "v1"},
            why=str(i),
        )

    with ThreadPoolExecutor(8) as pool:
        moved = list(pool.map(attempt, range(8)))
    chosen = three.aliases()["champion"]
    # Whoever asks for what another has just done is told that it is done.
    assert {f"v{2 + i % 2}" for i, done in enumerate(moved) if done} == {chosen}
    assert len(three.moves()) == 2


def _refers(three: Registry) -> st.SearchStrategy[dict[str, str | None]]:
    return st.dictionaries(
        st.sampled_from(ALIASES), st.sampled_from([None, "v1", "v2", "v3"]), min_size=1, max_size=3
    )


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_aliases_behave_as_a_dictionary(three: Registry, data: st.DataObject) -> None:
    three.move(dict.fromkeys(ALIASES))
    model: dict[str, str] = {}
    for _ in range(data.draw(st.integers(1, 6))):
        changes, expected = data.draw(_refers(three)), data.draw(_refers(three) | st.just({}))
        goes = all(model.get(alias) == version for alias, version in expected.items())
        done = all(model.get(alias) == version for alias, version in changes.items())
        assert three.move(changes, expected=expected) == (goes or done)
        if goes:
            model = {
                alias: version
                for alias, version in {**model, **changes}.items()
                if version is not None
            }
        assert dict(three.aliases()) == model


# -- waiting
def test_who_waits_is_told_at_once_of_what_differs_and_of_nothing_after_the_time(
    three: Registry,
) -> None:
    assert three.wait({}, 0.05) is None
    three.move({"champion": "v1"})
    assert three.wait({"champion": "v1"}, 0.05) is None
    assert three.wait({}, 30) == {"champion": "v1"}
    assert three.wait({"champion": "v1", "edge": "v1"}, 30) == {"champion": "v1"}


def test_a_move_wakes_who_waits(three: Registry, kind: Kind) -> None:
    mover = threading.Timer(0.3, lambda: kind.open().move({"edge": "v2"}))
    mover.start()
    started = time.monotonic()
    assert three.wait({}, 30) == {"edge": "v2"}
    assert time.monotonic() - started < 10
    mover.join()


def test_closing_lets_go_who_waits(registry: Registry) -> None:
    closer = threading.Timer(0.2, registry.close)
    closer.start()
    started = time.monotonic()
    assert registry.wait({}, 60) is None
    assert time.monotonic() - started < 20
    closer.join()


# -- kills
KILLS = 50
PLACES = ["during_publish:1", "during_publish:3", "before_publish", "after_publish"]
IN_FILES = ["during_move:1", "during_move:1"]  # Redis moves in one script


@pytest.mark.slow
@pytest.mark.integration
def test_a_publisher_killed_at_any_moment_never_shows_a_partial_version(
    kind: Kind, tmp_path: Path
) -> None:
    chance, context = random.Random(SEED), multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.contracts.registries", "redis"])
    places, whole = PLACES if kind.url else [*PLACES, *IN_FILES], set[str]()
    usual_s = _usual_s(kind, tmp_path)
    for kill in range(KILLS):
        bundle = a_bundle(tmp_path / f"b{kill}", f"v{kill}", seed=kill, size=50_000)
        place = places[kill] if kill < len(places) else ""
        started = tmp_path / f"s{kill}"
        child = context.Process(
            target=publish_and_move, args=(kind, bundle, f"v{kill}", place, started)
        )
        child.start()
        _kill(child, started, chance.uniform(0, 4 * usual_s), at_place=bool(place))
        whole |= _all_whole(kind, tmp_path, whole)
    assert len(whole) > 3, "hardly any got so far"
    assert len(whole) < KILLS, "every kill came too late"
    registry = kind.open()
    assert registry.publish(tmp_path / "b0") == "v0"
    assert registry.move({"champion": "v0"}, why="after all")
    if not kind.url:
        assert not list((tmp_path / "registry").glob(".unfinished-*"))


def _usual_s(kind: Kind, tmp_path: Path) -> float:
    """How long a publication takes here and now, once everything is imported."""
    for name in ("warm", "usual"):
        bundle = a_bundle(tmp_path / f"b{name}", f"v{name}", size=50_000)
        began = time.monotonic()
        kind.open().publish(bundle)
    return time.monotonic() - began


def _kill(
    child: multiprocessing.process.BaseProcess, started: Path, delay_s: float, *, at_place: bool
) -> None:
    until = time.monotonic() + 60
    while not started.exists() and child.is_alive() and time.monotonic() < until:
        time.sleep(0.002)
    child.join(10 if at_place else delay_s)
    child.kill()
    child.join()


def _all_whole(kind: Kind, tmp_path: Path, known: set[str]) -> set[str]:
    """The versions that are listed; each new one loads as it was published, and aliases point at
    nothing else.
    """
    registry = kind.open()
    there = set(registry.versions())
    assert known <= there
    for version in there - known:
        assert sha256(registry.path(version)) == sha256(tmp_path / f"b{version[1:]}")
    aliases, moves = registry.aliases(), registry.moves()
    assert set(aliases.values()) <= there
    assert not moves or aliases["champion"] == moves[-1].why
    registry.close()
    return there
