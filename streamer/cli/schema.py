"""`streamer schema`: machine-readable schemas of what goes in and out."""

from __future__ import annotations

import json
from typing import Any

import click

DRAFT = "https://json-schema.org/draft/2020-12/schema"


@click.command()
@click.argument("what", type=click.Choice(["config", "alert", "model-event"]))
def schema(what: str) -> None:
    """Print the JSON schema of config.yaml, of an alert, or of what is told when another model
    judges.
    """
    made = {"config": _config, "alert": _alert, "model-event": _model_event}[what]()
    click.echo(json.dumps({"$schema": DRAFT, **made}, indent=2))


def _config() -> dict[str, Any]:
    from streamer.config.json_schema import schema as config_schema

    return {"title": "streamer config.yaml", **config_schema()}


def _alert() -> dict[str, Any]:
    import msgspec

    from streamer.event import Alert

    return msgspec.json.schema(Alert)


def _model_event() -> dict[str, Any]:
    import msgspec

    from streamer.event import ModelEvent

    made: dict[str, Any] = msgspec.json.schema(ModelEvent)
    body = made["$defs"]["ModelEvent"]
    body["properties"] = {"type": {"type": "string", "pattern": r"^io\.streamer\.model\."}} | body[
        "properties"
    ]
    body["required"] = ["type", *body["required"]]
    return made
