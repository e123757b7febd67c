"""What a blob in a store may be called, the same in every store: parts between slashes, none that could lead away."""

from __future__ import annotations

import re

from streamer.errors import StoreError

_PART = re.compile(r"[A-Za-z0-9_%=@+-][A-Za-z0-9._%=@+-]{0,199}")
LONGEST = 900


def checked(name: str) -> str:
    """The name itself; StoreError if it may not be used."""
    if len(name) > LONGEST or not all(_PART.fullmatch(part) for part in name.split("/")):
        raise StoreError(
            f"{name[:200]!r} cannot be the name of a blob: parts between slashes are 1 to 200 letters, digits or "
            "._%=@+- and do not begin with a dot"
        )
    return name
