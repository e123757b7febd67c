"""Translates validation errors into problems with path, place and the nearest right name."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from streamer.config.document import Document, is_secret
from streamer.config.json_schema import definition, homes, schema, unions
from streamer.config.origin import Path, SettingOrigin
from streamer.config.problems import Problem
from streamer.config.spellings import foreign

# Planned for a later version; named in the error, never accepted and ignored.
PLANNED = {
    "context": "context fields come with a later version",
    "alertmanager": "this sink comes with a later version",
    "webhook": "this sink comes with a later version",
    "mqtt": "MQTT comes with a later version",
}
WORDS = {
    "missing": "is missing",
    "bool_parsing": "must be true or false",
    "bool_type": "must be true or false",
    "int_parsing": "must be a whole number",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_parsing": "must be a number",
    "float_type": "must be a number",
    "finite_number": "must be a finite number",
    "string_type": "must be text",
    "tuple_type": "must be a list",
    "dict_type": "must be a mapping of names to values",
    "model_type": "must be a mapping of settings",
    "model_attributes_type": "must be a mapping of settings",
}
TOO_FEW = "needs at least one item"
COMPARISONS = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}


def problems_of(error: ValidationError, document: Document) -> list[Problem]:
    """Return one problem per mistake, without those that only follow from another."""
    found = [
        problem for raw in error.errors(include_url=False) for problem in _problems(raw, document)
    ]
    known = [problem.path for problem in document.problems]
    fresh = [problem for problem in found if not _covered(problem.path, known)]
    every = [*fresh, *document.problems]
    return [problem for problem in fresh if not any(_explains(other, problem) for other in every)]


def _explains(other: Problem, problem: Problem) -> bool:
    """Return whether a problem only follows from another.

    Examples: too few items where one is invalid, a missing key that is misspelt.
    """
    if problem.text == TOO_FEW:
        return _below(other.path, problem.path)
    return (
        problem.text == WORDS["missing"]
        and other.path[:-1] == problem.path[:-1]
        and meant(problem.path) == other.hint
    )


def _covered(path: Path, known: Sequence[Path]) -> bool:
    return any(path[: len(other)] == other for other in known if other)


def _below(path: Path, above: Path) -> bool:
    return len(path) > len(above) and path[: len(above)] == above


def _problems(raw: Any, document: Document) -> Iterator[Problem]:
    path = as_written(raw["loc"], document.data)
    ctx: Mapping[str, Any] = raw.get("ctx", {})
    kind: str = raw["type"]
    if kind == "rules":
        for at, text in ctx["rules"]:
            yield Problem((*path, *at), text, place((*path, *at), document))
    elif kind == "extra_forbidden":
        text, hint = unknown_key(path, document.data)
        yield Problem(path, text, document.keys.get(path) or place(path, document), hint)
    elif kind in {"union_tag_invalid", "union_tag_not_found"}:
        yield _kind_problem(path, ctx, document)
    else:
        text, hint = _words(raw | {"input": "***"} if is_secret(path) else raw, ctx)
        yield Problem(path, text, place(path, document), hint)


def as_written(loc: Sequence[str | int], data: Any) -> Path:
    """Return the path in the document, without the kind that validation inserts for unions."""
    path: list[str | int] = []
    for part in loc:
        if _is_union(path) and isinstance(data, Mapping) and data.get("kind") == part:
            data = {key: value for key, value in data.items() if key != "kind"}
            continue
        path.append(part)
        data = child(data, part)
    return tuple(path)


def _is_union(path: Sequence[str | int]) -> bool:
    return "".join("[]" if isinstance(part, int) else f".{part}" for part in path)[1:] in unions()


def child(data: Any, part: str | int) -> Any:
    if isinstance(data, Mapping):
        return data.get(part)
    return (
        data[part]
        if isinstance(data, list) and isinstance(part, int) and part < len(data)
        else None
    )


def place(path: Path, document: Document) -> SettingOrigin:
    """Return the place of a value, or of its nearest parent that has one."""
    for n in range(len(path), -1, -1):
        found = document.values.get(path[:n]) if n == len(path) else document.keys.get(path[:n])
        if found is not None:
            return found
    return document.values.get((), SettingOrigin(""))


def _kind_problem(path: Path, ctx: Mapping[str, Any], document: Document) -> Problem:
    kinds = list(shape(path, document.data).get("discriminator", {}).get("mapping", {}))
    known = f"known: {', '.join(kinds)}"
    if ctx.get("tag") is None:
        return Problem((*path, "kind"), "is missing", place(path, document), known)
    tag = str(ctx["tag"])
    hint = planned(tag) or nearest(tag, kinds)
    return Problem(
        (*path, "kind"), f"unknown kind {tag!r}, {known}", place((*path, "kind"), document), hint
    )


def unknown_key(path: Path, data: Any) -> tuple[str, str]:
    """Return the sentence and the hint about a key that does not exist."""
    key = str(path[-1])
    names = known_keys(path[:-1], data)
    if hint := planned(key):
        return "not in this version", hint
    if hint := foreign(key):
        return "unknown key here", hint
    if hint := nearest(key, names):
        return "unknown key", hint
    if elsewhere := homes().get(key):
        return "unknown key here", f"it belongs to {' or '.join(elsewhere)}"
    return "unknown key", f"known: {', '.join(names)}"


def planned(name: str) -> str:
    return PLANNED.get(name, "")


def nearest(word: str, names: Sequence[str]) -> str:
    """Return `did you mean x?`, or "". Case, dashes and underlines are ignored."""
    plain = {_plain(name): name for name in reversed(names)}
    found = difflib.get_close_matches(_plain(word), list(plain), n=1, cutoff=0.6)
    return meant((plain[found[0]],)) if found else ""


def meant(path: Path) -> str:
    return f"did you mean {path[-1]}?"


def _plain(name: str) -> str:
    return re.sub(r"[-_. ]", "", name).lower()


def known_keys(path: Path, data: Any) -> list[str]:
    """Return the keys that are allowed at a path."""
    return list(shape(path, data).get("properties", {}))


def shape(path: Path, data: Any) -> Mapping[str, Any]:
    """Return the part of the JSON schema that describes a path of the data."""
    here = _resolved({"$ref": "#"}, data)
    for part in path:
        below = (
            here.get("items", {})
            if isinstance(part, int)
            else here.get("properties", {}).get(part, {})
        )
        data = child(data, part)
        here = _resolved(below, data)
    return here


def _resolved(node: Mapping[str, Any], data: Any) -> Mapping[str, Any]:
    if node.get("$ref") == "#":
        return schema()
    if "$ref" in node:
        return _resolved(definition(node), data)
    kind = str(data.get("kind")) if isinstance(data, Mapping) else ""
    chosen = node.get("discriminator", {}).get("mapping", {}).get(kind)
    if chosen:
        return _resolved({"$ref": chosen}, data)
    sections = [
        option for option in node.get("anyOf", ()) if "$ref" in option or "discriminator" in option
    ]
    return _resolved(sections[0], data) if sections else node


def _words(raw: Any, ctx: Mapping[str, Any]) -> tuple[str, str]:
    """Return sentence and hint for an error of one value; secrets are masked by the caller."""
    kind: str = raw["type"]
    if kind == "value_error":
        return str(ctx["error"]), ""
    if kind == "literal_error":
        names = re.findall(r"'([^']*)'", str(ctx["expected"])) or [str(ctx["expected"])]
        return f"must be {_either(names)}{_got(raw)}", nearest(str(raw["input"]), names)
    if kind == "too_short":
        return TOO_FEW, ""
    if kind == "string_pattern_mismatch":
        return (
            f"must be letters, digits, '.', '_' and '-', starting with a letter or "
            f"digit{_got(raw)}",
            "",
        )
    if kind.startswith(("greater_than", "less_than")):
        return f"must be {_bound(ctx)}{_got(raw)}", ""
    sentence = WORDS.get(kind) or str(raw["msg"]).removeprefix("Input should be ")
    return (sentence if kind == "missing" else f"{sentence}{_got(raw)}"), ""


def _bound(ctx: Mapping[str, Any]) -> str:
    return next(f"{words} {ctx[key]}" for key, words in COMPARISONS.items() if key in ctx)


def _either(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"


def _got(raw: Any) -> str:
    text = (
        {True: "true", False: "false", None: "nothing"}.get(raw["input"])
        if _is_word(raw["input"])
        else None
    )
    text = text or repr(raw["input"])
    return f", got {text if len(text) <= 60 else f'{text[:60]}...'}"


def _is_word(value: object) -> bool:
    return value is None or isinstance(value, bool)
