"""Folder = import rule (ARCHITECTURE.md). Reads the source; imports nothing of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.classes import class_fields, top_classes
from tests.layers import cycles, folder_cycles, module_name, violations

ROOT = Path(__file__).parents[1]
FILES = sorted(path for part in ("streamer", "models") for path in (ROOT / part).rglob("*.py"))
SOURCES = {module_name(path, ROOT): path.read_text() for path in FILES}
PACKAGES = {module_name(path, ROOT) for path in FILES if path.name == "__init__.py"}
MAX_LINES = 400
LONGER: dict[str, str] = {}


@pytest.mark.parametrize("module", SOURCES)
def test_every_module_keeps_the_import_rules_of_its_folder(module: str) -> None:
    assert violations(module, SOURCES[module]) == []


def test_no_imports_go_in_circles() -> None:
    assert cycles(SOURCES) == []


def test_no_imports_go_in_circles_between_folders() -> None:
    assert folder_cycles(SOURCES, PACKAGES) == []


def test_no_file_is_longer_than_one_subject() -> None:
    everything = [
        path
        for part in ("streamer", "models", "bench", "docgen", "tests")
        for path in (ROOT / part).rglob("*.py")
    ]
    lines = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in everything}
    assert {
        path: count for path, count in lines.items() if count > MAX_LINES and path not in LONGER
    } == {}


# Class name: why it is defined in two files. A section of the configuration and what it opens may
# share their name.
TWICE: dict[str, str] = {}
MAX_FIELDS = 12
# Class: why it has more fields. Sections and settings may have as many as there are keys.
WIDER = {
    "Alert": "the alert event is a contract",
    "Carried": "the columns of one measurement",
    "Cards": "three of them are constants of the world",
    "DualStream": "the layers of the network",
    "GateRules": "settings of the gate",
    "Plant": "three of them are constants of the world",
    "Request": "the form of a training's request is a contract",
    "TrainSettings": "settings of a training",
}


def test_a_class_name_is_defined_once() -> None:
    homes: dict[str, list[str]] = {}
    for module, source in SOURCES.items():
        for name in top_classes(source):
            homes.setdefault(name, []).append(module)
    twice = {
        name
        for name, modules in homes.items()
        if len([module for module in modules if not module.startswith("streamer.config.")]) > 1
        or len([module for module in modules if module.startswith("streamer.config.")]) > 1
    }
    assert twice == TWICE.keys()


def test_no_class_has_more_fields_than_a_reader_can_hold() -> None:
    wide = {
        name
        for module, source in SOURCES.items()
        if not module.startswith("streamer.config.") and module != "streamer.settings"
        for name, fields in class_fields(source).items()
        if fields > MAX_FIELDS
    }
    assert wide == WIDER.keys()


PLANTED = {
    "an upward import": ("streamer.detect.state.ring", "from streamer.app import daemon"),
    "an upward import in a function": (
        "streamer.connect.files.source",
        "def f():\n    import streamer.app.daemon",
    ),
    "a relative import": ("streamer.detect.state.ring", "from ..connect import host"),
    "tensorflow at the top": ("streamer.backends.keras_step", "import tensorflow as tf"),
    "tensorflow in a class body": (
        "streamer.backends.keras_step",
        "class A:\n    import tensorflow",
    ),
    "tensorflow in a try": (
        "streamer.backends.keras_step",
        "try:\n    import tensorflow\nexcept ImportError:\n    pass",
    ),
    "tensorflow outside its rooms": ("streamer.runtime.x", "def f():\n    import tensorflow"),
    "models from the runtime": (
        "streamer.lifecycle.hot_swap",
        "def f():\n    from models import train",
    ),
    "the web application at the top": (
        "streamer.app.daemon",
        "from streamer.http.api import create_app",
    ),
    "models at the top of a command": ("streamer.cli.train", "from models import train"),
    "kafka outside connect": ("streamer.runtime.reader", "def f():\n    import kafka"),
    "sockets outside connect": ("streamer.cli.doctor", "def f():\n    import socket"),
    "threads in detect": ("streamer.detect.state.ring", "import threading"),
    "a wall clock in detect": (
        "streamer.detect.alerts.incident",
        "from datetime import datetime\ndatetime.now()",
    ),
    "a file in detect": ("streamer.detect.state.ring", "open('x')"),
    "pandas in detect": ("streamer.detect.state.ring", "def f():\n    import pandas"),
    "event importing ours": ("streamer.event", "from streamer.errors import InputError"),
    "a room importing its opener": (
        "streamer.connect.files.source",
        "from streamer.connect import host",
    ),
    "the state of detect importing its evidences": (
        "streamer.detect.state.ring",
        "import streamer.detect.evidence",
    ),
    "tests in shipped code": ("streamer.cli.demo", "from tests import layers"),
}


@pytest.mark.parametrize("name", PLANTED)
def test_the_checker_sees_a_planted_violation(name: str) -> None:
    assert violations(*PLANTED[name])


ALLOWED = {
    "heavy in a function": (
        "streamer.backends.litert",
        "class A:\n  def f(self):\n    import ai_edge_litert",
    ),
    "heavy for types only": (
        "streamer.backends.keras_step",
        "if TYPE_CHECKING:\n    import tensorflow",
    ),
    "a seam": (
        "streamer.detect.pipeline",
        "from streamer.protocols import Scorer\nimport numpy as np",
    ),
    "its own folder": ("streamer.detect.pipeline", "from streamer.detect.state import ring"),
    "the version": ("streamer.http.api", "from streamer import __version__"),
    "a command training": ("streamer.cli.train", "def f():\n    from models.train import train"),
    "training on keras": (
        "models.network",
        "import keras\nfrom streamer.detect.network import features",
    ),
}


@pytest.mark.parametrize("name", ALLOWED)
def test_the_checker_lets_the_rules_be_used(name: str) -> None:
    assert violations(*ALLOWED[name]) == []


def test_the_checker_sees_a_planted_cycle() -> None:
    there = {
        "streamer.a": "from streamer import b",
        "streamer.b": "def f():\n    import streamer.c",
        "streamer.c": "",
    }
    assert cycles(there) == []
    assert cycles({**there, "streamer.c": "from streamer.a import x"}) == [
        ["streamer.a", "streamer.b", "streamer.c"]
    ]


def test_the_checker_sees_a_planted_cycle_between_folders() -> None:
    there = {
        "streamer.a": "",
        "streamer.a.x": "from streamer.b import y",
        "streamer.b": "",
        "streamer.b.y": "",
        "streamer.b.z": "import streamer.a.w",
        "streamer.a.w": "",
    }
    packages = {"streamer.a", "streamer.b"}
    assert cycles(there) == []
    assert folder_cycles(there, packages) == [["streamer.a", "streamer.b"]]
    assert folder_cycles({**there, "streamer.b.z": ""}, packages) == []
