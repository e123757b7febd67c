"""Tables of kinds: every way leads somewhere, packages add rows, and nobody else asks for a kind."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from streamer.config import Config, ConfigErrors, KafkaSource, config_from, json_schema
from streamer.config.kinds import Kind, Kinds
from streamer.config.schema import DEAD_LETTERS, SINKS
from streamer.config.state import LABELS, STORES
from streamer.config.stream import SOURCES
from streamer.connect.base.opening import function
from streamer.errors import ConfigError
from tests.layers import kind_checks
from tests.plugins import installed
from tests.test_layers import SOURCES as CODE

TABLES: tuple[Kinds[Any], ...] = (SOURCES, SINKS, DEAD_LETTERS, LABELS, STORES)
ROWS: list[Kind] = [row for table in TABLES for row in table.rows.values()]
NAMES = {row.name for row in ROWS}
SECTIONS = {row.section.__name__ for row in ROWS}
WAYS = {
    way
    for row in ROWS
    for name in type(row).__dataclass_fields__
    if isinstance(way := getattr(row, name), str)
}


@pytest.mark.parametrize("way", sorted(WAYS))
def test_every_way_leads_to_something_that_can_be_called(way: str) -> None:
    assert callable(function(way))


def test_a_section_says_of_its_row_what_the_row_can() -> None:
    for source in SOURCES.rows.values():
        assert source.section.has_history == (source.history is not None)  # type: ignore[attr-defined]
    for store in STORES.rows.values():
        assert store.section.holds_models == (store.registry is not None)  # type: ignore[attr-defined]


def test_a_kafka_source_answers_what_is_asked_of_it() -> None:
    source = KafkaSource(kind="kafka", topic="t", group="g", instance="i", rebuild_events=7)
    assert source.live and source.framed and source.partitioned and source.has_history
    assert source.framing.format == "json" and source.membership == ("g", 7)
    assert source.for_worker(3).instance == "i-3"


def test_no_module_asks_for_the_kind_of_a_section() -> None:
    found = [bad for name, text in CODE.items() for bad in kind_checks(name, text, NAMES, SECTIONS)]
    assert found == []


PLANTED = {
    "a comparison": 'section.kind == "kafka"',
    "the other way round": '"kafka" != stream.source.kind',
    "one of several": 'sink.kind in ("file", "stdout")',
    "in raw data": 'section["kind"] == "kafka"',
    "in raw data, asked politely": 'section.get("kind") == "file"',
    "the class": "isinstance(section, KafkaSource)",
    "one of several classes": "isinstance(section, config.FileSink | StdoutSink)",
    "in a tuple": "isinstance(section, (FileSink, str))",
    "a matched kind": 'match x.kind:\n    case "kafka":\n        pass',
    "a matched class": "match x:\n    case KafkaSource():\n        pass",
}


@pytest.mark.parametrize("name", PLANTED)
def test_the_checker_sees_a_planted_question(name: str) -> None:
    assert kind_checks("streamer.app.daemon", PLANTED[name], NAMES, SECTIONS)
    assert kind_checks("streamer.connect.kafka.consumer.x", PLANTED[name], NAMES, SECTIONS) == []


@pytest.mark.parametrize(
    "text", ['fault.kind == "stuck"', 'x == "kafka"', "isinstance(section, SourceSection)"]
)
def test_the_checker_lets_other_questions_be_asked(text: str) -> None:
    assert kind_checks("streamer.app.daemon", text, NAMES, SECTIONS) == []


# -- packages
SINK = """
from typing import Literal
from streamer.config import SinkKind, SinkSection

class Pager(SinkSection):
    kind: Literal["pager"]
    number: int = 112

KIND = SinkKind(Pager, "pager_sink:open_sink")
"""
BROKEN = {
    "raise OSError('no radio')": "OSError: no radio",
    "KIND = 7": "pager_sink:KIND is no SinkKind",
    SINK.replace("SinkSection)", "Other)").replace(
        "import SinkKind, SinkSection", "import SinkKind, SourceSection as Other"
    ): "its section is no SinkSection",
    SINK.replace("Pager", "Server"): "a section of ours is called Server too",
    SINK.replace('"pager"]', '"beeper"]'): "its section needs kind: Literal['pager']",
    SINK.replace('Literal["pager"]', "str"): "its section needs kind: Literal['pager']",
}


def configured(**sink: object) -> Config:
    stream = {"name": "s", "source": {"kind": "memory"}}
    return config_from({"version": 1, "streams": [stream], "sinks": [sink]})


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Each test imports a pager_sink of its own."""
    monkeypatch.delitem(sys.modules, "pager_sink", raising=False)
    yield
    sys.modules.pop("pager_sink", None)


@pytest.mark.usefixtures("module")
def test_a_package_adds_a_kind_that_is_validated_like_ours(tmp_path: Path) -> None:
    entries = {"streamer.sinks": {"pager": "pager_sink:KIND"}}
    with installed(tmp_path, "streamer-pager", {"pager_sink.py": SINK}, entries):
        assert configured(kind="pager").sinks[0].model_dump() == {"kind": "pager", "number": 112}
        with pytest.raises(ConfigErrors, match=r"did you mean number\?"):
            configured(kind="pager", nummber=1)
        with pytest.raises(ConfigErrors, match=r"did you mean pager\?"):
            configured(kind="pagr")
        assert "Pager" in json_schema.schema()["$defs"]
    assert "Pager" not in json_schema.schema()["$defs"]
    with pytest.raises(ConfigErrors, match="unknown kind 'pager'"):
        configured(kind="pager")


@pytest.mark.usefixtures("module")
@pytest.mark.parametrize("text", BROKEN)
def test_a_broken_package_is_named_with_what_is_wrong(tmp_path: Path, text: str) -> None:
    entries = {"streamer.sinks": {"pager": "pager_sink:KIND"}}
    with (
        installed(tmp_path, "streamer-pager", {"pager_sink.py": text}, entries),
        pytest.raises(
            ConfigError, match=r"sinks: kind 'pager' of streamer-pager 1\.2\.3 "
        ) as caught,
    ):
        configured(kind="stdout")
    assert BROKEN[text] in str(caught.value)


@pytest.mark.usefixtures("module")
def test_a_kind_that_is_taken_is_refused(tmp_path: Path) -> None:
    text = SINK.replace('"pager"', '"stdout"')
    entries = {"streamer.sinks": {"stdout": "pager_sink:KIND"}}
    with (
        installed(tmp_path, "streamer-pager", {"pager_sink.py": text}, entries),
        pytest.raises(ConfigError, match="its kind is taken by"),
    ):
        configured(kind="stdout")


def test_packages_are_looked_up_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    real = metadata.entry_points

    def watched(group: str) -> Any:
        asked.append(group)
        return real(group=group)

    monkeypatch.setattr(metadata, "entry_points", watched)
    with installed(tmp_path, "streamer-nothing", {}, {}):
        assert asked == []
        for _ in range(3):
            configured(kind="stdout")
    assert sorted(asked) == ["streamer.sinks", "streamer.sources"]


def test_an_import_looks_for_no_packages() -> None:
    code = """
from importlib import metadata
real = metadata.entry_points
def watched(group):
    assert not group.startswith("streamer."), group
    return real(group=group)
metadata.entry_points = watched
import streamer.config, streamer.connect, streamer.app.daemon
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
