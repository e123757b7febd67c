"""Avro schemas of the registry: plans for reading records and converting logical types.

fastavro does not convert logical types here: it would raise for a time out of range in a field that
is not read. Values are read as written, and only the configured fields are converted by their
schema.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from streamer.connect.formats.objects import Path, as_float, lookup, time_cell

Convert = Callable[[Any], Any]
# from subject and version to the registry's answer
Referenced = Callable[[str, int], Mapping[str, Any]]
SCALES = {"millis": 1e3, "micros": 1e6, "nanos": 1e9}
KINDS = ("timestamp", "local-timestamp")
# Seconds = number * first / second.
TIMES = {f"{kind}-{unit}": (1.0, per_s) for unit, per_s in SCALES.items() for kind in KINDS} | {
    "date": (86_400.0, 1.0)
}
MAX_SCALE = 1000  # digits after the point of a decimal; a measurement has fewer
MAX_REFERENCES = 100


class UnusableSchemaError(ValueError):
    """The registry has the schema, but it cannot be used to read records."""


@dataclass(frozen=True, slots=True)
class AvroPlan:
    """How records of one schema are read.

    `schema` is fastavro's parsed schema. `fixes` are conversions, parents before their fields.
    """

    schema: Any
    fixes: tuple[tuple[Path, str, Convert], ...]

    def plain(self, record: Any) -> Any:
        """Convert the configured fields of a record in place and return it."""
        for parent, name, convert in self.fixes:
            holder = lookup(record, parent)
            if isinstance(holder, dict) and name in holder:
                holder[name] = convert(holder[name])
        return record


def plan_for(
    found: Mapping[str, Any], referenced: Referenced, paths: Mapping[Path, str | None]
) -> AvroPlan:
    """Return the plan for a schema as stored in the registry.

    `paths` are the configured fields, with the time unit for the time. UnusableSchemaError if it is
    not Avro or is damaged; exceptions of `referenced` pass.
    """
    kind = found.get("schemaType", "AVRO")
    if kind != "AVRO":
        raise UnusableSchemaError(f"is {str(kind)[:20]}, not Avro")
    texts = list(_with_references(found, referenced, set()))
    try:
        return _plan(texts, paths)
    except UnusableSchemaError:
        raise
    except Exception as exc:  # any exception of the foreign parser means a bad schema
        raise UnusableSchemaError(
            f"cannot be read: {type(exc).__name__}: {str(exc)[:200]}"
        ) from None


def _plan(texts: list[str], paths: Mapping[Path, str | None]) -> AvroPlan:
    bare, names = _parsed(texts, _without_logical_types)
    if _may_explode(bare, names, set()):
        raise UnusableSchemaError(
            "has lists of items without any bytes: a few bytes could fill the memory"
        )
    whole, names = _parsed(texts, _same)
    return AvroPlan(bare, tuple(_fixes(whole, names, paths)))


def _with_references(
    found: Mapping[str, Any], referenced: Referenced, seen: set[tuple[str, int]]
) -> Iterator[str]:
    """The texts of a schema and of its references, in an order in which they can be parsed."""
    for reference in found.get("references") or ():
        try:
            place = str(reference["subject"]), int(reference["version"])
        except (TypeError, KeyError, ValueError):
            raise UnusableSchemaError("has references without subject and version") from None
        if place not in seen and len(seen) < MAX_REFERENCES:
            seen.add(place)
            yield from _with_references(referenced(*place), referenced, seen)
    yield found["schema"]


def _parsed(texts: list[str], prepare: Convert) -> tuple[Any, dict[str, Any]]:
    """Return the last schema parsed, and every named type by its full name."""
    import fastavro

    names: dict[str, Any] = {}
    parsed: Any = None
    for text in texts:
        parsed = fastavro.parse_schema(prepare(_json(text)), names)
    return parsed, names


def _json(text: str) -> Any:
    """Parse a schema; a primitive type may be a name without quotes."""
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def _same(schema: Any) -> Any:
    return schema


def _without_logical_types(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_without_logical_types(part) for part in schema]
    if isinstance(schema, dict):
        return {
            key: _without_logical_types(part)
            for key, part in schema.items()
            if key != "logicalType"
        }
    return schema


def _branches(schema: Any, names: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The types that a value of the schema may have: several for a union."""
    if isinstance(schema, list):
        for part in schema:
            yield from _branches(part, names)
    elif isinstance(schema, str):
        yield names.get(schema, {"type": schema})
    elif isinstance(schema.get("type"), dict | list):
        yield from _branches(schema["type"], names)
    else:
        yield schema


def _inside(schema: Any, step: str, names: Mapping[str, Any]) -> list[Any]:
    """The schemas of a field, or of the values of a map."""
    found: list[Any] = []
    for branch in _branches(schema, names):
        if branch["type"] == "map":
            found.append(branch["values"])
        found += [field["type"] for field in branch.get("fields", ()) if field["name"] == step]
    return found


def _fixes(
    schema: Any, names: Mapping[str, Any], paths: Mapping[Path, str | None]
) -> Iterator[tuple[Path, str, Convert]]:
    told: set[Path] = set()
    for path, unit in paths.items():
        at: list[Any] = [schema]
        for depth, step in enumerate(path, start=1):
            at = _inside(at, step, names)
            here, kinds = path[:depth], list(_branches(at, names))
            if depth == len(path):
                converts = [convert for kind in kinds if (convert := _conversion(kind, unit))]
            else:
                converts = (
                    [_never_null]
                    if here not in told and any(kind["type"] == "null" for kind in kinds)
                    else []
                )
            told.add(here)
            yield from ((path[: depth - 1], step, convert) for convert in converts)


def _never_null(value: Any) -> Any:
    """Replace a null parent by an empty object, so that no second parse is needed."""
    return {} if value is None else value


def _conversion(branch: Mapping[str, Any], unit: str | None) -> Convert | None:
    logical = branch.get("logicalType")
    if logical in TIMES and unit is not None:
        return partial(_moment, scale=TIMES[logical], unit=unit)
    scale = branch.get("scale", 0)
    if logical == "decimal" and isinstance(scale, int) and 0 <= scale <= MAX_SCALE:
        return partial(_decimal, scale=scale)
    return None


def _moment(value: Any, scale: tuple[float, float], unit: str) -> Any:
    whole = isinstance(value, int) and not isinstance(value, bool)
    return time_cell(value * scale[0] / scale[1], unit) if whole else value


def _decimal(value: Any, scale: int) -> Any:
    if not isinstance(value, bytes):
        return value
    number = int.from_bytes(value, "big", signed=True)
    try:
        return number / 10**scale
    except OverflowError:
        return math.copysign(math.inf, as_float(number))


def _may_explode(schema: Any, names: Mapping[str, Any], seen: set[str]) -> bool:
    """Whether it has a list whose items take no bytes.

    A count of 2**60 such items is nine bytes long.
    """
    for branch in _branches(schema, names):
        name = branch.get("name", "")
        if name in seen:
            continue
        seen.add(name) if name else None
        if branch["type"] == "array" and _empty(branch["items"], names, frozenset()):
            return True
        inner = [branch[key] for key in ("items", "values") if key in branch]
        inner += [field["type"] for field in branch.get("fields", ())]
        if any(_may_explode(part, names, seen) for part in inner):
            return True
    return False


def _empty(schema: Any, names: Mapping[str, Any], above: frozenset[str]) -> bool:
    """Whether values of the schema take no bytes."""
    if isinstance(schema, list):
        return False  # the index of the branch takes one
    branch = next(_branches(schema, names))
    name = branch.get("name", "")
    if name and name in above:
        return True
    if branch["type"] in {"record", "error"}:
        return all(
            _empty(field["type"], names, above | {name}) for field in branch.get("fields", ())
        )
    return branch["type"] == "null" or (branch["type"] == "fixed" and branch["size"] <= 0)
