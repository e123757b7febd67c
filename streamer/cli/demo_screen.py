"""The demo on a terminal: counters, a line per machine, faults and alerts."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from streamer.cli import demo_lines as words

if TYPE_CHECKING:
    from streamer.connect.simulate.world import Fault
    from streamer.demo.recording import Heard, RecentEvents
    from streamer.demo.referee import Ruling
    from streamer.demo.scoreboard import Scoreboard
    from streamer.demo.show import Look
    from streamer.demo.stage import Strand
    from streamer.demo.streams import Act
    from streamer.event import ModelRef

BARS = "▁▂▃▄▅▆▇█"
WIDTH = 24  # width of a sparkline
SHOWN_ALERTS, SHOWN_FAULTS = 8, 6
HOT_S = 4.0  # seconds for which an entity stays red after its alert
# Lines of everything but machines and faults, and the terminal height from which faults are shown.
OTHER_LINES, ROOMY = 2 + 2 + 1 + SHOWN_ALERTS + 2, 36
FULL_SCORE = 5.0  # top of the score's sparkline


class Screen:
    """The View on a terminal. Call `close` before anything else is printed."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, refresh_per_second=8, transient=True, auto_refresh=False)
        self._log: deque[Text] = deque(maxlen=SHOWN_ALERTS)
        # entity -> (second of its alert, leading channel)
        self._hot: dict[str, tuple[float, str]] = {}
        # entity and start of every fault, in the order of their announcement
        self._order: list[tuple[str, float]] = []

    def banner(self, model: ModelRef, acts: Sequence[Act]) -> None:
        for line in words.banner(model, acts):
            self._console.print(line, markup=False, highlight=False)
        self._live.start()

    def look(self, look: Look) -> None:
        self._live.update(self._drawn(look), refresh=True)

    def fault(self, at_s: float, strand: Strand, fault: Fault) -> None:
        self._order.append((fault.entity, fault.start_s))
        self._add(at_s, f"fault put in: {words.fault_words(fault)}", "dim")

    def alert(self, heard: Heard, kind: str | None) -> None:
        alert = heard.alert
        lead = max(alert.channels, key=lambda part: part.share, default=None)
        self._hot[alert.entity] = (heard.at_s, lead.name if lead else "")
        mark = "" if kind is None else f"✓ {kind}: " if kind else "✗ false alarm: "
        self._add(
            heard.at_s, f"{mark}{words.plain(alert.summary)}", "bold green" if kind else "yellow"
        )

    def event(self, at_s: float, told: str) -> None:
        self._add(at_s, words.plain(told), "cyan")

    def board(self, board: Scoreboard) -> None:
        self.close()
        for line in words.scoreboard(board):
            style = (
                "bold"
                if line.startswith("SCOREBOARD")
                else "red"
                if "MISSED" in line or "BROKEN" in line
                else ""
            )
            self._console.print(Text(line, style))

    def close(self) -> None:
        """Restore the terminal. Idempotent."""
        self._live.stop()

    def _add(self, at_s: float, told: str, style: str) -> None:
        self._log.append(
            Text(f"{words.stamp(at_s)}  {told}", style, overflow="ellipsis", no_wrap=True)
        )

    def _drawn(self, look: Look) -> RenderableType:
        head = Text(words.counters(look), "bold", overflow="ellipsis", no_wrap=True)
        parts: list[RenderableType] = [head, self._model(look)]
        parts += [self._machines(strand, look) for strand in look.strands if strand.act.shown]
        parts += [_figures(strand) for strand in look.strands if strand.act.name == "host"]
        parts += [
            Panel(
                Group(*self._log), title="what happens", title_align="left", height=SHOWN_ALERTS + 2
            )
        ]
        if look.rulings and self._console.height >= ROOMY:
            parts.append(_faults(sorted(look.rulings, key=self._place)))
        title = f"streamer demo   {look.at_s:4.0f} / {look.script.seconds:g} s"
        return Panel(Group(*parts), title=title, border_style="blue")

    def _place(self, ruling: Ruling) -> int:
        key = (ruling.fault.entity, ruling.fault.start_s)
        return self._order.index(key) if key in self._order else len(self._order)

    def _model(self, look: Look) -> Text:
        told = f": {look.tuning_told}" if look.tuning_told else ""
        line = (
            f"model {look.model.version} on {look.model.backend}; swaps {look.swaps}; "
            f"retraining {look.tuning}{told}"
        )
        return Text(line, overflow="ellipsis", no_wrap=True)

    def _machines(self, strand: Strand, look: Look) -> Table:
        table = Table(box=None, padding=(0, 1), show_header=True, header_style="dim")
        for title in ("machine", "sensor", f"last {WIDTH} events", "score", ""):
            table.add_column(title, no_wrap=True)
        for name in self._fitting(strand.act.shown, look.at_s):
            tail = strand.notebook.tails.get(name)
            if tail is not None:
                table.add_row(*self._machine(name, tail, strand, look.at_s))
        return table

    def _fitting(self, names: Sequence[str], now_s: float) -> list[str]:
        """Return as many machines as fit the terminal, those with alerts first."""
        taken = OTHER_LINES + (SHOWN_FAULTS + 2 if self._console.height >= ROOMY else 0)
        room = max(self._console.height - taken, 1)
        if room >= len(names):
            return list(names)
        return sorted(names, key=lambda name: not self._is_hot(name, now_s))[:room]

    def _is_hot(self, name: str, now_s: float) -> bool:
        return now_s - self._hot.get(name, (float("-inf"), ""))[0] < HOT_S

    def _machine(
        self, name: str, tail: RecentEvents, strand: Strand, now_s: float
    ) -> tuple[Text | str, ...]:
        hot, (_, channel) = self._is_hot(name, now_s), self._hot.get(name, (0.0, ""))
        channels = strand.act.settings.channels
        index = channels.index(channel) if hot and channel in channels else 0
        values = [row[index] for row in list(tail.values)[-WIDTH:]]
        scores = list(tail.scores)[-WIDTH:]
        style = "bold red" if hot else "green"
        return (
            Text(name, style),
            channels[index],
            Text(sparkline(values), style),
            Text(sparkline(scores, low=0.0, high=FULL_SCORE), style),
            Text("ALERT" if hot else "", style),
        )


def _figures(strand: Strand) -> Table:
    """Return a table of this machine's figures, one line each."""
    table = Table(box=None, padding=(0, 1), show_header=False)
    for tail in list(strand.notebook.tails.values()):
        for index, channel in enumerate(strand.act.settings.channels):
            values = [row[index] for row in list(tail.values)[-WIDTH:]]
            table.add_row(
                channel, Text(sparkline(values), "green"), f"{values[-1]:,.1f}" if values else ""
            )
        table.add_row("score", sparkline(list(tail.scores)[-WIDTH:], low=0.0, high=FULL_SCORE), "")
    return table


def _faults(rulings: Sequence[Ruling]) -> Panel:
    recent = rulings[-SHOWN_FAULTS:]
    rows = [
        Text(words.ruling_words(r), _colour(r), overflow="ellipsis", no_wrap=True) for r in recent
    ]
    return Panel(Group(*rows), title="what was put in", title_align="left", height=SHOWN_FAULTS + 2)


def _colour(ruling: Ruling) -> str:
    if ruling.caught:
        return "green"
    return "red" if ruling.missed else "dim"


def sparkline(values: Iterable[float], low: float | None = None, high: float | None = None) -> str:
    """Return one bar per value between low and high; a gap for NaN.

    By default low and high are the extremes of the values.
    """
    numbers = list(values)
    known = [x for x in numbers if not math.isnan(x)]
    if not known:
        return " " * len(numbers)
    bottom, top = min(known) if low is None else low, max(known) if high is None else high
    span = top - bottom or 1.0
    return "".join(_bar((x - bottom) / span) for x in numbers)


def _bar(share: float) -> str:
    if math.isnan(share):
        return " "
    return BARS[min(max(int(share * len(BARS)), 0), len(BARS) - 1)]
