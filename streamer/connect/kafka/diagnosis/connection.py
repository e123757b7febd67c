"""A test connection to one broker, step by step, so that the failing step is known.

Every wait is bounded.
"""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from streamer.config.address import split_host
from streamer.connect.kafka.client import security
from streamer.connect.kafka.diagnosis.causes import Broken, Cause
from streamer.errors import BrokerError

if TYPE_CHECKING:
    from streamer.config import Kafka, Sasl

# OpenSSL's codes of certificate errors (x509_vfy.h).
DATES = {9, 10}
NAMES = {62, 63, 64}
# TLS alerts of a broker that wants a client certificate, or another one, as OpenSSL spells them.
ALERTS_ABOUT_US = (
    "CERTIFICATE_REQUIRED",
    "BAD_CERTIFICATE",
    "CERTIFICATE_UNKNOWN",
    "UNKNOWN_CA",
    "HANDSHAKE_FAILURE",
)
TLS_ALERT = b"\x15\x03"  # first bytes of a TLS peer that received plain text
MIN_LEFT_S = 0.5  # for one more check after the time is up
UNSUPPORTED_MECHANISM, OUT_OF_PLACE, LOGIN_FAILED = 33, 34, 58  # Kafka's error codes


@dataclass(frozen=True, slots=True)
class BrokerAddress:
    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def addresses(kafka: Kafka) -> list[BrokerAddress]:
    """The bootstrap servers as addresses."""
    return [
        BrokerAddress(*pair)
        for pair in map(split_host, kafka.bootstrap_servers)
        if pair is not None
    ]


class Connection:
    """A connection that is encrypted and logged in, else Broken.

    One request at a time.
    """

    def __init__(
        self, kafka: Kafka, address: BrokerAddress, options: Mapping[str, Any], *, end_s: float
    ) -> None:
        from kafka.protocol.parser import KafkaProtocol

        self._kafka, self._address, self._options, self._end_s = kafka, address, options, end_s
        self._protocol = KafkaProtocol(client_id=kafka.client_id)
        self._greeted = False
        self._socket = self._dialled()
        try:
            self._encrypt()
            self._greet()
            if kafka.security.sasl is not None:
                self._log_in(kafka.security.sasl)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._socket.close()

    def ask(self, request: Any) -> Any:
        """Return the response; Broken if the connection ends or no answer comes in time."""
        self._protocol.send_request(request)
        try:
            self._socket.settimeout(self._left_s())
            self._socket.sendall(self._protocol.send_bytes())
            return self._answer()
        except TimeoutError:
            raise Broken(Cause.SILENT, "no answer in time") from None
        except ssl.SSLError as exc:
            raise self._refused_after_tls(exc.reason or str(exc)) from None
        except OSError as exc:
            raise self._hung_up(exc.strerror or "connection lost") from None

    def _answer(self) -> Any:
        from kafka.errors import KafkaProtocolError

        while True:
            self._socket.settimeout(self._left_s())
            data = self._socket.recv(65_536)
            if not data:
                raise ConnectionResetError(0, "it hung up")
            try:
                responses = self._protocol.receive_bytes(data)
            except KafkaProtocolError:
                raise Broken(
                    Cause.NEEDS_TLS if data.startswith(TLS_ALERT) else Cause.NOT_KAFKA,
                    "no answer of Kafka's",
                ) from None
            if responses:
                return responses[0][1]

    def _left_s(self) -> float:
        left_s = self._end_s - time.monotonic()
        if left_s <= 0:
            raise TimeoutError
        return left_s

    def _dialled(self) -> socket.socket:
        try:
            return socket.create_connection(
                (self._address.host, self._address.port), self._left_s()
            )
        except (socket.gaierror, UnicodeError) as exc:
            raise Broken(Cause.HOST_UNKNOWN, getattr(exc, "strerror", "not a host name")) from None
        except TimeoutError:
            raise Broken(Cause.UNREACHABLE, "no answer in time") from None
        except OSError as exc:
            raise Broken(Cause.UNREACHABLE, exc.strerror) from None

    def _encrypt(self) -> None:
        if not self._kafka.security.encrypted:
            return
        context = security.tls_context(self._kafka.security)
        try:
            self._socket.settimeout(self._left_s())
            self._socket = context.wrap_socket(
                self._socket, server_hostname=self._address.host.rstrip(".")
            )
        except TimeoutError:
            raise Broken(Cause.SILENT, "no TLS handshake in time") from None
        except ssl.SSLCertVerificationError as exc:
            raise Broken(_about_certificate(exc.verify_code), exc.verify_message) from None
        except ssl.SSLError as exc:
            raise self._no_tls(exc) from None
        except OSError as exc:
            raise Broken(Cause.NOT_TLS, exc.strerror) from None

    def _no_tls(self, exc: ssl.SSLError) -> Broken:
        reason = exc.reason or str(exc)
        if "ALERT" in reason and any(alert in reason for alert in ALERTS_ABOUT_US):
            return self._refused_after_tls(reason)
        if reason in {
            "WRONG_VERSION_NUMBER",
            "UNEXPECTED_EOF_WHILE_READING",
            "RECORD_LAYER_FAILURE",
        }:
            return Broken(Cause.NOT_TLS, _words(reason))
        return Broken(Cause.TLS_FAILED, _words(reason))

    def _refused_after_tls(self, reason: str) -> Broken:
        ours = self._kafka.security.certificate
        return Broken(
            Cause.CERTIFICATE_MISSING if ours is None else Cause.CERTIFICATE_REFUSED, _words(reason)
        )

    def _hung_up(self, detail: str) -> Broken:
        """The cause of a connection that the broker closed.

        It depends on how far the connection was set up.
        """
        if self._greeted:
            return Broken(
                Cause.LOGIN_MISSING if self._kafka.security.sasl is None else Cause.SILENT, detail
            )
        if self._kafka.security.encrypted:
            return self._refused_after_tls(detail)
        left_s = max(MIN_LEFT_S, self._end_s - time.monotonic())
        return Broken(
            Cause.NEEDS_TLS if _speaks_tls(self._address, left_s) else Cause.NOT_KAFKA, detail
        )

    def _greet(self) -> None:
        from kafka.protocol.metadata import ApiVersionsRequest

        self.ask(ApiVersionsRequest(version=0))
        self._greeted = True

    def _log_in(self, sasl: Sasl) -> None:
        from kafka.protocol.sasl import SaslHandshakeRequest

        answer = self.ask(SaslHandshakeRequest(mechanism=sasl.mechanism, version=1))
        if answer.error_code == OUT_OF_PLACE:
            raise Broken(Cause.LOGIN_UNWANTED)
        if answer.error_code == UNSUPPORTED_MECHANISM:
            raise Broken(Cause.MECHANISM, ", ".join(sorted(answer.mechanisms)) or "none")
        self._prove(sasl)

    def _prove(self, sasl: Sasl) -> None:
        from kafka.net.sasl import get_sasl_mechanism
        from kafka.protocol.sasl import SaslAuthenticateRequest

        refused = Cause.TOKEN_REFUSED if sasl.mechanism == "OAUTHBEARER" else Cause.LOGIN_REFUSED
        mechanism = get_sasl_mechanism(sasl.mechanism)(host=self._address.host, **self._options)
        while not mechanism.is_done():
            answer = self.ask(SaslAuthenticateRequest(_proof(mechanism), version=0))
            if answer.error_code:
                raise Broken(refused, answer.error_message or f"error {answer.error_code}")
            _check(mechanism, answer.auth_bytes, refused)
        if not mechanism.is_authenticated():
            raise Broken(refused, "the broker did not confirm it")


def _proof(mechanism: Any) -> bytes:
    try:
        return bytes(mechanism.auth_bytes())
    except BrokerError as exc:
        raise Broken(Cause.NO_TOKEN, exc) from None


def _check(mechanism: Any, answer: bytes, refused: Cause) -> None:
    try:
        mechanism.receive(answer)
    except (ValueError, KeyError):
        raise Broken(refused, "the broker's proof that it knows the password is wrong") from None


def _about_certificate(code: int) -> Cause:
    if code in DATES:
        return Cause.BAD_DATE
    return Cause.WRONG_NAME if code in NAMES else Cause.UNKNOWN_CA


def _speaks_tls(address: BrokerAddress, timeout_s: float) -> bool:
    """Whether the peer answers a TLS handshake in TLS.

    No data is sent over it.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with socket.create_connection((address.host, address.port), timeout_s) as plain:
            context.wrap_socket(plain).close()
    except ssl.SSLError as exc:
        return "ALERT" in (exc.reason or "")
    except OSError:
        return False
    return True


def _words(reason: str) -> str:
    return reason.replace("_", " ").lower()
