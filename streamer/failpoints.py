"""Named places where a test may kill the process: `STREAMER_FAILPOINT=after_send:3` dies, as by kill -9, at the third.

Without the variable a failpoint costs one comparison. Every durable step has one; docs/delivery.md lists them.
"""

from __future__ import annotations

import os
import signal


def _parse(text: str) -> tuple[str, int]:
    name, _, count = text.partition(":")
    return name, int(count or 1)


_NAME, _left = _parse(os.environ.get("STREAMER_FAILPOINT", ""))


def failpoint(name: str) -> None:
    """Die here, without any cleaning up, if this is the place and the time."""
    global _left  # noqa: PLW0603 - one process, one death
    if name != _NAME:
        return
    _left -= 1
    if _left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
