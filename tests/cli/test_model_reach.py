"""What `check --connect` and `doctor` say of the registry, in one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from streamer.cli import doctor
from streamer.connect.storage.files_registry import DirectoryRegistry
from tests.bundles import a_bundle
from tests.cli.calls import call


@pytest.fixture
def registry(tmp_path: Path) -> DirectoryRegistry:
    opened = DirectoryRegistry(tmp_path / "registry", create=True)
    opened.publish(a_bundle(tmp_path / "b", "v1"))
    return opened


def config(home: Path, **sections: Any) -> Path:
    sections["model"] = {"registry": str(home / "registry")} | sections.get("model", {})
    told = {"version": 1, "streams": [{"name": "s", "source": {"kind": "memory"}}], **sections}
    (home / "config.yaml").write_text(json.dumps(told))
    return home / "config.yaml"


def line(home: Path, **sections: Any) -> tuple[str, str, str | None]:
    done = call("check", "--connect", "--format", "json", "-c", config(home, **sections))
    (found,) = [
        found for found in json.loads(done.stdout)["connect"] if found["name"] == "model registry"
    ]
    assert done.exit_code == (5 if found["status"] == "fail" else 0)
    return found["status"], found["detail"], found["fix"]


def test_a_champion_that_is_sound_is_fine(registry: DirectoryRegistry, tmp_path: Path) -> None:
    registry.move({"champion": "v1"})
    status, detail, _ = line(tmp_path)
    assert (status, detail.startswith("1 versions, champion is v1")) == ("ok", True)
    found = [
        finding for finding in doctor.examine(tmp_path / "config.yaml") if "model" in finding.name
    ]
    assert [(finding.name, finding.status) for finding in found] == [("model registry", "ok")]


def test_nothing_promoted_is_a_warning_with_the_command(
    registry: DirectoryRegistry, tmp_path: Path
) -> None:
    assert line(tmp_path) == (
        "warn",
        "1 versions, none is champion yet: the starter judges",
        "streamer model promote VERSION",
    )


def test_a_damaged_champion_is_a_failure(registry: DirectoryRegistry, tmp_path: Path) -> None:
    registry.move({"champion": "v1"})
    (tmp_path / "registry" / "versions" / "v1" / "weights.npz").unlink()
    status, detail, fix = line(tmp_path)
    assert status == "fail" and "weights.npz: cannot be read" in detail and fix


def test_an_unsigned_champion_is_a_failure_where_signatures_are_required(
    registry: DirectoryRegistry, tmp_path: Path
) -> None:
    registry.move({"champion": "v1"})
    key = json.loads(call("model", "keygen", tmp_path / "key.pem", "--format", "json").stdout)[
        "public"
    ]
    status, detail, fix = line(tmp_path, model={"keys": [key], "require_signature": True})
    assert (status, "is not signed" in detail) == ("fail", True) and "streamer model sign" in str(
        fix
    )


def test_a_folder_that_is_not_there_fails_unless_a_retrain_will_make_it(tmp_path: Path) -> None:
    status, detail, _ = line(tmp_path)
    assert status == "fail" and "there is no such folder" in detail
    status, detail, _ = line(tmp_path, retrain={"every": "24h"})
    assert (status, "will be made by the first retrain" in detail) == ("ok", True)
    assert not (tmp_path / "registry").exists()
