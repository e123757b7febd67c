"""Security of the connection: TLS, client certificates and logins, without exposing secrets."""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from streamer.connect.kafka.client import oauth
from streamer.errors import ConfigError

if TYPE_CHECKING:
    from streamer.config import Kafka, KafkaSecurity, Sasl

MASK = "***"


class Hidden(str):
    """A secret as str for the client.

    Its repr is a mask, because the client may log its settings.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return repr(MASK)


def options(kafka: Kafka) -> dict[str, Any]:
    """Security arguments of the client; ConfigError if a file cannot be used.

    Certificates are passed as paths: the client reads them for every connection, so a renewed one
    needs no restart.
    """
    found: dict[str, Any] = {"security_protocol": kafka.security.protocol}
    if kafka.security.encrypted:
        tls_context(kafka.security)
        found |= _tls_options(kafka.security)
    if kafka.security.sasl is not None:
        found |= _login_options(kafka, kafka.security.sasl)
    return found


def _tls_options(security: KafkaSecurity) -> dict[str, Any]:
    return {
        "ssl_check_hostname": security.verify_hostname,
        "ssl_cafile": security.ca,
        "ssl_certfile": security.certificate,
        "ssl_keyfile": security.key,
        "ssl_password": _key_password(security),
    }


def _login_options(kafka: Kafka, sasl: Sasl) -> dict[str, Any]:
    if sasl.token is not None:
        provider = oauth.token_provider(
            sasl.token, timeout_s=kafka.request_timeout, ca=kafka.security.ca
        )
        return {"sasl_mechanism": sasl.mechanism, "sasl_oauth_token_provider": provider}
    return {
        "sasl_mechanism": sasl.mechanism,
        "sasl_plain_username": sasl.username,
        "sasl_plain_password": Hidden(sasl.password.get_secret_value() if sasl.password else ""),
    }


def tls_context(security: KafkaSecurity) -> ssl.SSLContext:
    """A context with TLS 1.2 or newer that verifies the broker.

    ConfigError names a file that cannot be used.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = security.verify_hostname
    _trust(context, security)
    if security.certificate is not None:
        _identify(context, security, security.certificate)
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


def _identify(context: ssl.SSLContext, security: KafkaSecurity, certificate: str) -> None:
    certificate = _readable("kafka.security.certificate", certificate)
    key = security.key and _readable("kafka.security.key", security.key)
    try:
        context.load_cert_chain(certificate, key, _key_password(security))
    except (ssl.SSLError, ValueError) as exc:
        problem = (
            f"{key or certificate} does not fit {certificate}, or "
            f"kafka.security.key_password is wrong"
        )
        raise ConfigError("kafka.security.key", f"{problem} ({_reason(exc)})") from exc


def _key_password(security: KafkaSecurity) -> Any:
    """Return a function, so that no repr shows the password.

    Never None: OpenSSL would then prompt at the terminal and wait.
    """
    return _no_password if security.key_password is None else security.key_password.get_secret_value


def _no_password() -> str:
    return ""


def _readable(path: str, file: str) -> str:
    try:
        with Path(file).open("rb") as opened:
            opened.read(1)
    except OSError as exc:
        raise ConfigError(path, f"{file} cannot be read: {exc.strerror}") from exc
    return file


def _reason(exc: Exception) -> str:
    return str(getattr(exc, "reason", None) or exc).replace("_", " ").lower()


def exposed(kafka: Kafka) -> bool:
    """Whether records cross a network in plain text: no TLS, and a remote broker."""
    return bool(kafka.exposed)


def exposure(kafka: Kafka, advertised: Sequence[str] = ()) -> str | None:
    """A warning about plain text, for the bootstrap servers or the brokers they name.

    None if nothing crosses a network in plain text.
    """
    where = kafka.exposed or kafka.in_the_clear(advertised)
    if not where:
        return None
    what = "records" if kafka.security.sasl is None else "records and the login"
    return (
        f"{what} travel in the clear to {', '.join(where)}: set kafka.security.protocol to SSL "
        f"or SASL_SSL"
    )


def scrub(kafka: Kafka, text: str) -> str:
    """Mask every secret of the section in a text."""
    for secret in _secrets(kafka):
        text = text.replace(secret, MASK)
    return text


def _secrets(kafka: Kafka) -> Iterator[str]:
    """Secrets, longest first, because one may be part of another."""
    sasl, token = kafka.security.sasl, kafka.security.sasl.token if kafka.security.sasl else None
    found = (
        kafka.security.key_password,
        sasl.password if sasl else None,
        token.client_secret if token else None,
    )
    yield from sorted(
        (secret.get_secret_value() for secret in found if secret), key=len, reverse=True
    )
