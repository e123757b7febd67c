"""docs/cli.md: every command, from click itself."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

import click

from docgen.markdown import code, entry, generated, heading, items, link, page, table, wrap
from docgen.types import either, number
from streamer.cli.main import COMMANDS, EXIT_CODES, load

INTRO = (
    "Data goes to standard output, logs and progress to standard error. `--help` says the same as "
    "this page, `streamer --version` the version.",
    "Every option but `--set` has a twin among the environment variables, which is named behind "
    "it. The option itself takes precedence. A flag is set by `1` or `true`. Settings have "
    "variables of their own: `STREAMER__SECTION__KEY`, see [configuration.md](configuration.md).",
)
EXIT_TEXT = (
    "Errors are told in one line on standard error. Where a command has codes of its own meaning, "
    "its section says so."
)


def document() -> str:
    groups = dict.fromkeys(entry.group for entry in COMMANDS.values())
    return page(
        generated("streamer/cli"),
        heading(1, "Command line"),
        *map(wrap, INTRO),
        heading(2, "Commands"),
        *(block for group in groups for block in _listing(group)),
        heading(2, "Exit codes"),
        wrap(EXIT_TEXT),
        table(("code", "meaning"), [(str(c), meaning) for c, meaning in EXIT_CODES.items()]),
        *(block for name in COMMANDS for block in _command(load(COMMANDS[name]), name, 2)),
    )


def _listing(group: str) -> Iterator[str]:
    yield f"{group}:"
    yield items(
        [
            f"- {link(f'streamer {name}')}: {command.help}"
            for name, command in COMMANDS.items()
            if command.group == group
        ]
    )


def _command(command: click.Command, name: str, level: int) -> Iterator[str]:
    """The section of a command, and those of its subcommands."""
    ctx = click.Context(command, info_name=f"streamer {name}")
    yield heading(level, f"streamer {name}")
    yield "    " + " ".join([ctx.command_path, *command.collect_usage_pieces(ctx)])
    for paragraph in inspect.cleandoc(command.help or "").split("\n\n"):
        yield wrap(paragraph)
    yield items(
        [
            *(_argument(argument, ctx) for argument in arguments(command)),
            *(_option(option, ctx) for option in options(command)),
        ]
    )
    if isinstance(command, click.Group):
        for below, subcommand in command.commands.items():
            yield from _command(subcommand, f"{name} {below}", level + 1)


def arguments(command: click.Command) -> list[click.Argument]:
    return [param for param in command.params if isinstance(param, click.Argument)]


def options(command: click.Command) -> list[click.Option]:
    return [param for param in command.params if isinstance(param, click.Option)]


def _argument(argument: click.Argument, ctx: click.Context) -> str:
    facts = ["argument" if argument.required else "argument, may be left out"]
    if argument.nargs < 0:
        facts.append("repeatable")
    if isinstance(argument.type, click.Choice):
        facts.append(_choices(argument.type))
    if isinstance(argument.default, str):
        facts.append(f"default {code(argument.default)}")
    return entry(code(argument.make_metavar(ctx).strip("[]{}.")), "; ".join(facts), "")


def _option(option: click.Option, ctx: click.Context) -> str:
    names = ", ".join(option.opts)
    plain = isinstance(option.type, click.Choice) or option.is_flag
    word = "" if plain else f" {option.metavar or _word(option.type)}"
    return entry(code(names + word), "; ".join(_facts(option, ctx)), option.help or "")


def _word(kind: click.ParamType[Any]) -> str:
    """What stands for the value where an option has no word of its own for it."""
    return "N" if isinstance(kind, click.IntRange | click.FloatRange) else kind.name.upper()


def _facts(option: click.Option, ctx: click.Context) -> Iterator[str]:
    if option.required:
        yield "required"
    if isinstance(option.type, click.Choice):
        yield _choices(option.type)
    if isinstance(option.type, click.IntRange | click.FloatRange):
        yield _range(option.type)
    if option.multiple:
        yield "repeatable"
    default = option.get_default(ctx, call=False)
    if not option.is_flag and isinstance(default, str | int | float) and default != "":
        yield f"default {code(f'{default:g}' if isinstance(default, float) else default)}"
    if option.envvar is not None:
        yield code(option.envvar)


def _choices(choice: click.Choice[str]) -> str:
    return either(list(map(code, choice.choices)))


def _range(kind: click.IntRange | click.FloatRange) -> str:
    what = "whole number" if isinstance(kind, click.IntRange) else "number"
    low = "" if kind.min is None else f" from {number(kind.min)}"
    return what + low + ("" if kind.max is None else f" to {number(kind.max)}")
