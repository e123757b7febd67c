"""Limits and words that the lines of `streamer check --connect` share."""

from __future__ import annotations

from streamer.finding import Finding

LIMIT_S = 5.0  # of one server's answer, beyond its own timeouts
SKEW_S = 2.0  # a clock that is off by more is told; tokens and certificates fail at minutes


def parted(text: str, otherwise: str) -> tuple[str, str]:
    """Problem and fix of a message that holds both."""
    problem, _, fix = text.partition("; ")
    return problem, fix or otherwise


def clock_against(server: str, skew_s: float) -> Finding:
    """This machine's clock against a server's, seconds ahead of it."""
    name = f"clock against {server}"
    if abs(skew_s) <= SKEW_S:
        return Finding(name, "ok", f"{abs(skew_s):.1f} s apart")
    way = "ahead" if skew_s > 0 else "behind"
    return Finding(
        name, "warn", f"{abs(skew_s):.1f} s {way}", "let NTP set the clocks of both machines"
    )
