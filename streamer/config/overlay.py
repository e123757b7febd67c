"""Layers around the file: STREAMER__SECTION__KEY variables and --set above, presets below."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from streamer.config.document import Document, is_secret, parse_text
from streamer.config.expand import Expanded
from streamer.config.origin import Path, SettingOrigin
from streamer.config.presets import PRESETS
from streamer.config.problems import Problem
from streamer.errors import ConfigError
from streamer.masking import is_secret_name

ENV_PREFIX = "STREAMER__"
MAX_INDEX = 1000
_PART = re.compile(r"[^.\[\]=]+")


def overlay(document: Document, sets: Sequence[str], env: Mapping[str, str]) -> None:
    """Write variables, then flags, into the document; failures become its problems."""
    for text, path, raw, where in [*_from_env(env), *_from_sets(sets)]:
        # a flag is visible to every user of this machine in the list of processes
        flag = where.startswith("--set")
        origin = SettingOrigin(where, secret=bool(path) and is_secret(tuple(path)), clear=flag)
        try:
            _write(document, _located(document.data, path, text), raw, origin)
        except ConfigError as exc:
            document.problems.append(Problem((), exc.problem, origin))


def _from_env(env: Mapping[str, str]) -> Iterator[tuple[str, list[str], str, str]]:
    for name in sorted(name for name in env if name.startswith(ENV_PREFIX)):
        path = name.removeprefix(ENV_PREFIX).lower().split("__")
        yield name, path, env[name], f"variable {name}"


def _from_sets(sets: Sequence[str]) -> Iterator[tuple[str, list[str], str, str]]:
    for item in sets:
        target, equals, raw = item.partition("=")
        path = _PART.findall(target) if equals else []
        shown = target if is_secret_name(target) else item
        yield item if not path else target, path, raw, f"--set {shown}"


def _located(data: Any, parts: Sequence[str], text: str) -> Path:
    """Return the path of the target; list items are given by index or by the stream's name."""
    if not parts or not all(parts):
        raise ConfigError(
            "", f"{text!r} is not PATH=VALUE, such as streams.NAME.detect.cooldown=5m"
        )
    path: list[str | int] = []
    here = data
    for part in parts:
        step = _index(here, part, path) if isinstance(here, list) else part
        path.append(step)
        here = _child(here, step)
    return tuple(path)


def _index(items: list[Any], part: str, path: Sequence[str | int]) -> int:
    names = [str(item.get("name", "")) if isinstance(item, dict) else "" for item in items]
    lowered = [name.lower().replace("-", "_") for name in names]
    if part in names:
        return names.index(part)
    if part.lower().replace("-", "_") in lowered:  # variables have no dashes and no case
        return lowered.index(part.lower().replace("-", "_"))
    if part.isascii() and part.isdigit() and int(part) <= min(len(items), MAX_INDEX):
        return int(part)
    known = ", ".join([name for name in names if name] + [f"0 to {len(items) - 1}"] * bool(items))
    raise ConfigError(
        "", f"{'.'.join(map(str, path))} has no item {part!r}; there are: {known or 'none'}"
    )


def _child(here: Any, step: str | int) -> Any:
    if isinstance(here, dict):
        return here.get(str(step))
    if isinstance(here, list) and isinstance(step, int) and step < len(here):
        return here[step]
    return None


def _write(document: Document, path: Path, raw: str, origin: SettingOrigin) -> None:
    value = _value(raw, origin)
    if document.data is None:
        document.data = {}
    here = document.data
    for at, step in enumerate(path[:-1]):
        here = _descend(here, step, path[at + 1])
    _put(here, path[-1], value)
    _forget(document, path)
    document.values[path] = document.keys[path] = origin


def _descend(here: Any, step: str | int, following: str | int) -> Any:
    child = _child(here, step)
    if isinstance(child, dict | list):
        return child
    fresh: Any = [] if isinstance(following, int) else {}
    _put(here, step, fresh)
    return fresh


def _put(here: Any, step: str | int, value: Any) -> None:
    if isinstance(here, list) and isinstance(step, int):
        here[step : step + 1] = [value]
    elif isinstance(here, dict):
        here[str(step)] = value
    else:
        raise ConfigError("", f"cannot set {step!r} of a {type(here).__name__}")


def _forget(document: Document, path: Path) -> None:
    """Remove the places and problems below a path whose value is replaced."""
    for places in (document.values, document.keys):
        for known in [p for p in places if p[: len(path)] == path]:
            del places[known]
    document.problems = [p for p in document.problems if not p.path or p.path[: len(path)] != path]


def _value(raw: str, origin: SettingOrigin) -> Any:
    """Return the text unchanged, or lists, mappings and null in YAML's flow style."""
    if raw.strip() in {"null", "~"}:
        return None
    if raw.strip()[:1] + raw.strip()[-1:] not in {"[]", "{}"}:  # [::1]:80 is text
        return raw
    parsed = parse_text(raw, origin.where, Expanded)
    if parsed.problems:
        raise ConfigError("", parsed.problems[0].text)
    return parsed.data


def apply_presets(document: Document) -> None:
    """Fill the settings that a stream leaves out from its preset."""
    streams = document.data.get("streams") if isinstance(document.data, dict) else None
    for i, stream in enumerate(streams if isinstance(streams, list) else []):
        name = stream.get("preset") if isinstance(stream, dict) else None
        if isinstance(name, str) and name in PRESETS:
            _fill(document, stream, PRESETS[name], ("streams", i), SettingOrigin(f"preset {name}"))


def _fill(
    document: Document,
    here: dict[str, Any],
    preset: Mapping[str, Any],
    path: Path,
    origin: SettingOrigin,
) -> None:
    for key, value in preset.items():
        below = (*path, key)
        if isinstance(value, Mapping) and isinstance(here.get(key, {}), dict):
            _fill(document, here.setdefault(key, {}), value, below, origin)
        elif key not in here:
            here[key] = value
            document.values[below] = origin
