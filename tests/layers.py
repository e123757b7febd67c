"""The import rules of ARCHITECTURE.md as data, and a checker that reads source text only. Used by
test_layers.py.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

BASE = {"streamer", "streamer.event", "streamer.errors"}  # `streamer` itself is its version
SEAMS = BASE | {
    "streamer.protocols",
    "streamer.artifact",
    "streamer.failpoints",
    "streamer.journal",
    "streamer.signing",
    "streamer.settings",
    "streamer.backoff",
    "streamer.timefmt",
    "streamer.finding",
}
DETECT, CONNECT, KAFKA = "streamer.detect", "streamer.connect", "streamer.connect.kafka"
RUNTIME = SEAMS | {DETECT, "streamer.backends", CONNECT, "streamer.config", "streamer.log"}
ABOVE_RUNTIME = RUNTIME | {"streamer.runtime", "streamer.offline", "streamer.feedback"}
CONNECT_BASE = SEAMS | {"streamer.config", f"{CONNECT}.base"}
FORMATS = CONNECT_BASE | {f"{CONNECT}.formats"}

# Longest matching prefix wins; a part may always import itself. The right side names prefixes.
MAY_IMPORT: Mapping[str, set[str]] = {
    "streamer": set(),
    "streamer.event": set(),
    "streamer.errors": set(),
    "streamer.settings": set(),  # what config fills and detect obeys
    "streamer.protocols": BASE,
    "streamer.artifact": BASE,
    "streamer.signing": BASE,
    "streamer.journal": BASE,
    "streamer.finding": set(),  # what was looked at, how it is, what to do
    "streamer.timefmt": set(),  # times and durations as text
    "streamer.masking": set(),  # what counts as a secret, for log and config
    "streamer.failpoints": set(),  # where a test may kill the process
    "streamer.backoff": BASE | {"streamer.protocols"},
    "streamer.log": BASE | {"streamer.masking"},
    f"{DETECT}.state": SEAMS,
    f"{DETECT}.network": SEAMS | {f"{DETECT}.state"},
    f"{DETECT}.evidence": SEAMS | {f"{DETECT}.state", f"{DETECT}.network"},
    f"{DETECT}.alerts": SEAMS | {f"{DETECT}.state", f"{DETECT}.network", f"{DETECT}.evidence"},
    DETECT: SEAMS,
    "streamer.backends": SEAMS | {DETECT},
    "streamer.config": BASE | {"streamer.settings", "streamer.masking", "streamer.timefmt"},
    f"{CONNECT}.base": SEAMS | {"streamer.config"},
    f"{CONNECT}.formats": CONNECT_BASE,
    f"{CONNECT}.files": FORMATS,
    f"{CONNECT}.simulate": CONNECT_BASE,
    f"{CONNECT}.storage": CONNECT_BASE,
    f"{KAFKA}.client": CONNECT_BASE,
    f"{KAFKA}.diagnosis": CONNECT_BASE | {f"{KAFKA}.client"},
    f"{KAFKA}.consumer": FORMATS | {f"{KAFKA}.client", f"{KAFKA}.diagnosis"},
    f"{KAFKA}.producer": FORMATS | {f"{KAFKA}.client", f"{KAFKA}.diagnosis", f"{KAFKA}.consumer"},
    f"{CONNECT}.dead_letters": FORMATS | {f"{CONNECT}.files", KAFKA},
    CONNECT: SEAMS | {"streamer.config"},  # its own files open its rooms
    "streamer.offline": RUNTIME,
    "streamer.feedback": RUNTIME,
    "streamer.runtime": RUNTIME | {"streamer.feedback"},
    "streamer.lifecycle": ABOVE_RUNTIME,
    "streamer.app": ABOVE_RUNTIME | {"streamer.lifecycle"},
    "streamer.http": ABOVE_RUNTIME | {"streamer.lifecycle", "streamer.app"},
    "streamer.demo": ABOVE_RUNTIME | {"streamer.lifecycle", "streamer.app"},
    "streamer.cli": {"streamer", "models"},  # models: inside commands only, see HEAVY
    "models": SEAMS | {DETECT, "streamer.backends", CONNECT},
}

# May be imported inside functions only, except by the modules that live by it, which are then heavy
# themselves.
HEAVY = {
    "tensorflow",
    "keras",
    "ai_edge_litert",
    "matplotlib",
    "kafka",
    "redis",
    "uvicorn",
    "starlette",
    "cryptography",
    "models",
    "streamer.http.api",
}
HEAVY_AT_TOP: Mapping[str, set[str]] = {
    "models": {"tensorflow", "keras", "matplotlib", "models"},
    "streamer.http.api": {"starlette"},
}

# The only parts that may import these at all.
ONLY_IN: Mapping[str, set[str]] = {
    "tensorflow": {"models", "streamer.backends"},
    "keras": {"models"},
    "ai_edge_litert": {"models", "streamer.backends"},
    "kafka": {"streamer.connect"},
    "redis": {"streamer.connect"},
    "cryptography": {"streamer.signing"},
    "socket": {"streamer.connect"},
    "psutil": {"streamer.connect"},
}

# detect/ is numpy and these; neither files nor threads nor clocks.
DETECT_ALLOWS = {
    "__future__",
    "abc",
    "bisect",
    "collections",
    "dataclasses",
    "datetime",
    "enum",
    "functools",
    "hashlib",
    "io",
    "itertools",
    "json",
    "math",
    "numpy",
    "operator",
    "struct",
    "types",
    "typing",
    "zlib",
}
DETECT_FORBIDS_CALLS = {
    "open",
    "print",
    "input",
    "now",
    "utcnow",
    "today",
    "default_rng",
    "fromfile",
    "tofile",
}


@dataclass(frozen=True, slots=True)
class Import:
    """One imported name: the module that says it, where, and whether it happens when that module is
    imported.
    """

    by: str
    line: int
    target: str
    at_top: bool
    typing_only: bool


def module_name(path: Path, root: Path) -> str:
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(by: str, source: str) -> list[Import]:
    """Every import of a module, `from a import b` as a.b: b may be a module; a relative one starts
    with a dot.
    """
    found: list[Import] = []
    _walk(ast.parse(source), by, found, at_top=True, typing_only=False)
    return found


def _walk(node: ast.AST, by: str, found: list[Import], *, at_top: bool, typing_only: bool) -> None:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import | ast.ImportFrom):
            found += [
                Import(by, child.lineno, name, at_top, typing_only) for name in _targets(child)
            ]
        inside = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        typing = isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test)
        _walk(child, by, found, at_top=at_top and not inside, typing_only=typing_only or typing)


def _targets(node: ast.Import | ast.ImportFrom) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [f"{'.' * node.level}{node.module or ''}.{alias.name}" for alias in node.names]


def within(name: str, prefix: str) -> bool:
    """Whether `name` is `prefix` or lies below it."""
    return name == prefix or name.startswith(prefix + ".")


def part_of(module: str) -> str:
    """The part of the house that a module belongs to."""
    return max((part for part in MAY_IMPORT if within(module, part)), key=len)


def violations(module: str, source: str) -> list[str]:
    """What a module of ours does against the rules, one line each."""
    bad = [
        f"{module}:{found.line}: {why}"
        for found in imports(module, source)
        for why in _import_rules(found)
    ]
    if within(module, "streamer.detect"):
        bad += [
            f"{module}:{line}: detect/ calls {name}()"
            for line, name in _forbidden_calls(ast.parse(source))
        ]
    return bad


def _import_rules(found: Import) -> Iterator[str]:
    top, part = found.target.split(".")[0], part_of(found.by)
    if not top:
        yield "imports are absolute: say where it stands"
        return
    if top in {"streamer", "models"} and not _may_import(part, found.target):
        yield f"{part} may not import {found.target}"
    if top in {"tests", "bench", "docgen"}:
        yield f"shipped code may not import {found.target}"
    if found.at_top and not found.typing_only:
        yield from (
            f"{name} is heavy: import it inside the function that needs it"
            for name in _heavy(found)
        )
    if top in ONLY_IN and not any(within(found.by, room) for room in ONLY_IN[top]):
        yield f"{top} belongs to {', '.join(sorted(ONLY_IN[top]))}"
    if within(part, "streamer.detect") and top not in DETECT_ALLOWS | {"streamer"}:
        yield f"detect/ is numpy and the pure part of the standard library, not {top}"


def _heavy(found: Import) -> Iterator[str]:
    lives_by = set().union(
        *(names for room, names in HEAVY_AT_TOP.items() if within(found.by, room))
    )
    return (
        name
        for name in HEAVY - lives_by
        if within(found.target, name) and not within(found.by, name)
    )


def _may_import(part: str, target: str) -> bool:
    if within(target, part) and part != "streamer":
        return True
    # `from streamer import __version__` names an attribute of the package itself.
    return any(
        within(target, room)
        if room != "streamer" or part == "streamer.cli"
        else _is_attribute(target)
        for room in MAY_IMPORT[part]
    )


def _is_attribute(target: str) -> bool:
    return target in {"streamer", "streamer.__version__"}


def _forbidden_calls(tree: ast.AST) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = getattr(node.func, "id", getattr(node.func, "attr", ""))
            if name in DETECT_FORBIDS_CALLS:
                yield node.lineno, name


def cycles(sources: Mapping[str, str]) -> list[list[str]]:
    """Import cycles among modules (function-level imports count, typing-only ones do not), each as
    its members.
    """
    graph = {module: _edges(module, source, sources) for module, source in sources.items()}
    return [sorted(members) for members in _components(graph) if len(members) > 1]


def folder_cycles(sources: Mapping[str, str], packages: set[str]) -> list[list[str]]:
    """Circles of imports among folders, at any depth, each as its members. A folder is what lies
    directly in it.

    `packages` are the modules that are an `__init__`. Such a module opens its own rooms, so it
    counts for nobody.
    """
    graph: dict[str, set[str]] = {}
    for module, source in sources.items():
        if module not in packages:
            targets = {_folder(edge, packages) for edge in _edges(module, source, sources)}
            graph.setdefault(_folder(module, packages), set()).update(
                targets - {_folder(module, packages)}
            )
    for targets in list(graph.values()):
        for target in targets:
            graph.setdefault(target, set())
    return [sorted(members) for members in _components(graph) if len(members) > 1]


def _folder(module: str, packages: set[str]) -> str:
    return module if module in packages else module.rpartition(".")[0]


def _edges(module: str, source: str, known: Mapping[str, str]) -> set[str]:
    targets = (found.target for found in imports(module, source) if not found.typing_only)
    homes = (target if target in known else target.rpartition(".")[0] for target in targets)
    return {home for home in homes if home in known and home != module}


def _components(graph: Mapping[str, set[str]]) -> list[set[str]]:
    """Strongly connected components, by reachability: the graph is small."""
    reach = {node: _reachable(graph, node) for node in graph}
    return [
        set(group)
        for group in {frozenset({n} | {m for m in reach[n] if n in reach[m]}) for n in graph}
    ]


def _reachable(graph: Mapping[str, set[str]], start: str) -> set[str]:
    seen: set[str] = set()
    todo = [start]
    while todo:
        for following in graph[todo.pop()] - seen:
            seen.add(following)
            todo.append(following)
    return seen


# The only modules that may look at a section's kind or class: they are what that kind is about.
KIND_ROOMS = {
    KAFKA,
    "streamer.config.kafka",
    "streamer.config.kafka_rules",
    "streamer.config.spellings",  # names of other clients, in text that is not validated yet
}


def kind_checks(module: str, source: str, kinds: set[str], sections: set[str]) -> list[str]:
    """Where a module asks for the kind or the class of a section instead of a capability."""
    if any(within(module, room) for room in KIND_ROOMS):
        return []
    return [
        f"{module}:{node.lineno}: {why}"
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.expr | ast.pattern)
        for why in _kind_rules(node, kinds, sections)
    ]


def _kind_rules(node: ast.expr | ast.pattern, kinds: set[str], sections: set[str]) -> Iterator[str]:
    if isinstance(node, ast.Compare) and any(map(_is_kind, [node.left, *node.comparators])):
        yield from (f"compares a kind with {word!r}" for word in _words(node) & kinds)
    if isinstance(node, ast.Call) and getattr(node.func, "id", "") in {"isinstance", "issubclass"}:
        yield from (f"asks for the class {name}" for name in _names(node) & sections)
    if isinstance(node, ast.MatchValue):
        yield from (f"matches the kind {word!r}" for word in _words(node) & kinds)
    if isinstance(node, ast.MatchClass):
        yield from (f"matches the class {name}" for name in _names(node.cls) & sections)


def _is_kind(node: ast.expr) -> bool:
    """Whether it is `x.kind`, `x["kind"]` or `x.get("kind")`."""
    if isinstance(node, ast.Call):
        return getattr(node.func, "attr", "") == "get" and "kind" in _words(node)
    if isinstance(node, ast.Subscript):
        return "kind" in _words(node.slice)
    return isinstance(node, ast.Attribute) and node.attr == "kind"


def _words(node: ast.AST) -> set[str]:
    found = (child.value for child in ast.walk(node) if isinstance(child, ast.Constant))
    return {value for value in found if isinstance(value, str)}


def _names(node: ast.AST) -> set[str]:
    found = (getattr(child, "id", getattr(child, "attr", "")) for child in ast.walk(node))
    return set(found)
