"""Markdown that reads well as plain text too: wrapped paragraphs, list entries, aligned tables."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence

WIDTH = 100
NO_BREAK = "\x00"  # stands for a space inside code while a text is wrapped


def generated(source: str) -> str:
    """The comment at the head of a document that says where its text comes from."""
    return f"<!-- Written by `make docs` from {source}. Change it there. -->"


def page(*blocks: str) -> str:
    """The blocks of a document, an empty line between them."""
    return "\n\n".join(block.strip("\n") for block in blocks if block.strip()) + "\n"


def heading(level: int, text: str) -> str:
    return f"{'#' * level} {text}"


def anchor(text: str) -> str:
    """The link target that a renderer makes of a heading."""
    return re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")


def link(text: str, target: str | None = None) -> str:
    """A link to the heading `target` of the same document."""
    return f"[{text}](#{anchor(target or text)})"


def wrap(text: str, *, indent: int = 0, first: str = "") -> str:
    """The text in lines of bounded length; code is never broken."""
    flat = " ".join(text.split())
    return textwrap.fill(
        re.sub(r"`[^`]+`", lambda found: found[0].replace(" ", NO_BREAK), flat),
        WIDTH,
        initial_indent=first,
        subsequent_indent=" " * indent,
        break_long_words=False,
        break_on_hyphens=False,
    ).replace(NO_BREAK, " ")


def entry(name: str, facts: str, text: str, *more: str) -> str:
    """One item of a list: the name in bold, what is known of it in brackets, and what it means."""
    said = f"**{name}**" + (f" ({facts})" if facts else "") + (f": {text}" if text else "")
    return "\n".join(
        [wrap(said, indent=2, first="- "), *(wrap(line, indent=2, first="  ") for line in more)]
    )


def items(entries: Sequence[str]) -> str:
    return "\n".join(entries)


def fence(text: str, language: str = "") -> str:
    return f"```{language}\n{text.strip()}\n```"


def code(text: object) -> str:
    return f"`{text}`"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table whose columns line up. Of a wide one the last column ends where its text ends."""
    cells = [[cell.replace("|", "\\|") for cell in row] for row in (head, *rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(head))]
    if sum(widths) > WIDTH:
        widths[-1] = len(head[-1])
    lines = [
        "| " + " | ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)) + " |"
        for row in cells
    ]
    return "\n".join([lines[0], "|" + "|".join("-" * (w + 2) for w in widths) + "|", *lines[1:]])
