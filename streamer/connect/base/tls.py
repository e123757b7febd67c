"""TLS contexts: trusted authorities of a PEM file, or those of the system."""

from __future__ import annotations

import ssl

from streamer.errors import ConfigError


def trusting(ca: str | None, setting: str) -> ssl.SSLContext:
    """A client context; `ca` None means the system's authorities.

    ConfigError for an unusable file, naming `setting`.
    """
    try:
        return ssl.create_default_context(cafile=ca)
    except (OSError, ssl.SSLError) as exc:
        problem = f"cannot be used: {exc.strerror or exc}; it must be a file of PEM certificates"
        raise ConfigError(setting, problem, ca) from exc
