"""`python -m streamer.lifecycle.probe_child BUNDLE BACKEND`: run the golden vectors of a bundle.

Exit 0: the outputs match the recorded ones. Else the last line of standard error has the problem.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from streamer import artifact
from streamer.backends import default_backend
from streamer.backends.golden import strays
from streamer.errors import StreamerError


def main(directory: str, backend: str) -> int:
    try:
        problem = strays(
            artifact.load(Path(directory)), default_backend() if backend == "auto" else backend
        )
    except (StreamerError, KeyError, ValueError) as exc:
        problem = str(exc) or repr(exc)
    if problem is not None:
        sys.stderr.write(json.dumps({"event": "refused", "problem": problem}) + "\n")
    return 0 if problem is None else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
