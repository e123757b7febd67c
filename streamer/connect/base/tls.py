"""Whose certificates are believed: the authorities of a PEM file, or those that this machine
trusts.
"""

from __future__ import annotations

import ssl

from streamer.errors import ConfigError


def trusting(ca: str | None, setting: str) -> ssl.SSLContext:
    """A context for a client; None = the system's authorities. ConfigError, naming `setting`, for
    an unusable file.
    """
    try:
        return ssl.create_default_context(cafile=ca)
    except (OSError, ssl.SSLError) as exc:
        problem = f"cannot be used: {exc.strerror or exc}; it must be a file of PEM certificates"
        raise ConfigError(setting, problem, ca) from exc
