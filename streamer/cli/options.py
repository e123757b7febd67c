"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])
DEFAULT_CONFIG = "config.yaml"


def config_options(command: F) -> F:
    """-c/--config FILE (as `config: Path`) and --set PATH=VALUE (as `sets: tuple[str, ...]`)."""
    command = click.option(
        "--set", "sets", multiple=True, metavar="PATH=VALUE",
        help="Override a setting, such as streams.NAME.detect.cooldown=5m; repeatable.",
    )(command)  # fmt: skip
    return click.option(
        "-c", "--config", "config", type=click.Path(path_type=Path), default=DEFAULT_CONFIG, show_default=True,
        metavar="FILE", help="The configuration.",
    )(command)  # fmt: skip


def format_option(*formats: str) -> Callable[[F], F]:
    """--format, `formats[0]` by default."""
    return click.option(
        "--format",
        "output",
        type=click.Choice(formats),
        default=formats[0],
        show_default=True,
        help="Output.",
    )
