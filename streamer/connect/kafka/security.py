"""Security of the connection: TLS, client certificates and logins. Secrets go to the client and nowhere else."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from streamer.connect.kafka import oauth
from streamer.connect.kafka.address import host_and_port, is_loopback, show
from streamer.errors import ConfigError

if TYPE_CHECKING:
    from streamer.config import Kafka, KafkaSecurity, Sasl

TLS = ("SSL", "SASL_SSL")
LOGIN = ("SASL_PLAINTEXT", "SASL_SSL")
MASK = "***"


class Hidden(str):
    """A secret as the client wants it, a text; its repr is a mask, because the client may log its settings."""

    __slots__ = ()

    def __repr__(self) -> str:
        return repr(MASK)


def options(kafka: Kafka) -> dict[str, Any]:
    """The part of the client's keyword arguments that is about security; ConfigError if a file cannot be used.

    Certificates are passed as paths: the client reads them for every connection, so a renewed one needs no restart.
    """
    found: dict[str, Any] = {"security_protocol": kafka.security.protocol}
    if uses_tls(kafka):
        tls_context(kafka.security)
        found |= _tls_options(kafka.security)
    if kafka.security.protocol in LOGIN:
        found |= _login_options(kafka)
    return found


def _tls_options(security: KafkaSecurity) -> dict[str, Any]:
    return {
        "ssl_check_hostname": security.verify_hostname,
        "ssl_cafile": _text(security.ca),
        "ssl_certfile": _text(security.certificate),
        "ssl_keyfile": _text(security.key),
        "ssl_password": _key_password(security),
    }


def _login_options(kafka: Kafka) -> dict[str, Any]:
    sasl = login(kafka)
    if sasl.mechanism == "OAUTHBEARER":
        if sasl.token is None:
            raise ConfigError("kafka.security.sasl.token", "is needed for OAUTHBEARER: url, client_id, client_secret")
        provider = oauth.token_provider(sasl.token, timeout_s=float(kafka.request_timeout), ca=_text(kafka.security.ca))
        return {"sasl_mechanism": sasl.mechanism, "sasl_oauth_token_provider": provider}
    if sasl.username is None or sasl.password is None:
        raise ConfigError("kafka.security.sasl", f"username and password are needed for {sasl.mechanism}")
    return {
        "sasl_mechanism": sasl.mechanism,
        "sasl_plain_username": sasl.username,
        "sasl_plain_password": Hidden(sasl.password.get_secret_value()),
    }


def login(kafka: Kafka) -> Sasl:
    """The login of a SASL protocol; ConfigError where the section is missing."""
    if kafka.security.sasl is None:
        raise ConfigError("kafka.security.sasl", f"is needed for protocol {kafka.security.protocol}")
    return kafka.security.sasl


def tls_context(security: KafkaSecurity) -> ssl.SSLContext:
    """TLS 1.2 or newer, the broker verified; ConfigError names the file that cannot be used."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = security.verify_hostname
    _trust(context, security)
    if security.certificate is not None:
        _identify(context, security)
    return context


def _trust(context: ssl.SSLContext, security: KafkaSecurity) -> None:
    if security.ca is None:
        context.load_default_certs()
        return
    try:
        context.load_verify_locations(_readable("kafka.security.ca", security.ca))
    except ssl.SSLError as exc:
        problem = f"{security.ca} holds no usable PEM certificate ({_reason(exc)})"
        raise ConfigError("kafka.security.ca", problem) from exc


def _identify(context: ssl.SSLContext, security: KafkaSecurity) -> None:
    certificate = _readable("kafka.security.certificate", security.certificate)
    key = None if security.key is None else _readable("kafka.security.key", security.key)
    try:
        context.load_cert_chain(certificate, key, _key_password(security))
    except (ssl.SSLError, ValueError) as exc:
        problem = f"{key or certificate} does not fit {certificate}, or kafka.security.key_password is wrong"
        raise ConfigError("kafka.security.key", f"{problem} ({_reason(exc)})") from exc


def _key_password(security: KafkaSecurity) -> Any:
    """A function, so that nothing shows it. Never None: without one OpenSSL asks at the terminal and waits."""
    return _no_password if security.key_password is None else security.key_password.get_secret_value


def _no_password() -> str:
    return ""


def _readable(path: str, file: object) -> str:
    try:
        with Path(str(file)).open("rb") as opened:
            opened.read(1)
    except OSError as exc:
        raise ConfigError(path, f"{file} cannot be read: {exc.strerror}") from exc
    return str(file)


def _text(file: object) -> str | None:
    return None if file is None else str(file)


def _reason(exc: Exception) -> str:
    return str(getattr(exc, "reason", None) or exc).replace("_", " ").lower()


def uses_tls(kafka: Kafka) -> bool:
    """Whether the connection is encrypted."""
    return kafka.security.protocol in TLS


def exposed(kafka: Kafka) -> bool:
    """Whether records cross a network in the clear: no TLS, and a broker that is not on this machine."""
    return not uses_tls(kafka) and any(not is_loopback(host) for host, _ in addresses(kafka))


def exposure(kafka: Kafka) -> str | None:
    """What is said about it, None where nothing is exposed."""
    if not exposed(kafka):
        return None
    hosts = ", ".join(show(host, port) for host, port in addresses(kafka) if not is_loopback(host))
    what = "records and the login" if kafka.security.protocol in LOGIN else "records"
    return f"{what} travel in the clear to {hosts}: set kafka.security.protocol to SSL or SASL_SSL"


def addresses(kafka: Kafka) -> list[tuple[str, int]]:
    """Host and port of every bootstrap server."""
    return [host_and_port(server) for server in kafka.bootstrap_servers]


def scrub(kafka: Kafka, text: str) -> str:
    """The text without any secret of the section."""
    for secret in _secrets(kafka):
        text = text.replace(secret, MASK)
    return text


def _secrets(kafka: Kafka) -> Iterator[str]:
    security, sasl = kafka.security, kafka.security.sasl
    token = None if sasl is None else sasl.token
    for secret in (security.key_password, sasl and sasl.password, token and token.client_secret):
        if secret is not None and secret.get_secret_value():
            yield secret.get_secret_value()
