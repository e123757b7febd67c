"""The JSON schema of config.yaml and the places of its sections, derived from the models."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from pydantic.json_schema import GenerateJsonSchema

from streamer.config.schema import Config
from streamer.config.units import Parsed

Node = Mapping[str, Any]
TOP = "the top level"
ITEM = "[]"  # after the path of a list: each of its items


# Pydantic writes bounds under its own names if a validator precedes them.
KEYWORDS = {
    "ge": "minimum",
    "gt": "exclusiveMinimum",
    "le": "maximum",
    "lt": "exclusiveMaximum",
    "min_length": "minLength",
    "max_length": "maxLength",
}


@cache
def schema() -> dict[str, Any]:
    """Return the JSON schema of config.yaml."""
    made = Config.model_json_schema(by_alias=True, schema_generator=_AsWritten)
    standard: dict[str, Any] = _standard(made)
    return standard


class _AsWritten(GenerateJsonSchema):
    """Writes defaults as in the configuration: 1h, not 3600."""

    def encode_default(self, dft: Any) -> Any:
        return str(dft) if isinstance(dft, Parsed) else super().encode_default(dft)


@cache
def sections() -> dict[str, Node]:
    """Return the sections by place, such as `streams[].detect`.

    Kinds that share a place are named as in `sinks[]:file`.
    """
    found: dict[str, Node] = {"": schema()}
    todo = [("", schema())]
    while todo:
        path, node = todo.pop(0)
        for name, below in node["properties"].items():
            for place, section in _below(f"{path.partition(':')[0]}.{name}".lstrip("."), below):
                found[place] = section
                todo.append((place, dict(section)))
    return found


@cache
def unions() -> frozenset[str]:
    """Return the places that allow one of several kinds."""
    return frozenset(place.partition(":")[0] for place in sections() if ":" in place)


@cache
def homes() -> dict[str, list[str]]:
    """Return for each key the places that have it."""
    found: dict[str, list[str]] = {}
    for place, section in sections().items():
        path = place.partition(":")[0] or TOP
        for key in section["properties"]:
            places = found.setdefault(key, [])
            places += [path] * (path not in places)
    return found


def _standard(node: Any) -> Any:
    """Return the schema with every bound under its name in JSON schema."""
    if isinstance(node, list):
        return [_standard(item) for item in node]
    if not isinstance(node, dict):
        return node
    names = KEYWORDS if "type" in node else {}
    return {names.get(key, key): _standard(value) for key, value in node.items()}


def definition(node: Node) -> Node:
    """Return the section that a `$ref` names."""
    return schema()["$defs"][node["$ref"].rpartition("/")[2]]


def _below(path: str, node: Node) -> Iterator[tuple[str, Node]]:
    """Yield the sections that are allowed as the value of a key."""
    if "items" in node:
        yield from _below(path + ITEM, node["items"])
    elif "$ref" in node:
        yield path, definition(node)
    elif "discriminator" in node:
        for kind, ref in node["discriminator"]["mapping"].items():
            yield f"{path}:{kind}", definition({"$ref": ref})
    for option in node.get("anyOf", ()):
        yield from _below(path, option)
