"""The classes of a module and their fields, read from its source. Used by test_layers.py."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import TypeGuard


def top_classes(source: str) -> list[str]:
    """Names of the classes that a module defines at its top level."""
    return [node.name for node in ast.parse(source).body if isinstance(node, ast.ClassDef)]


def class_fields(source: str) -> dict[str, int]:
    """The number of fields of every class: annotated ones, and attributes set in its methods."""
    classes = (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ClassDef))
    return {node.name: len(set(_fields(node))) for node in classes}


def _fields(cls: ast.ClassDef) -> Iterator[str]:
    for node in cls.body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            if "ClassVar" not in ast.dump(node.annotation):
                yield node.target.id
        elif isinstance(node, ast.FunctionDef):
            yield from (found.attr for found in ast.walk(node) if _is_own(found))


def _is_own(node: ast.AST) -> TypeGuard[ast.Attribute]:
    """Whether a node sets an attribute of `self`."""
    return (
        isinstance(node, ast.Attribute)
        and isinstance(node.ctx, ast.Store)
        and isinstance(node.value, ast.Name)
        and node.value.id == "self"
    )
