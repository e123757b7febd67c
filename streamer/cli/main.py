"""`streamer`: the group of commands.

The module of a command is imported when it is called, so that --help is fast.
"""

from __future__ import annotations

import difflib
import importlib
import os
import signal
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

import click

from streamer import __version__
from streamer.errors import StreamerError

EXIT_INTERRUPTED = 130
NO_TWIN = {"sets"}  # settings have variables of their own: STREAMER__SECTION__KEY
EXIT_PIPE = 141  # the code that a shell reports for a writer whose reader has closed the pipe
# The meaning of each exit code: of StreamerError, of click and of signals.
EXIT_CODES: Mapping[int, str] = {
    0: "Done.",
    1: "Failed: an input cannot be read, or something was lost or not delivered.",
    2: "The command line is wrong.",
    3: "The configuration is wrong.",
    4: "A quality gate refused a model.",
    5: "A server or a backend that is needed is not there.",
    EXIT_INTERRUPTED: "Interrupted.",
    EXIT_PIPE: "The reader of standard output went away.",
}


@dataclass(frozen=True, slots=True)
class CommandEntry:
    """One command: its import path and its line of help."""

    target: str  # "module:attribute"
    help: str
    group: str


COMMANDS: Mapping[str, CommandEntry] = {
    "demo": CommandEntry(
        "streamer.cli.demo:demo",
        "Show the whole product on simulated data, in a minute.",
        "Start here",
    ),
    "score": CommandEntry(
        "streamer.cli.score:score",
        "Score CSV or JSONL files, without any configuration.",
        "Start here",
    ),
    "init": CommandEntry(
        "streamer.cli.init:init",
        "Look into a topic or a file and write its config.yaml.",
        "Start here",
    ),
    "check": CommandEntry(
        "streamer.cli.check:check", "Find everything that is wrong with a configuration.", "Run"
    ),
    "run": CommandEntry("streamer.cli.run:run", "Run the daemon: events in, alerts out.", "Run"),
    "tap": CommandEntry(
        "streamer.cli.tap:tap", "See what flows through a topic, as it is understood here.", "Run"
    ),
    "replay": CommandEntry(
        "streamer.cli.replay:replay",
        "Push the rows of a file into a topic, at their pace or faster.",
        "Run",
    ),
    "dlq": CommandEntry(
        "streamer.cli.dlq:dlq", "Look through rejected records, and send them back.", "Run"
    ),
    "alerts": CommandEntry(
        "streamer.cli.alerts:alerts", "List incidents, and say what they were.", "Run"
    ),
    "explain": CommandEntry("streamer.cli.explain:explain", "Explain one alert in full.", "Run"),
    "backtest": CommandEntry(
        "streamer.cli.backtest:backtest", "Replay a stream and list what would have fired.", "Judge"
    ),
    "eval": CommandEntry(
        "streamer.cli.evaluate:evaluate", "Measure scores against labels.", "Judge"
    ),
    "train": CommandEntry(
        "streamer.cli.train:train", "Train a model on the streams of a configuration.", "Judge"
    ),
    "window": CommandEntry(
        "streamer.cli.window:window", "Suggest how much past a window has to hold.", "Judge"
    ),
    "retrain": CommandEntry(
        "streamer.cli.retrain:retrain",
        "Train the champion further if it is due; publish the challenger.",
        "Judge",
    ),
    "model": CommandEntry(
        "streamer.cli.model:model", "Look through the models, promote one, roll back.", "Judge"
    ),
    "schema": CommandEntry(
        "streamer.cli.schema:schema",
        "Print the JSON schema of config.yaml or of an alert.",
        "Tools",
    ),
    "doctor": CommandEntry(
        "streamer.cli.doctor:doctor", "Check this machine; every finding carries its fix.", "Tools"
    ),
    "bench": CommandEntry(
        "streamer.cli.bench:bench", "Measure events a second, latency and memory here.", "Tools"
    ),
}


class ReaderGoneError(Exception):
    """The reader of standard output has closed the pipe, as after `| head`."""


class Commands(click.Group):
    """A group that lists its commands from a table and imports them on use."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        entry = COMMANDS.get(cmd_name)
        return None if entry is None else load(entry)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0] if args else ""
        if name and not name.startswith("-") and name not in COMMANDS:
            raise click.UsageError(f"there is no command {name!r}{_nearest(name)}", ctx)
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError as exc:  # click would exit with 1, as for a failure
            raise ReaderGoneError from exc

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for title in dict.fromkeys(entry.group for entry in COMMANDS.values()):
            with formatter.section(title):
                formatter.write_dl(
                    [(name, entry.help) for name, entry in COMMANDS.items() if entry.group == title]
                )


def load(entry: CommandEntry) -> click.Command:
    """Import a command and let its flags be set by variables STREAMER_<FLAG>."""
    module, _, attribute = entry.target.partition(":")
    command = getattr(importlib.import_module(module), attribute)
    assert isinstance(command, click.Command)
    for option in _options(command):
        if option.envvar is None and option.name not in NO_TWIN:
            option.envvar = twin(option)
    return command


def _options(command: click.Command) -> Iterator[click.Option]:
    """Yield the flags of a command and of its subcommands."""
    yield from (option for option in command.params if isinstance(option, click.Option))
    for below in command.commands.values() if isinstance(command, click.Group) else ():
        yield from _options(below)


def twin(option: click.Option) -> str:
    """Return the variable of a flag, by its long name: --until-idle is STREAMER_UNTIL_IDLE."""
    return "STREAMER_" + max(option.opts, key=len).lstrip("-").replace("-", "_").upper()


def _nearest(name: str) -> str:
    found = difflib.get_close_matches(name, COMMANDS, n=1, cutoff=0.5)
    return f"; did you mean {found[0]}?" if found else f"; there are: {', '.join(COMMANDS)}"


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="streamer", message="%(prog)s %(version)s")
def cli() -> None:
    """Streaming anomaly detection that explains itself: events in, plain-worded alerts out.

    Data goes to standard output, logs and progress to standard error. Every flag can be set by
    STREAMER_<FLAG>.
    """


def main(args: list[str] | None = None) -> NoReturn:
    """Run the command line and exit with its code (see `streamer.errors`)."""
    sys.exit(run(args))


def run(args: list[str] | None = None) -> int:
    """Return the exit code of a command line.

    A StreamerError or a usage error is printed in one line on standard error.
    """
    try:
        result: Any = cli.main(args, prog_name="streamer", standalone_mode=False)
        sys.stdout.flush()
    except click.ClickException as exc:
        exc.show()
        return exc.exit_code
    except (KeyboardInterrupt, click.Abort):
        return _tell("interrupted", EXIT_INTERRUPTED)
    except (BrokenPipeError, ReaderGoneError):
        return _quiet_pipe()
    except StreamerError as exc:
        return _tell(str(exc), exc.exit_code)
    return result if isinstance(result, int) else 0


def _tell(text: str, code: int) -> int:
    click.echo(f"{click.style('error', fg='red')}: {text}", err=True)
    return code


def _quiet_pipe() -> int:
    """Discard standard output, so that Python prints no error when it closes the stream."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 128 + signal.SIGPIPE if hasattr(signal, "SIGPIPE") else EXIT_PIPE
