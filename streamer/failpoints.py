"""Named places where a test may kill or stop the process.

`STREAMER_FAILPOINT=after_send:3` sends SIGKILL to the process when `after_send` is reached the
third time. With a duration, `after_score:3:60s`, the calling thread sleeps for that long instead.
Without the variable a failpoint costs one comparison. Every durable step has a failpoint;
docs/delivery.md lists them.
"""

from __future__ import annotations

import os
import signal
import time


def _parse(text: str) -> tuple[str, int, float]:
    name, _, rest = text.partition(":")
    count, _, hang = rest.partition(":")
    return name, int(count or 1), float(hang.removesuffix("s") or 0)


_NAME, _left, _HANG_S = _parse(os.environ.get("STREAMER_FAILPOINT", ""))


def failpoint(name: str) -> None:
    """Kill the process without cleanup, or sleep, if this is the configured place and count."""
    global _left  # noqa: PLW0603 - one count per process
    if name != _NAME:
        return
    _left -= 1
    if _left == 0 and _HANG_S:
        time.sleep(_HANG_S)
    elif _left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
