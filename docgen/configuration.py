"""docs/configuration.md: every key of config.yaml, from the models of `streamer.config`."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from docgen.examples import EXAMPLES, FIRST
from docgen.markdown import code, entry, fence, generated, heading, items, link, page, table, wrap
from docgen.types import MEANINGS, QUANTITIES, type_of
from streamer.config import PRESETS
from streamer.config.json_schema import sections

Node = Mapping[str, Any]
TOP = "Top level"
INTRO = (
    "A configuration is one YAML file, `config.yaml` by default. Values follow YAML 1.2: `no` and "
    "`on` are text. An unknown key is an error that names its place and the nearest right name.",
    "A setting is looked for in this order: `--set PATH=VALUE`, the variable "
    "`STREAMER__SECTION__KEY`, the file, the preset of the stream, the default. In a path, a "
    "stream is named: `--set streams.vibration.detect.cooldown=5m`, or "
    "`STREAMER__STREAMS__VIBRATION__DETECT__COOLDOWN=5m`.",
    "Inside a text, `${NAME}` is a variable, `${NAME:-text}` one with a default, `${file:PATH}` "
    "the content of a file, and `$$` a dollar sign. Relative paths start at the directory the "
    "command runs in.",
    "`streamer check` finds every mistake at once. `streamer check --show-effective` lists every "
    "setting with its origin. `streamer schema config` prints the JSON schema for editors.",
)
PRESET_TEXT = (
    "A preset sets defaults for a kind of data. What the stream itself says takes precedence. An "
    "empty cell is the default."
)


def document() -> str:
    places = list(_in_order(""))
    return page(
        generated("streamer/config"),
        heading(1, "Configuration"),
        *map(wrap, INTRO),
        fence(FIRST, "yaml"),
        heading(2, "Sections"),
        items([f"- {link(_title(path))}{_hint(path)}" for path in _paths(places)]),
        heading(2, "Types of values"),
        _types(),
        heading(2, "Presets"),
        wrap(PRESET_TEXT),
        _presets(),
        *(block for path in _paths(places) for block in _section(path, places)),
    )


def _in_order(path: str) -> Iterator[str]:
    """The places below a path, each before what stands in it, in the order of the keys."""
    yield path
    known = sections()
    for key in known[path]["properties"]:
        start = f"{path.partition(':')[0]}.{key}".lstrip(".")
        for place in known:
            if place.partition(":")[0].removesuffix("[]") == start and place.startswith(start):
                yield from _in_order(place)


def _paths(places: list[str]) -> list[str]:
    return list(dict.fromkeys(place.partition(":")[0] for place in places))


def _title(path: str) -> str:
    return code(path) if path else TOP


def _hint(path: str) -> str:
    kinds = [place.partition(":")[2] for place in sections() if place.startswith(f"{path}:")]
    return f": {', '.join(kinds)}" if kinds else ""


def _section(path: str, places: list[str]) -> Iterator[str]:
    yield heading(2, _title(path))
    kinds = [place for place in places if place.startswith(f"{path}:")]
    if not kinds:
        yield from _body(path)
    elif path:
        yield wrap("One of these kinds:")
    for place in kinds:
        yield heading(3, code(_kind_title(place)))
        yield from _body(place)


def _kind_title(place: str) -> str:
    path, _, kind = place.partition(":")
    return f"{path.split('.')[-1].removesuffix('[]')}: {{kind: {kind}}}"


def _body(place: str) -> Iterator[str]:
    section = sections()[place]
    yield "\n\n".join(map(wrap, section["description"].split("\n\n")))
    if place in EXAMPLES:
        yield fence(EXAMPLES[place], "yaml")
    required = section.get("required", ())
    path = place.partition(":")[0]
    yield items(
        [
            _key(path, key, node, needed=key in required)
            for key, node in section["properties"].items()
        ]
    )


def _key(path: str, key: str, node: Node, *, needed: bool) -> str:
    below = f"{path}.{key}".lstrip(".")
    target = next((p for p in _all_paths() if p.removesuffix("[]") == below), None)
    words = type_of(node)
    if target is not None:
        words = re.sub("sections?", lambda found: f"{found[0]} {link(code(target))}", words)
    return entry(code(key), f"{words}{_default(node, needed=needed)}", node["description"])


def _all_paths() -> list[str]:
    return _paths(list(sections()))


def _default(node: Node, *, needed: bool) -> str:
    if needed:
        return "; required"
    value = node.get("default", {})
    whole = isinstance(value, Mapping) and value  # of a section, whose keys have their own
    return "" if whole else f"; default {code(flow(value))}"


def flow(value: Any) -> str:
    """A value as YAML in flow style."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return f"[{', '.join(map(flow, value))}]"
    if isinstance(value, float):
        return f"{value:g}"
    return value if isinstance(value, str) and value else json.dumps(value)


def _types() -> str:
    rows = [
        (name, MEANINGS[name], ", ".join(map(code, quantity.EXAMPLES)))
        for name, quantity in QUANTITIES.items()
    ]
    return table(("type", "is written as", "examples"), rows)


def _presets() -> str:
    found = {name: dict(_flat(preset)) for name, preset in PRESETS.items()}
    keys = sorted({key for preset in found.values() for key in preset})
    rows = [
        (code(key), *(code(preset[key]) if key in preset else "" for preset in found.values()))
        for key in keys
    ]
    return table(("setting", *map(code, found)), rows)


def _flat(preset: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in preset.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{path}{key}.")
        else:
            yield f"{path}{key}", value
