"""`streamer check`: lists every problem of a configuration at once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from streamer.cli.kafka_address import quiet
from streamer.cli.options import config_options, format_option
from streamer.finding import Finding

if TYPE_CHECKING:
    from streamer.config import Config, ConfigErrors

SCHEMA = "streamer.check/1"
EXPOSED = 3
UNREACHABLE = 5
MARKS = {"ok": "ok  ", "warn": "warn", "fail": "FAIL", "note": "note"}


@click.command()
@config_options
@click.option(
    "--show-effective",
    is_flag=True,
    help="Print every setting with its value and origin, secrets masked.",
)
@click.option(
    "--connect",
    is_flag=True,
    help="Also try brokers, topics, permissions, Redis, schema registry; exit 5.",
)
@click.option(
    "--security",
    is_flag=True,
    help="Also list what is exposed, with its fix; exit 3 if anything is.",
)
@format_option("human", "json")
def check(
    config: Path,
    sets: tuple[str, ...],
    show_effective: bool,
    connect: bool,
    security: bool,
    output: str,
) -> int:
    """Find everything that is wrong with a configuration; exit 3 if anything is."""
    from streamer.config import ConfigErrors, load_config

    try:
        found = load_config(config, sets)
    except ConfigErrors as exc:
        return _refused(config, exc, output)
    lines = CheckReport(
        _reached(found) if connect else None, _exposed(found, config) if security else None
    )
    if output == "json":
        body = {"ok": lines.exit_code == 0, "file": str(config), "problems": []}
        _print_json({**body, **_effective(found, show_effective), **lines.as_dict()})
    else:
        _print_human(config, found, show_effective, lines)
    return lines.exit_code


@dataclass(frozen=True, slots=True)
class CheckReport:
    """The findings beyond the file itself; None where the check was not requested."""

    connect: list[Finding] | None
    security: list[Finding] | None

    @property
    def exit_code(self) -> int:
        if any(line.status == "fail" for line in self.connect or ()):
            return UNREACHABLE
        return EXPOSED if any(line.status == "warn" for line in self.security or ()) else 0

    def as_dict(self) -> dict[str, object]:
        parts = {"connect": self.connect, "security": self.security}
        return {
            name: [line.as_dict() for line in lines]
            for name, lines in parts.items()
            if lines is not None
        }


def _reached(config: Config) -> list[Finding]:
    from streamer.connect.connectivity import reach

    quiet()
    return list(reach(config))


def _exposed(config: Config, path: Path) -> list[Finding]:
    from streamer.cli.security_check import exposures

    return exposures(config, path)


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
    rows = [
        {"path": path, "value": value, "origin": origin}
        for path, value, origin in config.effective()
    ]
    return {"effective": rows}


def _print_human(config: Path, found: Config, show_effective: bool, lines: CheckReport) -> None:
    if show_effective:
        for line in aligned(found.effective()):
            click.echo(line)
    _print_lines(lines.connect, "nothing to connect to")
    _print_lines(lines.security, "nothing is exposed")
    if lines.exit_code == 0:
        names = ", ".join(stream.name for stream in found.streams)
        click.echo(
            f"{config}: fine: {_counted(len(found.streams), 'stream')} ({names})",
            err=show_effective,
        )


def _print_lines(lines: list[Finding] | None, nothing: str) -> None:
    if lines is None:
        return
    width = max((len(line.name) for line in lines), default=0)
    for line in lines:
        fix = f"\n     {'':<{width}}  -> {line.fix}" if line.fix else ""
        click.echo(f"{MARKS[line.status]} {line.name:<{width}}  {line.detail}{fix}")
    if not lines:
        click.echo(nothing)


def aligned(rows: list[tuple[str, str, str]]) -> list[str]:
    """Return lines of `path: value  # origin`, in columns."""
    settings = [f"{path}: {value}" for path, value, _ in rows]
    width = min(60, max(map(len, settings), default=0))
    return [
        f"{setting:<{width}}  # {origin}"
        for setting, (_, _, origin) in zip(settings, rows, strict=True)
    ]


def _counted(n: int, noun: str) -> str:
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


def _print_json(body: dict[str, object]) -> None:
    import json

    click.echo(json.dumps({"schema": SCHEMA, **body}, ensure_ascii=False, indent=2))
