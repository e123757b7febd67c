"""What judges at the start: the wish, else the previous model, else the baseline, and always said
aloud.
"""

from __future__ import annotations

import shutil
import threading
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from streamer import artifact, signing
from streamer.app import assembly
from streamer.app.daemon import Daemon
from streamer.config import Config, config_from
from streamer.config.learning import Retrain
from streamer.connect.storage.files_registry import DirectoryRegistry
from streamer.errors import BackendError, ConfigError
from streamer.runtime.model import load_configured, load_model


def config_of(**model: Any) -> Config:
    stream = {"name": "s", "source": {"kind": "memory"}}
    return config_from({"version": 1, "streams": [stream], "model": {"backend": "numpy", **model}})


def real(directory: Path, version: str) -> Path:
    """The starter bundle under another version."""
    found = artifact.load(artifact.PRETRAINED)
    artifact.save(
        directory,
        version=version,
        spec=found.spec,
        weights=found.weights,
        calibration=found.calibration,
        parts={name: blob for name, blob in found.parts.items() if name != "weights.npz"},
        training={},
    )
    return directory


@pytest.fixture
def registry(tmp_path: Path) -> DirectoryRegistry:
    """With v1 as previous and v2 as champion."""
    opened = DirectoryRegistry(tmp_path / "registry", create=True)
    for version in ("v1", "v2"):
        opened.publish(real(tmp_path / version, version))
    opened.move({"champion": "v2", "previous": "v1"})
    return opened


@pytest.fixture
def config(registry: DirectoryRegistry, tmp_path: Path) -> Config:
    return config_of(registry=str(tmp_path / "registry"))


def test_the_champion_judges(config: Config) -> None:
    loaded = load_configured(config)
    assert (loaded.network.ref.version, loaded.state.role) == ("v2", "champion")


def test_an_alias_or_a_version_may_be_chosen(registry: DirectoryRegistry, config: Config) -> None:
    for alias in ("previous", "v1"):
        chosen = config_of(registry=config.model.registry, alias=alias)
        assert load_configured(chosen).network.ref.version == "v1"


def spoil(tmp_path: Path, version: str) -> None:
    (tmp_path / "registry" / "versions" / version / "weights.npz").write_bytes(b"PK")


def test_a_damaged_champion_leaves_it_to_the_previous_one_loudly(
    config: Config, tmp_path: Path
) -> None:
    spoil(tmp_path, "v2")
    with capture_logs() as logs:
        loaded = load_configured(config)
    assert (loaded.network.ref.version, loaded.state.role) == ("v1", "fallback")
    assert "weights.npz: SHA-256 is" in (loaded.fallback or "")
    assert [(line["event"], line["log_level"], line["fallback"]) for line in logs] == [
        ("model_unusable", "error", "v1")
    ]


def test_without_any_that_loads_the_baseline_judges_loudly(config: Config, tmp_path: Path) -> None:
    spoil(tmp_path, "v2")
    shutil.rmtree(tmp_path / "registry" / "versions" / "v1")
    with capture_logs() as logs:
        loaded = load_configured(config)
    assert (loaded.network.ref.backend, loaded.state.role) == ("baseline", "fallback")
    assert "no version 'v1', its previous" in (loaded.fallback or "")
    assert logs[0]["fallback"] == "baseline"


def test_a_registry_without_a_champion_leaves_it_to_the_starter(tmp_path: Path) -> None:
    (tmp_path / "registry").mkdir()
    with capture_logs() as logs:
        loaded = load_configured(config_of(registry=str(tmp_path / "registry")))
    assert (loaded.network.ref.version, loaded.state.role) == ("starter-1", "champion")
    assert logs[0]["event"] == "model_not_promoted_yet"


def test_a_registry_that_is_not_there_is_an_error_of_the_configuration(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"model\.registry: there is no such folder"):
        load_configured(config_of(registry=str(tmp_path / "nowhere")))


def test_a_service_that_retrains_makes_the_registry_and_no_other_does(tmp_path: Path) -> None:
    config = config_of(registry=str(tmp_path / "registry"))
    with pytest.raises(ConfigError, match=r"model\.registry: there is no such folder"):
        assembly.build(config)
    assert not (tmp_path / "registry").exists()
    retrain, ended = config.model_copy(update={"retrain": Retrain()}), threading.Event()
    ended.set()
    with pytest.raises(ConfigError):
        assembly.build(retrain, dry_run=True)
    assert Daemon(assembly.build(retrain), ended).run() == 0
    assert (tmp_path / "registry").is_dir()


@pytest.mark.parametrize("text", ["", "[]", '{"format": "streamer.registry/2"}'])
def test_a_registry_whose_index_is_damaged_leaves_it_to_the_baseline(
    config: Config, tmp_path: Path, text: str
) -> None:
    (tmp_path / "registry" / "registry.json").write_text(text)
    loaded = load_configured(config)
    assert loaded.network.ref.backend == "baseline"
    assert "registry.json" in (loaded.fallback or "")


# -- signatures
@pytest.fixture
def key(tmp_path: Path) -> str:
    """A public key; its private one lies beside."""
    return signing.generate(tmp_path / "key.pem")


def signed(registry: DirectoryRegistry, tmp_path: Path, version: str) -> None:
    manifest = (tmp_path / version / "manifest.json").read_bytes()
    (tmp_path / version / "signature.json").write_bytes(
        signing.sign(manifest, tmp_path / "key.pem")
    )
    registry.publish(tmp_path / version)


def test_where_signatures_are_required_an_unsigned_model_does_not_judge(
    registry: DirectoryRegistry, tmp_path: Path, key: str
) -> None:
    config = config_of(registry=str(tmp_path / "registry"), keys=[key], require_signature=True)
    refused = load_configured(config)
    assert refused.network.ref.backend == "baseline"
    assert "is not signed" in (refused.fallback or "")
    signed(registry, tmp_path, "v1")
    assert load_configured(config).network.ref.version == "v1"
    signed(registry, tmp_path, "v2")
    assert load_configured(config).state.role == "champion"


def test_a_signature_of_a_stranger_is_refused_even_where_none_is_required(
    registry: DirectoryRegistry, tmp_path: Path, key: str
) -> None:
    signed(registry, tmp_path, "v2")
    stranger = signing.generate(tmp_path / "other.pem")
    refused = load_configured(config_of(registry=str(tmp_path / "registry"), keys=[stranger]))
    assert refused.network.ref.version == "v1"
    assert f"is signed by {key}, which is not among model.keys" in (refused.fallback or "")


def test_the_starter_needs_no_signature(key: str) -> None:
    assert load_configured(config_of(keys=[key], require_signature=True)).state.role == "champion"


def test_a_bundle_that_is_named_by_its_path_must_be_signed_too(tmp_path: Path, key: str) -> None:
    refused = load_configured(
        config_of(path=str(real(tmp_path / "b", "b")), keys=[key], require_signature=True)
    )
    assert "is not signed" in (refused.fallback or "")


def test_a_key_that_is_none_is_an_error_of_the_configuration() -> None:
    with pytest.raises(
        ConfigError,
        match=r"model\.keys\[0\]: is neither base64 of 32 bytes nor a readable PEM file",
    ):
        load_configured(config_of(keys=["c2hvcnQ="]))


def test_a_backend_that_is_not_there_is_no_damage(registry: DirectoryRegistry) -> None:
    model = config_of().model.model_copy(update={"backend": "abacus"})
    with pytest.raises(BackendError, match="abacus"):
        load_model(model, registry)
