"""The JSON schema of config.yaml, and where each of its sections stands: both derived from the
models.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from pydantic.json_schema import GenerateJsonSchema

from streamer.config.schema import Config
from streamer.config.units import Parsed

Node = Mapping[str, Any]
TOP = "the top level"
ITEM = "[]"  # behind the path of a list: each of its items


# Pydantic writes bounds under its own names where a validator stands before them.
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
    """The JSON schema of config.yaml."""
    made = Config.model_json_schema(by_alias=True, schema_generator=_AsWritten)
    standard: dict[str, Any] = _standard(made)
    return standard


class _AsWritten(GenerateJsonSchema):
    """Defaults in the words of the configuration: 1h, not 3600."""

    def encode_default(self, dft: Any) -> Any:
        return str(dft) if isinstance(dft, Parsed) else super().encode_default(dft)


@cache
def sections() -> dict[str, Node]:
    """The sections by where they stand, such as `streams[].detect`; kinds of one place share it as
    `sinks[]:file`.
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
    """Where one of several kinds of section stands."""
    return frozenset(place.partition(":")[0] for place in sections() if ":" in place)


@cache
def homes() -> dict[str, list[str]]:
    """For each key, the places that know it."""
    found: dict[str, list[str]] = {}
    for place, section in sections().items():
        path = place.partition(":")[0] or TOP
        for key in section["properties"]:
            places = found.setdefault(key, [])
            places += [path] * (path not in places)
    return found


def _standard(node: Any) -> Any:
    """The schema with every bound under its name of JSON schema."""
    if isinstance(node, list):
        return [_standard(item) for item in node]
    if not isinstance(node, dict):
        return node
    names = KEYWORDS if "type" in node else {}
    return {names.get(key, key): _standard(value) for key, value in node.items()}


def definition(node: Node) -> Node:
    """The section that a `$ref` names."""
    return schema()["$defs"][node["$ref"].rpartition("/")[2]]


def _below(path: str, node: Node) -> Iterator[tuple[str, Node]]:
    """The sections that may stand as the value of a key."""
    if "items" in node:
        yield from _below(path + ITEM, node["items"])
    elif "$ref" in node:
        yield path, definition(node)
    elif "discriminator" in node:
        for kind, ref in node["discriminator"]["mapping"].items():
            yield f"{path}:{kind}", definition({"$ref": ref})
    for option in node.get("anyOf", ()):
        yield from _below(path, option)
