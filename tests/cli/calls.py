"""The command line called in this process, with its exit code and both streams."""

from __future__ import annotations

import contextlib
import io
from dataclasses import dataclass

from streamer.cli.main import run


@dataclass(frozen=True)
class Done:
    exit_code: int
    stdout: str
    stderr: str


def call(*words: object) -> Done:
    """`streamer WORDS`."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = run([str(word) for word in words])
    return Done(code, out.getvalue(), err.getvalue())
