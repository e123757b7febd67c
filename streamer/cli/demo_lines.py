"""The demo as plain lines for pipes and files, and its closing lines for all outputs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from streamer.connect.simulate.world import Fault
    from streamer.demo.promises import Promise
    from streamer.demo.recording import Heard
    from streamer.demo.referee import Ruling
    from streamer.demo.scoreboard import ActScore, Scoreboard
    from streamer.demo.show import Look
    from streamer.demo.stage import Strand
    from streamer.demo.streams import Act
    from streamer.event import ModelRef

COUNTERS_EVERY_S = 2.0
NEXT = (
    ("streamer score FILE.csv --plot out.png", "your own file, without any configuration"),
    ("streamer run -c config.yaml", "the daemon: events in, alerts out"),
    ("streamer bench", "how many events a second this machine scores"),
)


class PrintedShow:
    """The View that prints a line for every event, and the counters every two seconds."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._next_s = 0.0

    def banner(self, model: ModelRef, acts: Sequence[Act]) -> None:
        for line in banner(model, acts):
            self._say(line)

    def look(self, look: Look) -> None:
        if look.at_s < self._next_s or not look.flow.events:
            return
        self._next_s = look.at_s + COUNTERS_EVERY_S
        self._say(f"{stamp(look.at_s)}  {counters(look)}")

    def fault(self, at_s: float, strand: Strand, fault: Fault) -> None:
        self._say(f"{stamp(at_s)}  fault put in (the detector is not told): {fault_words(fault)}")

    def alert(self, heard: Heard, kind: str | None) -> None:
        verdict = "" if kind is None else f"  [caught: {kind}]" if kind else "  [FALSE ALARM]"
        self._say(f"{stamp(heard.at_s)}  ALERT  {plain(heard.alert.summary)}{verdict}")

    def event(self, at_s: float, told: str) -> None:
        self._say(f"{stamp(at_s)}  {plain(told)}")

    def board(self, board: Scoreboard) -> None:
        for line in scoreboard(board):
            self._say(line)

    def _say(self, line: str) -> None:
        self._out.write(line + "\n")
        self._out.flush()


def banner(model: ModelRef, acts: Sequence[Act]) -> list[str]:
    """Return the model, the pace of each act, and its history."""
    named = (
        "a robust z-score (no model)"
        if model.backend == "baseline"
        else f"{model.version} on {model.backend}"
    )
    lines = [f"  judged by {named}"]
    for act in acts:
        past = f", after learning {act.history} of history flat out" if act.pace != 1 else ""
        lines.append(f"  {act.name}: event time runs {pace(act.pace)}{past}")
    return lines


def pace(speed: float) -> str:
    """Return in words how fast event time runs against the clock."""
    if speed == 1:
        return "with the clock"
    per_second = f"{speed / 86_400:.3g} days" if speed >= 43_200 else f"{speed / 60:.3g} minutes"
    return f"{speed:,.0f} times as fast as the clock ({per_second} a second)"


def stamp(at_s: float) -> str:
    return f"{at_s:5.1f} s"


def counters(look: Look) -> str:
    """Return one line of live counters."""
    caught, missed = sum(r.caught for r in look.rulings), sum(r.missed for r in look.rulings)
    phase = "" if look.live else "  (learning from history)"
    faults = (
        f"faults: {len(look.rulings)} begun, {caught} caught, {missed} missed; "
        f"{look.false_alarms} false; "
    )
    flow = (
        f"{look.flow.events:,} events, {look.flow.events_per_s:,.0f}/s, {len(look.alerts)} alerts"
    )
    return f"{flow}; {faults if look.script.refereed else ''}{look.flow.rss_mib:.0f} MiB{phase}"


def fault_words(fault: Fault) -> str:
    """Return an injected fault in words."""
    where = f" of {fault.channel}" if fault.channel and fault.channel != fault.kind else ""
    return f"{fault.kind}{where} at {fault.entity}, {fault.detail}"


def plain(text: str) -> str:
    from streamer.connect.formats.alert_event import printable

    return printable(text)


def ruling_words(ruling: Ruling) -> str:
    """Return one fault and its outcome."""
    if ruling.caught:
        delay = ruling.delay_events
        fate = f"caught at its {_ordinal(delay)} event" if delay else "caught by its silence"
    else:
        fate = "MISSED" if ruling.missed else "not over, not counted yet"
    return f"{fault_words(ruling.fault)}: {fate}"


def _ordinal(number: int) -> str:
    suffix = (
        {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
        if number % 100 not in (11, 12, 13)
        else "th"
    )
    return f"{number}{suffix}"


def scoreboard(board: Scoreboard) -> list[str]:
    """Return the closing lines."""
    lines = ["", f"SCOREBOARD after {board.setup.seconds:.1f} s"]
    lines += [f"  {name:<14} {value}" for name, value in figures(board)]
    lines += [f"  {act_words(act)}" for act in board.acts if board.setup.source != "host"]
    lines += [f"    {'+' if r.caught else '-'} {ruling_words(r)}" for r in board.rulings]
    lines += [
        f"  {promise_words(promise)}" for promise in board.promises if promise.kept is not True
    ]
    if board.ok:
        lines.append(f"  {sum(p.kept is True for p in board.promises)} promises kept")
    lines += ["", "What next:", *(f"  {command:<42} {why}" for command, why in NEXT)]
    return lines


def figures(board: Scoreboard) -> list[tuple[str, str]]:
    """Return name and value of each line of the scoreboard."""
    delay = board.median_delay_events
    rows = [
        ("injected", f"{board.injected} faults"),
        ("caught", f"{board.caught}"),
        ("missed", f"{board.missed}"),
        ("false alarms", f"{len(board.alerts.false)}"),
        (
            "median delay",
            "-" if delay is None else f"{delay:g} events of the entity, from the fault's first",
        ),
        ("first alert", _at(board.alerts.first_s)),
        ("rhythm alert", _at(board.alerts.rhythm_s)),
        ("hot swaps", f"{board.swaps} ({board.tuning})" if board.tuning else f"{board.swaps}"),
    ]
    if board.setup.source == "host":
        rows = [
            (
                "alerts",
                f"{board.alerts.live} (nobody knows what is wrong with this machine: no score)",
            )
        ]
    speed = (
        f"{board.load.events:,}, {board.load.events_per_s:,.0f} a second; scoring alone: "
        f"{board.load.scoring_events_per_s:,.0f}"
    )
    books = board.conservation
    return [
        *rows,
        ("events", speed + " a second"),
        ("memory", f"{board.load.rss_mib:.0f} MiB"),
        ("conservation", f"{books['in']:,} in = {_fates(books)}"),
    ]


def act_words(act: ActScore) -> str:
    """Return one stream's part of the score."""
    span = f"{act.live_days:.0f} days" if act.live_days >= 2 else f"{24 * act.live_days:.1f} hours"
    told = (
        f"{act.caught} of {act.caught + act.missed} caught, {act.false_alarms} false in {span} "
        f"of event time"
    )
    return f"{act.name:<14} {told} (its alert budget allows {act.budget:.2g})"


def _fates(books: dict[str, int]) -> str:
    return " + ".join(
        f"{count:,} {name.replace('_', ' ')}"
        for name, count in books.items()
        if count and name != "in"
    )


def _at(seconds: float | None) -> str:
    return "-" if seconds is None else f"at {seconds:.1f} s"


def promise_words(promise: Promise) -> str:
    mark = "not checked" if promise.kept is None else "PROMISE BROKEN"
    return f"{mark}: {promise.name.replace('_', ' ')}: {promise.told}"
