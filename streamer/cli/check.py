"""`streamer check`: everything that is wrong with a configuration, at once."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from streamer.cli.options import config_options, format_option

if TYPE_CHECKING:
    from streamer.config import Config, ConfigErrors

SCHEMA = "streamer.check/1"


@click.command()
@config_options
@click.option("--show-effective", is_flag=True, help="Print every setting with its value and origin, secrets masked.")
@format_option("human", "json")
def check(config: Path, sets: tuple[str, ...], show_effective: bool, output: str) -> int:
    """Find everything that is wrong with a configuration; exit 3 if anything is."""
    from streamer.config import ConfigErrors, load_config

    try:
        found = load_config(config, sets)
    except ConfigErrors as exc:
        return _refused(config, exc, output)
    if output == "json":
        _print_json({"ok": True, "file": str(config), "problems": [], **_effective(found, show_effective)})
    else:
        _print_human(config, found, show_effective)
    return 0


def _refused(config: Path, errors: ConfigErrors, output: str) -> int:
    if output == "json":
        problems = [problem.as_dict() for problem in errors.problems]
        _print_json({"ok": False, "file": str(config), "problems": problems})
    else:
        click.echo(str(errors), err=True)
        click.echo(f"{config}: {_counted(len(errors.problems), 'problem')}", err=True)
    return errors.exit_code


def _effective(config: Config, wanted: bool) -> dict[str, object]:
    if not wanted:
        return {}
    rows = [{"path": path, "value": value, "origin": origin} for path, value, origin in config.effective()]
    return {"effective": rows}


def _print_human(config: Path, found: Config, show_effective: bool) -> None:
    if show_effective:
        for line in aligned(found.effective()):
            click.echo(line)
    names = ", ".join(stream.name for stream in found.streams)
    click.echo(f"{config}: fine: {_counted(len(found.streams), 'stream')} ({names})", err=show_effective)


def aligned(rows: list[tuple[str, str, str]]) -> list[str]:
    """`path: value  # origin`, in columns."""
    settings = [f"{path}: {value}" for path, value, _ in rows]
    width = min(60, max(map(len, settings), default=0))
    return [f"{setting:<{width}}  # {origin}" for setting, (_, _, origin) in zip(settings, rows, strict=True)]


def _counted(n: int, noun: str) -> str:
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


def _print_json(body: dict[str, object]) -> None:
    import json

    click.echo(json.dumps({"schema": SCHEMA, **body}, ensure_ascii=False, indent=2))
