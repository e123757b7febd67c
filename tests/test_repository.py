"""What must and must not be in a checkout."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

from streamer.config import load_config

ROOT = Path(__file__).parents[1]
REQUIREMENTS = sorted((ROOT / "requirements").glob("*.txt"))
REQUIRED = (
    "README.md",
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "LICENSE",
    "Makefile",
    "Dockerfile",
    ".ci/run",
    "config.yaml",
    "pyproject.toml",
    "deploy/edge/streamer.service",
    "streamer/py.typed",
    "models/pretrained/manifest.json",
)

# Built from pieces, so that this file does not find itself.
FORBIDDEN = {
    "a package registry's address": r"(-|_)index-"
    r"url\b|trusted-"
    r"host|py"
    r"pi\.org|pythonhosted"
    r"\.org",
    "a machine's path": r"(?<![\w.])/(work|root|home|tmp)" r"/",
    "a private key": r"BEGIN [A-Z ]*PRIVATE" r" KEY",
}
# requirement files are made with this option, and the Makefile says so
EXEMPT = {"Makefile": r"--no-emit-index-" r"url"}


def tracked() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if listed.returncode:
        pytest.skip("not a git checkout")
    return [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


def text(path: Path) -> str:
    try:
        return path.read_text()
    except UnicodeDecodeError:
        return ""


@pytest.mark.parametrize("kind", FORBIDDEN)
def test_no_tracked_file_contains(kind: str) -> None:
    found = []
    for path in tracked():
        name = str(path.relative_to(ROOT))
        content = re.sub(EXEMPT[name], "", text(path)) if name in EXEMPT else text(path)
        found += [f"{name}: {match.group()}" for match in re.finditer(FORBIDDEN[kind], content)]
    assert found == []


@pytest.mark.parametrize("name", REQUIRED)
def test_the_house_is_complete(name: str) -> None:
    assert (ROOT / name).stat().st_size > 0 or name.endswith("py.typed")


@pytest.mark.parametrize("path", REQUIREMENTS, ids=lambda path: path.name)
def test_every_locked_requirement_is_pinned_and_hashed(path: Path) -> None:
    entries = re.split(r"\n(?=\S)", path.read_text().strip())
    assert [
        entry
        for entry in entries
        if not re.match(r"[a-z0-9-]+==\S+.*--hash=sha256:[0-9a-f]{64}", entry, re.S)
    ] == []


def test_the_example_configuration_is_valid() -> None:
    assert load_config(ROOT / "config.yaml", env={}).streams[0].name == "plant"


def names(path: Path) -> set[str]:
    return set(re.findall(r"^([a-z0-9-]+)==", path.read_text(), re.M))


def wanted(requirements: list[str]) -> set[str]:
    return {re.split(r"[<>=!~\[; ]", line)[0].lower().replace("_", "-") for line in requirements}


def test_the_locked_files_hold_what_pyproject_asks_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras, core = project["optional-dependencies"], wanted(project["dependencies"])
    folder = ROOT / "requirements"
    assert core <= names(folder / "core.txt")
    reads = extras["avro"] + extras["compression"]  # a stream is read wherever it is scored
    assert core | wanted(extras["edge"] + extras["sign"] + reads) <= names(folder / "edge.txt")
    assert core | wanted(extras["train"] + extras["edge"] + extras["console"]) <= names(
        folder / "full.txt"
    )
    assert names(folder / "full.txt") | wanted(extras["dev"]) <= names(folder / "dev.txt")


@pytest.mark.parametrize("name", ["core.txt", "edge.txt"])
def test_core_and_edge_have_no_tensorflow(name: str) -> None:
    assert not names(ROOT / "requirements" / name) & {"tensorflow", "keras", "tensorboard"}
