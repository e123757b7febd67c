"""`streamer schema`: JSON schemas of the configuration, of alerts and of model events."""

from __future__ import annotations

import inspect
import json
import re
from typing import Any

import click

# A field in the docstring of a message: `name: text`, with further lines indented.
FIELD = re.compile(r"^(\w+): (.*(?:\n[ ]+.*)*)", re.MULTILINE)
DRAFT = "https://json-schema.org/draft/2020-12/schema"


@click.command()
@click.argument("what", type=click.Choice(["config", "alert", "model-event"]))
def schema(what: str) -> None:
    """Print the JSON schema of config.yaml, of an alert or of a model event."""
    click.echo(json.dumps({"$schema": DRAFT, **schema_of(what)}, indent=2))


def schema_of(what: str) -> dict[str, Any]:
    """Return the schema of config, alert or model-event."""
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
    """Return the schema with the `name: text` lines of docstrings as descriptions of fields."""
    for node in made["$defs"].values():
        text, _, fields = node["description"].partition("\n\n")
        node["description"] = " ".join(text.split())
        for name, told in FIELD.findall(inspect.cleandoc(fields)):
            node["properties"][name]["description"] = " ".join(told.split())
    return made
