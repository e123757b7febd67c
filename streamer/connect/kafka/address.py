"""Addresses of servers, and which of them can only be this machine."""

from __future__ import annotations

import ipaddress

PORT = 9092


def is_loopback(host: str) -> bool:
    """Whether the name or address can only be this machine; names are not looked up."""
    name = host.lower().rstrip(".")
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def host_and_port(server: str) -> tuple[str, int]:
    """`host`, `host:port`, `[::1]:port` or `PROTOCOL://host:port`, as kafka-python reads it."""
    rest = server.strip().rpartition("://")[2]
    if rest.startswith("["):
        host, _, port = rest[1:].partition("]")
        return host, int(port.lstrip(":") or PORT)
    if rest.count(":") != 1:
        return rest, PORT
    host, _, port = rest.partition(":")
    return host, int(port or PORT)


def show(host: str, port: int) -> str:
    """`host:port`, an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
