"""Options that several commands share."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import click

F = TypeVar("F", bound=Callable[..., Any])
DEFAULT_CONFIG = "config.yaml"


def config_options(command: F) -> F:
    """Add -c/--config FILE (`config: Path`) and --set PATH=VALUE (`sets: tuple[str, ...]`)."""
    command = names_file(command)
    command = click.option(
        "--set",
        "sets",
        multiple=True,
        metavar="PATH=VALUE",
        help="Override a setting, such as streams.NAME.detect.cooldown=5m; repeatable.",
    )(command)
    return click.option(
        "-c",
        "--config",
        "config",
        type=click.Path(path_type=Path),
        default=DEFAULT_CONFIG,
        show_default=True,
        metavar="FILE",
        help="The configuration.",
    )(command)


def names_file(command: F) -> F:
    """Add the configuration's file name to a ConfigError that does not have it."""
    from streamer.errors import ConfigError

    @functools.wraps(command)
    def named(*args: Any, config: Path | None, **options: Any) -> Any:
        try:
            return command(*args, config=config, **options)
        except ConfigError as exc:
            exc.file = str(config) if config is not None and config.exists() else None
            raise

    return cast(F, named)


def format_option(*formats: str) -> Callable[[F], F]:
    """Add --format with the default `formats[0]`."""
    return click.option(
        "--format",
        "output",
        type=click.Choice(formats),
        default=formats[0],
        show_default=True,
        help="Output.",
    )


def since_s(text: str | None, now_s: float) -> float:
    """Return --since as seconds since 1970, -inf without it; UsageError if it is no time."""
    from streamer.config.kafka import started_at

    at_s = float("-inf") if text is None else started_at(text, now_s)
    if at_s is None:
        raise click.UsageError(
            f"--since {text!r}: write -2h or a time such as 2026-11-01T00:00:00Z"
        )
    return at_s


def yes_option(command: F) -> F:
    """Add --yes (as `yes: bool`)."""
    return click.option("--yes", is_flag=True, help="Do not ask.")(command)


def confirm(question: str, *, yes: bool) -> None:
    """Ask for agreement; abort without it. Without a terminal, --yes is required."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise click.UsageError(f"{question} Say --yes: there is no terminal to ask at")
    click.confirm(question, abort=True, err=True)
