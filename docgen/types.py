"""The type of a setting in words, from its JSON schema."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from docgen.markdown import code
from streamer.config import Duration, KofN, Rate, Size
from streamer.config.units import Parsed

Node = Mapping[str, Any]
QUANTITIES: Mapping[str, type[Parsed]] = {
    "duration": Duration,
    "size": Size,
    "rate": Rate,
    "k of n": KofN,
}
MEANINGS = {
    "duration": "a number and a unit of time: us, ms, s, m, h, d, w",
    "size": "a number and a unit of bytes: B, kB, MB, GB, TB, KiB, MiB, GiB, TiB",
    "rate": "a number per second, minute, hour, day or week",
    "k of n": "so many of so many events",
}
PATTERNS = {quantity.PATTERN: name for name, quantity in QUANTITIES.items()}
PLAIN = {"string": "text", "integer": "whole number", "number": "number", "null": "null"}


def type_of(node: Node) -> str:
    """What may be written: a duration, a whole number from 1 to 256, one of several words."""
    words = dict.fromkeys(word for option in node.get("anyOf", (node,)) for word in _words(option))
    return either(list(words))


def either(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"


def _words(node: Node) -> list[str]:
    if "$ref" in node or "discriminator" in node:
        return ["section"]
    if "const" in node:
        return [code(node["const"])]
    if "enum" in node:
        return list(map(code, node["enum"]))
    if node["type"] == "array":
        item = type_of(node["items"])
        several = " or " in item and not item.startswith("list of ")
        return [f"list of {item if several else plural(item)}"]
    if node["type"] == "object" and "additionalProperties" not in node:
        return ["mapping of names to anything"]
    if node["type"] == "object":
        return [f"mapping of names to {plural(type_of(node['additionalProperties']))}"]
    if node.get("format") == "password":
        return ["secret"]
    if node["type"] == "boolean":
        return ["true", "false"]
    return [PATTERNS.get(node.get("pattern", "")) or PLAIN[node["type"]] + _bounds(node)]


def plural(word: str) -> str:
    if word.startswith("list of "):
        return f"lists of {word.removeprefix('list of ')}"
    noun, of, bounds = word.partition(" from ")
    return f"{noun}s{of}{bounds}"


def _bounds(node: Node) -> str:
    found = ", ".join(_bound_words(node))
    return f" {found}" if found else ""


def _bound_words(node: Node) -> Iterator[str]:
    low, high = node.get("minimum"), node.get("maximum")
    above = node.get("exclusiveMinimum")
    if low is not None and high is not None:
        yield f"from {number(low)} to {number(high)}"
    elif above is not None and high is not None:
        yield f"above {number(above)}, up to {number(high)}"
    elif low is not None:
        yield f"from {number(low)}"
    elif above is not None:
        yield f"above {number(above)}"
    elif high is not None:
        yield f"up to {number(high)}"


def number(value: float) -> str:
    return f"{int(value):,}" if float(value).is_integer() else f"{value:g}"
