"""Writes the tables of figures in the documents from bench/results: `make docs`.

    python -m bench.tables [--check]

A table stands between `<!-- bench:NAME -->` and `<!-- /bench -->`; NAME is a file of bench/results,
NAME:a,b only the figures whose names start with a or b, NAME/t the table t of the file. --check
writes nothing and fails where a document differs.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.figures import RESULTS, ROOT, SCHEMA, Figure, show

MARK = re.compile(
    r"(<!-- bench:(?P<name>[\w-]+)(?:/(?P<table>[\w-]+)|:(?P<prefixes>[\w,-]+))? -->\n)"
    r".*?(?P<end><!-- /bench -->)",
    re.DOTALL,
)


def filled(text: str) -> str:
    """The document with every table rewritten.

    SystemExit names a result file that is missing or of another schema.
    """
    return MARK.sub(lambda m: f"{m[1]}{_content(m)}{m['end']}", text)


def _content(mark: re.Match[str]) -> str:
    if mark["table"]:
        return matrix(mark["name"], mark["table"])
    return markdown(mark["name"], mark["prefixes"])


def matrix(name: str, table: str) -> str:
    """One table of a result file, with where it comes from under it. A file that is written part by
    part says so of each: the part is what the table's name starts with.
    """
    body = result(name)
    if table not in body.get("tables", {}):
        raise SystemExit(f"bench/results/{name}.json has no table {table}: run its part again")
    found = body["tables"][table]
    lines = [found["columns"], ["---"] * len(found["columns"]), *found["rows"]]
    rows = [f"| {' | '.join(map(cell, line))} |" for line in lines]
    return "\n".join([*rows, origin(_part_of(body, table))])


def _part_of(body: dict[str, Any], table: str) -> dict[str, Any]:
    parts = [part for part in body.get("parts", {}) if f"{table}_".startswith(f"{part}_")]
    return body["parts"][max(parts, key=len)] if parts else body


def cell(value: str | float | None) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else show(value)


def origin(body: dict[str, Any]) -> str:
    return f"\n`{body['command']}`, {body['machine']}, commit {body['commit']}.\n"


def markdown(name: str, prefixes: str | None) -> str:
    """One result file as a table, with the machine, the commit and the command under it.

    Where parts of the file have their own, those of the first figure are shown.
    """
    body = result(name)
    wanted = tuple(prefixes.split(",")) if prefixes else ("",)
    figures = [Figure(**raw) for raw in body["figures"] if raw["name"].startswith(wanted)]
    lines = [
        "| figure | value | range | promised | compared with |",
        "|---|---|---|---|---|",
        *map(row, figures),
    ]
    lines.append(origin(_part_of(body, figures[0].name) if figures else body))
    return "\n".join(lines)


def result(name: str) -> dict[str, Any]:
    path = RESULTS / f"{name}.json"
    if not path.exists():
        raise SystemExit(f"{path.relative_to(ROOT)} is missing: run python -m bench.{name}")
    body: dict[str, Any] = json.loads(path.read_text())
    if body.get("schema") != SCHEMA:
        raise SystemExit(
            f"{path.relative_to(ROOT)}: schema is {body.get('schema')!r}, expected {SCHEMA!r}"
        )
    return body


def row(figure: Figure) -> str:
    spread = (
        ""
        if figure.low is None or figure.high is None
        else f"{show(figure.low)} to {show(figure.high)}"
    )
    sign = "at least" if figure.better == "higher" else "at most"
    must = (
        ""
        if figure.must is None
        else f"{sign} {show(figure.must)}" + ("" if figure.kept else ": **not kept**")
    )
    level = "" if figure.anchor_value is None else f": {show(figure.anchor_value)}"
    cells = (
        figure.name,
        show(figure.value, figure.unit),
        spread,
        must,
        f"{figure.anchor}{level}" if figure.anchor else "",
    )
    return f"| {' | '.join(cells)} |"


def documents() -> list[Path]:
    return [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]


def outdated(paths: Sequence[Path]) -> list[tuple[Path, str]]:
    """Documents whose tables differ from the results, with their new text."""
    pairs = [(path, path.read_text()) for path in paths]
    return [(path, new) for path, old in pairs if (new := filled(old)) != old]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true")
    check = parser.parse_args().check
    changed = outdated(documents())
    for path, text in changed:
        print(f"{path.relative_to(ROOT)} {'differs' if check else 'written'}")
        if not check:
            path.write_text(text)
    raise SystemExit(1 if check and changed else 0)


if __name__ == "__main__":
    main()
