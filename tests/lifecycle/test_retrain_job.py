"""One training from beginning to end; the trainer itself is a quick stand-in that runs as a real
process.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from streamer import artifact, signing
from streamer.config import Config, config_from
from streamer.connect import open_registry, open_turns
from streamer.connect.storage.sqlite_journal import SqliteJournal
from streamer.connect.storage.training_lock import RedisTrainingLock, TrainingLock
from streamer.errors import InputError, StoreError, StreamerError, UntrustedBundle
from streamer.journal import Incident, Label, LabelKind
from streamer.lifecycle.evaluation import last_attempt
from streamer.lifecycle.retrain_job import (
    BUSY,
    NOT_DUE,
    PUBLISHED,
    REFUSED,
    STOPPED,
    Job,
    manifest_of,
)
from streamer.protocols import Registry
from tests.integration.redises import section
from tests.servers.child import wait_until
from tests.servers.redis_server import RedisServer, RunningRedis

COMMAND = (sys.executable, str(Path(__file__).with_name("trainer.py")))
START_S = 1_700_000_000.0
ROWS = 1200


def rows(path: Path, *, constant: bool = False, count: int = ROWS) -> Path:
    """Two machines of one channel, a row every ten seconds."""
    rng = np.random.default_rng(1)
    lines = ["time,machine,rms"]
    for i in range(count):
        for machine in ("a", "b"):
            value = 5.0 if constant else 5 + np.sin(i / 20) + rng.normal(0, 0.1)
            lines.append(f"{START_S + 10 * i:.0f},{machine},{value:.4f}")
    path.write_text("\n".join(lines) + "\n")
    return path


def configured(
    folder: Path, data: Path, *, model: Mapping[str, Any] | None = None, **retrain: Any
) -> Config:
    return config_from(
        {
            "version": 1,
            "streams": [
                {
                    "name": "plant",
                    "source": {"kind": "file", "path": str(data)},
                    "fields": {"entity": "machine", "time": "time", "channels": ["rms"]},
                }
            ],
            "model": {"registry": str(folder / "registry"), **(model or {})},
            "retrain": {"min_rows": 1000, "reports": str(folder / "reports"), **retrain},
            "drift": {"window": "1h"},
        }
    )


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return rows(tmp_path / "rows.csv")


@pytest.fixture
def config(tmp_path: Path, data: Path) -> Config:
    return configured(tmp_path, data)


@pytest.fixture
def registry(config: Config) -> Iterator[Registry]:
    found = open_registry(config, create=True)
    assert found is not None
    with closing(found):
        yield found


def job(config: Config, registry: Registry, **more: Any) -> Job:
    assert config.retrain is not None
    turns: TrainingLock = more.pop("turns", None) or open_turns(config)
    return Job(config, config.retrain, registry, turns, command=COMMAND, **more)


def trainer(monkeypatch: pytest.MonkeyPatch, how: str, **env: str) -> None:
    for name, value in {"TRAINER": how, **env}.items():
        monkeypatch.setenv(name, value)


def test_a_training_publishes_a_challenger_that_knows_its_origin(
    config: Config, registry: Registry
) -> None:
    heard: list[Mapping[str, Any]] = []
    result = job(config, registry, hear=heard.append, clock=lambda: 1_800_000_000.0).run()
    assert (result.outcome, result.cause) == (PUBLISHED, "schedule")
    assert registry.aliases() == {"challenger": result.version}
    training = manifest_of(registry.path("challenger"))["training"]
    assert (training["parent"], training["cause"], training["rows"]) == (
        "starter-1",
        "schedule",
        2 * ROWS,
    )
    assert training["created_at"] == "2027-01-15T08:00:00Z"
    assert training["span"] == [START_S, START_S + 10 * (ROWS - 1)]
    assert [event["event"] for event in heard] == ["started"]


def test_the_profile_of_what_was_learnt_travels_with_the_model(
    config: Config, registry: Registry
) -> None:
    job(config, registry).run()
    profile = manifest_of(registry.path("challenger"))["training"]["profiles"]["plant"]
    assert sorted(profile["units"]) == ["a", "b"]
    assert np.sum(profile["counts"]) == 2 * ROWS


def test_after_a_training_nothing_is_due_until_the_next_slot(
    config: Config, registry: Registry
) -> None:
    now = [START_S]
    assert job(config, registry, clock=lambda: now[0]).run().outcome == PUBLISHED
    now[0] += 60
    again = job(config, registry, clock=lambda: now[0]).run()
    assert again.outcome == NOT_DUE and "next by schedule at" in again.words
    now[0] += 86_400
    assert job(config, registry, clock=lambda: now[0]).run().outcome == PUBLISHED
    assert len(registry.versions()) == 2


def test_a_cause_that_was_found_elsewhere_needs_no_slot(config: Config, registry: Registry) -> None:
    now = [START_S]
    job(config, registry, clock=lambda: now[0]).run()
    now[0] += 60
    result = job(config, registry, clock=lambda: now[0]).run(
        cause="drift", why="drift: input:rms 0.50"
    )
    assert result.outcome == PUBLISHED
    assert manifest_of(registry.path("challenger"))["training"]["why"] == "drift: input:rms 0.50"


def test_a_look_changes_nothing(config: Config, registry: Registry) -> None:
    one = job(config, registry)
    assert one.look().due and one.look().why == "never trained here"
    assert (registry.versions(), last_attempt(one.turns)) == ([], None)


def test_too_few_rows_are_no_training_whatever_the_cause_unless_somebody_asks(
    tmp_path: Path, data: Path
) -> None:
    config = configured(tmp_path, data, min_rows=5000)
    registry = open_registry(config, create=True)
    assert registry is not None
    result = job(config, registry).run()
    assert (result.outcome, registry.versions()) == (NOT_DUE, [])
    assert "history holds 2400 of 5000 rows" in result.words
    found_by_the_daemon = job(config, registry).run(cause="drift", why="drift: input:rms 0.50")
    assert (found_by_the_daemon.outcome, registry.versions()) == (NOT_DUE, [])
    assert (
        found_by_the_daemon.words
        == "not due: drift: input:rms 0.50, but history holds 2400 of 5000 rows"
    )
    assert job(config, registry).run(cause="request").outcome == PUBLISHED


@pytest.mark.parametrize(
    ("made", "problem"),
    [
        ({"count": 300}, "training needs 512 rows of an entity, the longest of 2 has 300"),
        ({"constant": True}, "every channel of all 2 entities is constant or missing"),
    ],
)
def test_what_cannot_be_learnt_from_is_an_error_and_nothing_changes(
    tmp_path: Path, made: dict[str, Any], problem: str
) -> None:
    config = configured(tmp_path, rows(tmp_path / "bad.csv", **made), min_rows=100)
    registry = open_registry(config, create=True)
    assert registry is not None
    with pytest.raises(InputError, match=problem):
        job(config, registry).run()
    assert (registry.versions(), registry.aliases()) == ([], {})


def test_a_refusal_is_told_and_its_report_kept(
    config: Config, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer(monkeypatch, "refuse")
    result = job(config, registry).run()
    assert result.outcome == REFUSED and "recall fell from 0.9 to 0.2" in result.words
    assert config.retrain is not None and result.version is not None
    assert (Path(config.retrain.reports) / result.version / "gate.json").is_file()
    assert (registry.versions(), registry.aliases()) == ([], {})


def test_a_failed_training_says_why_and_changes_nothing(
    config: Config, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer(monkeypatch, "fail")
    with pytest.raises(StreamerError, match="the training ended with exit code 1: something broke"):
        job(config, registry).run()
    assert (registry.versions(), registry.aliases()) == ([], {})


@pytest.mark.parametrize(
    ("how", "limits", "problem"),
    [
        ("eat", {"memory": "1GiB"}, "MemoryError"),
        ("sleep", {"time": "10s"}, "ended after 1. s, its limit"),
    ],
)
def test_a_training_that_wants_too_much_is_ended(
    tmp_path: Path,
    data: Path,
    monkeypatch: pytest.MonkeyPatch,
    how: str,
    limits: dict[str, str],
    problem: str,
) -> None:
    trainer(monkeypatch, how)
    config = configured(tmp_path, data, limits=limits)
    registry = open_registry(config, create=True)
    assert registry is not None
    with pytest.raises(StreamerError, match=problem):
        job(config, registry).run()
    assert registry.versions() == []


def test_a_stop_ends_a_training_and_lets_others_have_the_turn(
    config: Config, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer(monkeypatch, "sleep")
    stop = threading.Event()
    one = job(config, registry, stop=stop.is_set, hear=lambda event: stop.set())
    assert one.run().outcome == STOPPED
    trainer(monkeypatch, "publish")
    assert job(config, registry).run(cause="request").outcome == PUBLISHED


def test_what_nobody_judged_and_what_is_confirmed_is_not_learnt_and_what_is_called_normal_counts_more(
    config: Config, registry: Registry
) -> None:
    journal = SqliteJournal(None)
    journal.record(
        [Incident("i1", "plant", "a", START_S + 8000, None, "warning", 1.5, "", "t", 0, -1, -1)]
    )
    for kind, at in ((LabelKind.CONFIRMED, 7000), (LabelKind.FALSE_ALARM, 7500)):
        journal.label(Label(kind, "plant", "b", START_S + at, START_S + at + 95))
    job(config, registry, journal=journal).run()
    seen = manifest_of(registry.path("challenger"))["training"]["seen"]
    assert (seen["masked"], seen["heavy"]) == ((ROWS - 800) + 10, 10)
    assert seen["labels"] == [{"start_s": START_S + 7000, "end_s": START_S + 7095, "entity": "b"}]


# -- whom it trusts
@pytest.fixture
def strict(tmp_path: Path, data: Path) -> Config:
    """Every model must be signed, and what is trained here will be."""
    key = signing.generate(tmp_path / "key.pem")
    model = {"keys": [key], "require_signature": True}
    return configured(tmp_path, data, model=model, sign=str(tmp_path / "key.pem"))


def aliased(registry: Registry, alias: str, directory: Path, key: Path | None = None) -> str:
    """The starter under another name, published and named; signed where there is a key."""
    found = artifact.load(artifact.PRETRAINED)
    artifact.save(
        directory,
        version="v1",
        spec=found.spec,
        weights=found.weights,
        calibration=found.calibration,
        parts={name: blob for name, blob in found.parts.items() if name != artifact.WEIGHTS},
        training={},
    )
    if key is not None:
        (directory / artifact.SIGNATURE).write_bytes(
            signing.sign((directory / artifact.MANIFEST).read_bytes(), key)
        )
    registry.move({alias: registry.publish(directory)})
    return "v1"


@pytest.mark.parametrize("what", [lambda one: one.run(), lambda one: one.evaluate()])
def test_a_champion_that_nobody_trusts_is_neither_learnt_from_nor_evaluated(
    strict: Config, registry: Registry, tmp_path: Path, what: Callable[[Job], object]
) -> None:
    champion = aliased(registry, "champion", tmp_path / "b")
    with pytest.raises(
        UntrustedBundle, match=r"is not signed, and model\.require_signature is set; sign it with"
    ):
        what(job(strict, registry))
    assert (registry.versions(), registry.aliases()) == ([champion], {"champion": champion})


def test_what_a_trusted_champion_learnt_is_signed(
    strict: Config, registry: Registry, tmp_path: Path
) -> None:
    champion = aliased(registry, "champion", tmp_path / "b", tmp_path / "key.pem")
    assert job(strict, registry).run().outcome == PUBLISHED
    made = artifact.load(
        registry.path("challenger"), signing.trust_of(strict.model.keys, required=True)
    )
    assert made.manifest["training"]["parent"] == champion


def test_a_twin_is_published_and_signed_as_its_teacher_and_challenges_nobody(
    strict: Config, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer(monkeypatch, "twin")
    version = job(strict, registry).run().version
    assert sorted(registry.versions()) == [version, f"{version}-edge"]
    assert registry.aliases() == {"challenger": version}
    trust = signing.trust_of(strict.model.keys, required=True)
    assert artifact.load(registry.path(f"{version}-edge"), trust).version == f"{version}-edge"


@pytest.mark.parametrize("signed", [True, False])
def test_a_student_starts_from_a_twin_that_is_trusted_and_from_no_other(
    strict: Config, registry: Registry, tmp_path: Path, signed: bool
) -> None:
    aliased(registry, "edge", tmp_path / "b", tmp_path / "key.pem" if signed else None)
    assert job(strict, registry).run().outcome == PUBLISHED
    seen = manifest_of(registry.path("challenger"))["training"]["seen"]
    assert (seen["edge"] is not None) == signed


# -- one at a time
def together(config: Config, turns: list[TrainingLock], count: int) -> list[str]:
    def run(number: int) -> str:
        registry = open_registry(config, create=True)
        assert registry is not None
        with closing(registry):
            return job(config, registry, turns=turns[number]).run(cause="request").outcome

    with ThreadPoolExecutor(count) as pool:
        return sorted(pool.map(run, range(count)))


def test_of_many_that_start_together_on_one_machine_one_trains(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer(monkeypatch, "sleep", TRAINER_S="2")
    turns: list[TrainingLock] = [open_turns(config) for _ in range(3)]
    assert together(config, turns, 3) == [BUSY, BUSY, PUBLISHED]


@pytest.mark.needs_redis
def test_of_many_that_share_a_redis_one_trains(
    config: Config, redis_server: RedisServer | RunningRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer(monkeypatch, "sleep", TRAINER_S="2")
    shared = section(redis_server.url)
    turns: list[TrainingLock] = [RedisTrainingLock(shared) for _ in range(3)]
    assert together(config, turns, 3) == [BUSY, BUSY, PUBLISHED]
    assert last_attempt(turns[0]) == pytest.approx(time.time(), abs=60)


@pytest.mark.needs_redis
def test_who_was_overtaken_publishes_no_challenger(
    config: Config,
    registry: Registry,
    redis_server: RedisServer | RunningRedis,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    trainer(monkeypatch, "sleep", TRAINER_S="2")
    shared = section(redis_server.url)
    late, other = RedisTrainingLock(shared, ttl_s=0.5), RedisTrainingLock(shared, ttl_s=60)
    problems: list[Exception] = []

    def train() -> None:
        try:
            job(config, registry, turns=late).run(cause="request")
        except StoreError as exc:
            problems.append(exc)

    thread = threading.Thread(target=train)
    thread.start()
    wait_until(lambda: last_attempt(late) is not None, timeout_s=10, what="the training")
    wait_until(lambda: other.take() is not None, timeout_s=10, what="the lock's expiry")
    thread.join(30)
    assert "another process took the turn" in str(problems[0])
    assert "challenger" not in registry.aliases()
