"""Writes the reference documents: `make docs`.

    python -m docgen [--check]

--check writes nothing and fails where a document differs from what the code says.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path

from docgen import alerts, cli, configuration, http, metrics

ROOT = Path(__file__).parents[1]
DOCUMENTS: Mapping[str, Callable[[], str]] = {
    "docs/configuration.md": configuration.document,
    "docs/cli.md": cli.document,
    "docs/http.md": http.document,
    "docs/metrics.md": metrics.document,
    "docs/alerts.md": alerts.document,
}


def outdated() -> list[tuple[Path, str]]:
    """Documents that differ from the code, with their new text."""
    made = {ROOT / name: document() for name, document in DOCUMENTS.items()}
    return [
        (path, text)
        for path, text in made.items()
        if not path.exists() or path.read_text(encoding="utf-8") != text
    ]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true")
    check = parser.parse_args().check
    changed = outdated()
    for path, text in changed:
        print(f"{path.relative_to(ROOT)} {'differs' if check else 'written'}")
        if not check:
            path.write_text(text, encoding="utf-8")
    raise SystemExit(1 if check and changed else 0)


if __name__ == "__main__":
    main()
