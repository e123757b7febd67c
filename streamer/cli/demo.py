"""`streamer demo`: the product on simulated data with known faults, in a minute."""

from __future__ import annotations

import json
import os
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

import click

if TYPE_CHECKING:
    from streamer.demo.scoreboard import Scoreboard
    from streamer.demo.show import Script, ShowView
    from streamer.protocols import Clock

LEAST_S, MOST_S = 10.0, 3600.0
BANNER = {
    "synthetic": "A plant and card payments, simulated; faults are put in on purpose, and the "
    "detector is not told.",
    "host": "This machine's own figures; nobody knows what is wrong with it.",
}
CHATTER = ("INFO: ", "WARNING: ")  # prefixes of LiteRT's lines at its start


@click.command()
@click.option(
    "--seconds",
    type=click.FloatRange(LEAST_S, MOST_S),
    default=60.0,
    show_default=True,
    help="How long the show lasts.",
)
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="The same seed: the same show.",
)
@click.option(
    "--speed",
    type=click.FloatRange(1.0, 1200.0),
    default=120.0,
    show_default=True,
    help="How fast the plant's time runs against the clock.",
)
@click.option(
    "--source",
    type=click.Choice(["synthetic", "host"]),
    default="synthetic",
    show_default=True,
    help="A simulated plant and card payments, or this machine's own figures.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["human", "json"]),
    default="human",
    show_default=True,
    help="Output.",
)
def demo(seconds: float, seed: int, speed: float, source: str, form: str) -> int:
    """Watch streamer work on simulated streams with known faults, with alerts and a scoreboard.

    No Kafka, no Redis, no network. Exit codes: 0, or 1 if a promise of the show was not kept; the
    last lines say which.
    """
    clock = seconds_since(time.monotonic())
    out = sys.stdout if form == "human" else sys.stderr
    out.write(f"streamer demo: {seconds:g} seconds, seed {seed}. {BANNER[source]}\n")
    out.flush()
    banner_s = clock()
    from streamer.demo.show import Script

    script = Script(seconds, seed, speed, source)
    board = perform(script, clock, out, banner_s, quiet=form == "human" and out.isatty())
    if form == "json":
        click.echo(json.dumps(board.as_json()))
    return 0 if board.ok else 1


def seconds_since(began: float) -> Clock:
    return lambda: time.monotonic() - began


def perform(
    script: Script, clock: Clock, out: TextIO, banner_s: float, *, quiet: bool
) -> Scoreboard:
    """Load the model and run the show.

    `quiet`: only the show may write to the terminal.
    """
    from streamer import log
    from streamer.app.signals import graceful
    from streamer.config import Model
    from streamer.demo.show import Show
    from streamer.runtime.model import load_model

    log.setup("error")
    stop = threading.Event()
    with held_stderr(quiet), graceful(stop), view_of(out) as view:
        board = Show(script, load_model(Model()), view, clock, banner_s).run(stop)
    view.board(board)
    return board


@contextmanager
def view_of(out: TextIO) -> Iterator[ShowView]:
    """Yield the screen on a terminal, plain lines elsewhere; the terminal is always restored."""
    from streamer.cli.demo_lines import PrintedShow

    if not out.isatty() or os.environ.get("TERM") == "dumb":
        yield PrintedShow(out)
        return
    from rich.console import Console

    from streamer.cli.demo_screen import Screen

    screen = Screen(Console(file=out))
    try:
        yield screen
    finally:
        screen.close()


@contextmanager
def held_stderr(held: bool) -> Iterator[None]:
    """Hold back what native libraries write to standard error.

    It is printed afterwards, without the usual start lines of LiteRT.
    """
    if not held:
        yield
        return
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(kept, 2)
            os.close(kept)
            file.seek(0)
            for line in file.read().decode(errors="replace").splitlines():
                if not line.startswith(CHATTER):
                    sys.stderr.write(line + "\n")
