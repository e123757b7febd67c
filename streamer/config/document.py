"""Parses YAML into plain data with the place of every key and value.

Tags are refused and nothing is executed. Scalars follow YAML 1.2 (`no` and `on` are text, 010 is
ten); mappings have text keys; aliases and `<<` are bounded.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from yaml.composer import Composer
from yaml.error import Mark, MarkedYAMLError
from yaml.nodes import MappingNode, Node, ScalarNode
from yaml.parser import Parser
from yaml.reader import Reader, ReaderError
from yaml.resolver import BaseResolver
from yaml.scanner import Scanner

from streamer.config.expand import Expanded, expand
from streamer.config.origin import Path, SettingOrigin
from streamer.config.problems import Problem
from streamer.errors import ConfigError
from streamer.masking import conceal_yaml, is_secret_name

MAX_BYTES = 256 * 1024
MAX_NODES = 20_000  # counted after aliases are followed, which bounds an alias bomb
MAX_DEPTH = 20
MAX_LINE = 1000  # of a shown line; for a longer one only the place is shown
CORE = "tag:yaml.org,2002:"
PLAIN_TAGS = {f"{CORE}{name}" for name in ("str", "map", "seq")}
NULLS = {"", "~", "null", "Null", "NULL"}
BOOLS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INT = re.compile(r"[-+]?\d{1,18}")
_FLOAT = re.compile(r"[-+]?(\.\d+|\d+(\.\d*)?)([eE][-+]?\d{1,3})?")


class _Loader(Reader, Scanner, Parser, Composer, BaseResolver):
    """Composes nodes with marks, without implicit types."""

    def __init__(self, text: str) -> None:
        Reader.__init__(self, text)
        Scanner.__init__(self)
        Parser.__init__(self)
        Composer.__init__(self)
        BaseResolver.__init__(self)


@dataclass(slots=True)
class Document:
    """Plain data, the origin of each value and key by path, and the problems found."""

    data: Any = None
    values: dict[Path, SettingOrigin] = field(default_factory=dict)
    keys: dict[Path, SettingOrigin] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)


def parse(blob: bytes, name: str, env: Mapping[str, str]) -> Document:
    """Parse a YAML document; `name` is the file's name in places.

    Problems are collected and do not raise.
    """
    if len(blob) > MAX_BYTES:
        return _failed(name, f"larger than {MAX_BYTES // 1024} KiB; is this a configuration?")
    if b"\0" in blob:
        return _failed(name, "binary data; is this a configuration?")
    try:
        text = blob.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        line, column = (
            blob.count(b"\n", 0, exc.start) + 1,
            exc.start - blob.rfind(b"\n", 0, exc.start),
        )
        return _failed(f"{name}:{line}:{column}", "not UTF-8 text; save it as UTF-8")
    return parse_text(text, name, partial(expand, env=env))


def parse_text(text: str, name: str, expander: Callable[[str], Expanded]) -> Document:
    """Parse a text like `parse`."""
    lines = text.splitlines()
    try:
        node = _Loader(text).get_single_node()
    except MarkedYAMLError as exc:
        return _failed(*_syntax(exc, name, lines), lines=lines, mark=exc.problem_mark)
    except ReaderError as exc:
        return _failed(
            name, f"character {exc.character!r} at {exc.position} is not allowed in YAML"
        )
    except RecursionError:
        return _failed(name, f"nested more than {MAX_DEPTH} deep")
    if node is None:
        return _failed(name, "empty; it needs at least version and streams")
    return _Builder(name, lines, expander).build(node)


def _syntax(exc: MarkedYAMLError, name: str, lines: list[str]) -> tuple[str, str]:
    mark = exc.problem_mark
    where = f"{name}:{mark.line + 1}:{mark.column + 1}" if mark else name
    text = f"not YAML: {exc.problem}" + (f" ({exc.context})" if exc.context else "")
    if "'\\t'" in text:
        return where, f"{text}; indent with spaces"
    quote = (
        mark is not None
        and mark.line < len(lines)
        and lines[mark.line][: mark.column + 1].endswith("${")
    )
    return where, f'{text}; inside braces, write "${{...}}" in quotes' if quote else text


def _failed(
    where: str, text: str, lines: list[str] | None = None, mark: Mark | None = None
) -> Document:
    origin = SettingOrigin(where)
    if lines and mark and mark.line < len(lines) and len(lines[mark.line]) <= MAX_LINE:
        origin = SettingOrigin(where, conceal_yaml(lines[mark.line]), mark.line + 1, mark.column)
    return Document(problems=[Problem((), text, origin)])


class _Builder:
    """Converts nodes to data and counts them."""

    def __init__(self, name: str, lines: list[str], expander: Callable[[str], Expanded]) -> None:
        self.name, self.expander = name, expander
        self.lines = [conceal_yaml(line) if len(line) <= MAX_LINE else "" for line in lines]
        self.document = Document()
        self.nodes = 0

    def build(self, node: Node) -> Document:
        try:
            self.document.data = self._value(node, ())
        except _TooLargeError as exc:
            self._problem((), str(exc), exc.node)
        return self.document

    def _value(self, node: Node, path: Path) -> Any:
        self._count(node, path)
        self.document.values[path] = self._origin(node, path)
        if node.tag not in PLAIN_TAGS:
            return self._problem(
                path,
                f"the tag {node.tag.replace(CORE, '!!')} is not allowed; write a plain value",
                node,
            )
        if isinstance(node, ScalarNode):
            return self._scalar(node, path)
        if isinstance(node, MappingNode):
            return self._mapping(node, path)
        return [self._value(item, (*path, i)) for i, item in enumerate(node.value)]

    def _count(self, node: Node, path: Path) -> None:
        self.nodes += 1
        if self.nodes > MAX_NODES:
            raise _TooLargeError(f"more than {MAX_NODES} values once aliases are followed", node)
        if len(path) > MAX_DEPTH:
            raise _TooLargeError(
                f"nested more than {MAX_DEPTH} deep (does an alias hold itself?)", node
            )

    def _mapping(self, node: MappingNode, path: Path) -> dict[str, Any]:
        own: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        merges = [item for item in node.value if _is_merge(item[0])]
        for _, value_node in merges:  # first, because the places of the mapping's own keys win
            merged = self._merged(value_node, path) | merged
        for key_node, value_node in [item for item in node.value if item not in merges]:
            if isinstance(key_node, ScalarNode):
                self._item(own, key_node, value_node, path)
            else:
                self._problem(path, "a key must be plain text", key_node)
        return merged | own

    def _item(
        self, own: dict[str, Any], key_node: ScalarNode, value_node: Node, path: Path
    ) -> None:
        key: str = key_node.value
        below = (*path, key)
        if key in own:
            first = self.document.keys[below].number
            self._problem(
                below, f"the key is set twice; the first one is on line {first}", key_node
            )
            return
        own[key] = None
        self.document.keys[below] = self._origin(key_node, below)
        own[key] = self._value(value_node, below)

    def _merged(self, node: Node, path: Path) -> dict[str, Any]:
        parts = (
            [node]
            if isinstance(node, MappingNode)
            else node.value
            if isinstance(node.value, list)
            else []
        )
        if not all(isinstance(part, MappingNode) for part in parts) or not parts:
            self._problem(path, "<< needs a mapping or a list of mappings", node)
            return {}
        result: dict[str, Any] = {}
        for part in parts:
            self._count(part, path)
            result = self._mapping(part, path) | result
        return result

    def _scalar(self, node: ScalarNode, path: Path) -> Any:
        try:
            expanded = self.expander(node.value)
        except ConfigError as exc:
            return self._problem(path, exc.problem, node)
        origin = self.document.values[path]
        self.document.values[path] = replace(
            origin,
            secret=origin.secret or expanded.secret,
            clear=expanded.clear and bool(expanded.text),
        )
        return expanded.text if node.style or expanded.text != node.value else resolve(node.value)

    def _problem(self, path: Path, text: str, node: Node) -> None:
        self.document.problems.append(Problem(path, text, self._origin(node, path)))

    def _origin(self, node: Node, path: Path) -> SettingOrigin:
        mark = node.start_mark
        where = f"{self.name}:{mark.line + 1}:{mark.column + 1}"
        line = self.lines[mark.line] if mark.line < len(self.lines) else ""
        return SettingOrigin(where, line, mark.line + 1, mark.column, is_secret(path))


class _TooLargeError(Exception):
    """The document exceeds a limit; `node` is where."""

    def __init__(self, text: str, node: Node) -> None:
        super().__init__(text)
        self.node = node


def resolve(text: str) -> Any:
    """Return a plain scalar by the rules of YAML 1.2."""
    if text in NULLS:
        return None
    if text in BOOLS:
        return BOOLS[text]
    if _INT.fullmatch(text):
        return int(text)
    return float(text) if _FLOAT.fullmatch(text) else text


def is_secret(path: Path) -> bool:
    """Return whether the name of a setting marks its value as secret."""
    return bool(path) and isinstance(path[-1], str) and is_secret_name(path[-1])


def _is_merge(node: Node) -> bool:
    return isinstance(node, ScalarNode) and node.value == "<<" and node.style is None
