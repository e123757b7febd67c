"""`streamer schema`: machine-readable schemas of what goes in and out."""

from __future__ import annotations

import json
from typing import Any

import click

DRAFT = "https://json-schema.org/draft/2020-12/schema"


@click.command()
@click.argument("what", type=click.Choice(["config", "alert"]))
def schema(what: str) -> None:
    """Print the JSON schema of config.yaml or of an alert."""
    click.echo(json.dumps({"$schema": DRAFT, **(_config() if what == "config" else _alert())}, indent=2))


def _config() -> dict[str, Any]:
    from streamer.config.explain import schema as config_schema

    return {"title": "streamer config.yaml", **config_schema()}


def _alert() -> dict[str, Any]:
    import msgspec

    from streamer.event import Alert

    return msgspec.json.schema(Alert)
