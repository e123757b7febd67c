"""The reference documents say what the code says: they are written from it, and leave nothing out."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest

from docgen.__main__ import DOCUMENTS
from docgen.alerts import EXAMPLE, MOVED, REASONS
from docgen.cli import options
from docgen.examples import EXAMPLES, FIRST
from streamer.cli.main import COMMANDS, EXIT_CODES, load
from streamer.cli.schema import schema_of
from streamer.config import config_from
from streamer.config.document import parse
from streamer.config.json_schema import sections, unions
from streamer.connect.formats.alert_event import message_json
from streamer.detect.evidence import EVIDENCES
from streamer.errors import StreamerError
from streamer.event import Message
from streamer.http.metric_entry import LABELS
from streamer.http.metric_table import GROUPS, TABLE
from streamer.http.metrics import _FIGURES, Metrics
from streamer.http.routes import ROUTES, RouteEntry
from streamer.journal import LabelKind
from tests.runtime.world import world

ROOT = Path(__file__).parents[1]
STREAM = {"name": "s", "source": {"kind": "memory"}}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_reference_is_what_the_code_says(name: str) -> None:
    path = ROOT / name
    assert path.read_text(encoding="utf-8") == DOCUMENTS[name](), "run make docs"


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_link_of_a_reference_leads_somewhere(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    headings = re.findall(r"^#+ (.*)", text, re.M)
    anchors = {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in headings}
    targets = re.findall(r"\]\(([^)]+)\)", text)
    inside = {target[1:] for target in targets if target.startswith("#")}
    assert inside <= anchors
    outside = [target for target in targets if not target.startswith("#")]
    assert [target for target in outside if not (ROOT / "docs" / target).exists()] == []
    assert len(headings) == len(set(headings))


def test_every_key_of_the_schema_says_what_it_does() -> None:
    told = [
        (f"{place}.{key}", node.get("description", ""))
        for place, section in sections().items()
        for key, node in section["properties"].items()
    ]
    # Pydantic leaves out a description that repeats the docstring of the section.
    assert len(told) > 200
    assert [key for key, text in told if not text.endswith(".")] == []


def test_every_section_of_the_schema_has_a_place() -> None:
    made = schema_of("config")
    titles = {section["title"] for section in sections().values()}
    assert {node["title"] for node in made["$defs"].values()} <= titles


@pytest.mark.parametrize("place", [place for place in sections() if ":" in place])
def test_every_kind_has_an_example(place: str) -> None:
    assert place in EXAMPLES


@pytest.mark.parametrize("text", [FIRST, *EXAMPLES.values()], ids=["first", *EXAMPLES])
def test_every_example_of_the_configuration_loads(text: str) -> None:
    secrets = dict.fromkeys(re.findall(r"\$\{(\w+)\}", text), "s")
    document = parse(text.encode(), "example", secrets)
    assert not document.problems
    data = {"version": 1, "streams": [STREAM], **document.data}
    assert config_from(data, env={}).streams


def test_the_kinds_of_an_example_are_those_it_stands_for() -> None:
    for place in (place for place in EXAMPLES if ":" in place):
        path, _, kind = place.partition(":")
        assert path in unions()
        assert f"kind: {kind}" in EXAMPLES[place]


def commands() -> Iterator[tuple[str, click.Command]]:
    for name, entry in COMMANDS.items():
        command = load(entry)
        yield name, command
        for below, sub in command.commands.items() if isinstance(command, click.Group) else ():
            yield f"{name} {below}", sub


ALL = dict(commands())


@pytest.mark.parametrize("name", ALL)
def test_every_command_and_every_option_says_what_it_does(name: str) -> None:
    command = ALL[name]
    assert command.help
    assert [option.name for option in options(command) if not option.help] == []


def test_every_exit_code_of_an_error_is_explained() -> None:
    todo: list[type[StreamerError]] = [StreamerError]
    for error in todo:
        todo += error.__subclasses__()
    assert {error.exit_code for error in todo} <= set(EXIT_CODES)


def test_every_metric_that_is_collected_is_in_the_table_under_its_kind_and_labels() -> None:
    for family in Metrics(world([]).service).collect():
        entry = TABLE[family.name.removeprefix("streamer_")]
        assert (family.type, family.documentation) == (entry.kind, entry.text)
        for sample in family.samples:
            assert set(sample.labels) - {"le"} == set(entry.labels)


def test_every_metric_of_the_table_is_collected() -> None:
    """Those of trainings where there are any, see tests/lifecycle; the others always."""
    collected = {family.name for family in Metrics(world([]).service).collect()}
    left = {name for name in TABLE if f"streamer_{name}" not in collected}
    assert left == {"drift", "retrain_runs", "evaluation_runs", *(name for name, _ in _FIGURES)}


def test_every_metric_is_told_of_once_with_its_labels() -> None:
    assert len(TABLE) == sum(map(len, GROUPS.values()))
    assert {label for entry in TABLE.values() for label in entry.labels} == set(LABELS)
    assert [entry.name for entry in TABLE.values() if not entry.high.endswith(".")] == []


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
def test_the_bodies_of_a_route_are_json(route: RouteEntry) -> None:
    if route.path != "/metrics":
        json.loads(route.example)
    assert set(json.loads(route.sent or "{}")) <= set(route.body)


@pytest.mark.parametrize(("what", "example"), [("alert", EXAMPLE), ("model-event", MOVED)])
def test_the_schema_of_a_message_describes_every_field_that_is_sent(
    what: str, example: Message
) -> None:
    made: dict[str, Any] = schema_of(what)
    for node in made["$defs"].values():
        assert [name for name, one in node["properties"].items() if "description" not in one] == []
        assert ": " not in node["description"].partition("\n")[2]
    main = made["$defs"][made["$ref"].rpartition("/")[2]]
    assert set(main["properties"]) == set(json.loads(message_json(example)))


def test_every_evidence_is_among_the_reasons() -> None:
    assert {evidence.name.upper() for evidence in EVIDENCES} <= set(REASONS)


def test_the_labels_that_http_takes_are_those_that_there_are() -> None:
    [route] = [route for route in ROUTES if route.handler == "label"]
    assert all(kind.value in route.body["label"] for kind in LabelKind)
