"""`streamer schema`: machine-readable schemas of what goes in and out."""

from __future__ import annotations

import inspect
import json
import re
from typing import Any

import click

# A field in the docstring of what is sent: `name: text`, whose further lines are indented.
FIELD = re.compile(r"^(\w+): (.*(?:\n[ ]+.*)*)", re.MULTILINE)
DRAFT = "https://json-schema.org/draft/2020-12/schema"


@click.command()
@click.argument("what", type=click.Choice(["config", "alert", "model-event"]))
def schema(what: str) -> None:
    """Print the JSON schema of config.yaml, of an alert, or of what is told when another model
    judges.
    """
    click.echo(json.dumps({"$schema": DRAFT, **schema_of(what)}, indent=2))


def schema_of(what: str) -> dict[str, Any]:
    """The schema of config, alert or model-event."""
    return {"config": _config, "alert": _alert, "model-event": _model_event}[what]()


def _config() -> dict[str, Any]:
    from streamer.config.json_schema import schema as config_schema

    return {"title": "streamer config.yaml", **config_schema()}


def _alert() -> dict[str, Any]:
    import msgspec

    from streamer.event import Alert

    return _described(msgspec.json.schema(Alert))


def _model_event() -> dict[str, Any]:
    import msgspec

    from streamer.event import ModelEvent

    made = _described(msgspec.json.schema(ModelEvent))
    body = made["$defs"]["ModelEvent"]
    kind = {
        "type": "string",
        "pattern": r"^io\.streamer\.model\.",
        "description": "Tells a model event from an alert: io.streamer.model.EVENT.v1.",
    }
    body["properties"] = {"type": kind} | body["properties"]
    body["required"] = ["type", *body["required"]]
    return made


def _described(made: dict[str, Any]) -> dict[str, Any]:
    """The schema with the `name: text` lines of each docstring as descriptions of its fields."""
    for node in made["$defs"].values():
        text, _, fields = node["description"].partition("\n\n")
        node["description"] = " ".join(text.split())
        for name, told in FIELD.findall(inspect.cleandoc(fields)):
            node["properties"][name]["description"] = " ".join(told.split())
    return made
