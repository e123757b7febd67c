"""Addresses of servers as configuration values: host:port of brokers, URLs without credentials."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from typing import Annotated
from urllib.parse import SplitResult, urlsplit

from pydantic import BeforeValidator, SecretStr

from streamer.config.base import blank_is_none

MAX_PORT = 65_535


def split_host(address: str) -> tuple[str, int] | None:
    """Return host and port of `host:port` or `[::1]:port`; None if it is neither."""
    host, _, port = address.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    if not host or (":" in host and not bracketed) or any(c in host for c in " /@"):
        return None
    if not (port.isascii() and port.isdigit() and int(port) <= MAX_PORT):
        return None
    return host.strip("[]"), int(port)


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach the host.

    A name other than localhost counts as public.
    """
    name = host.lower().rstrip(".")
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def host_of(url: str) -> str:
    return urlsplit(url).hostname or ""


def url_of(*schemes: str) -> Callable[[object], object]:
    """Return a validator of a URL of one of these schemes.

    Credentials in the URL are refused, with a hint to their own settings.
    """
    shown = " or ".join(f"{scheme}://" for scheme in schemes)

    def check(raw: object) -> object:
        if not isinstance(raw, str):
            raise ValueError(f"must be text that starts with {shown}")
        parts = _split(raw)
        if parts is not None and (parts.username is not None or parts.password is not None):
            raise ValueError(
                "must not hold a user or a password; they have settings of their own beside the url"
            )
        if (
            parts is None
            or parts.scheme not in schemes
            or not parts.hostname
            or any(ord(c) <= 32 for c in raw)
        ):
            raise ValueError(f"must be {shown}host:port")
        return raw

    return check


def _split(url: str) -> SplitResult | None:
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - raises if the port is not a number
    except ValueError:
        return None
    return parts


def _secret(raw: object) -> object:
    if isinstance(raw, bool | int | float):
        raise ValueError("must be text; write it in quotes")
    return blank_is_none(raw)


MaybeSecret = Annotated[SecretStr | None, BeforeValidator(_secret)]
HttpUrl = Annotated[str, BeforeValidator(url_of("http", "https"))]
RedisUrl = Annotated[str, BeforeValidator(url_of("redis", "rediss"))]
