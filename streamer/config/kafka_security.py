"""Security of the connection to the brokers: encryption, certificates and login."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from streamer.config.address import HttpUrl, MaybeSecret, host_of, is_loopback
from streamer.config.base import Rule, Section, Text


class TokenEndpoint(Section):
    """The source of tokens for OAUTHBEARER: OAuth 2.0 client credentials."""

    url: HttpUrl = Field(
        description="Address of the token endpoint. It must be https outside of this machine, "
        "since the client secret travels to it."
    )
    client_id: Text = Field(description="Name of this client at the token endpoint.")
    client_secret: MaybeSecret = Field(
        description="Secret of this client. Write `${file:/run/secrets/name}` or a variable, never "
        "the secret itself."
    )
    scope: Text | None = Field(
        default=None, description="Scope to ask for, where the endpoint needs one."
    )

    @property
    def plaintext(self) -> bool:
        """Whether the client secret would cross a network unencrypted."""
        return self.url.startswith("http:") and not is_loopback(host_of(self.url))

    def rules(self) -> Iterator[Rule]:
        if self.client_secret is None:
            yield ("client_secret",), "must not be empty"
        if self.plaintext:
            yield ("url",), "must be https: the client secret travels to it"


class Sasl(Section):
    """The login at the brokers."""

    mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"] = Field(
        default="SCRAM-SHA-512",
        description="How this client proves who it is. Take what the brokers offer.",
    )
    username: Text | None = Field(default=None, description="User name, for PLAIN and SCRAM.")
    password: MaybeSecret = Field(
        default=None,
        description="Password, for PLAIN and SCRAM. Write `${file:/run/secrets/name}` or a "
        "variable, never the password itself.",
    )
    token: TokenEndpoint | None = Field(
        default=None, description="Where tokens come from, for OAUTHBEARER."
    )

    def rules(self) -> Iterator[Rule]:
        named = {"username": self.username, "password": self.password, "token": self.token}
        needed = {"token"} if self.mechanism == "OAUTHBEARER" else {"username", "password"}
        for name, value in named.items():
            if name in needed and value is None:
                yield (name,), f"is needed for {self.mechanism}"
            if name not in needed and value is not None:
                yield (
                    (name,),
                    f"does not belong to {self.mechanism}, which needs "
                    f"{' and '.join(sorted(needed))}",
                )


class KafkaSecurity(Section):
    """Encryption and authentication for the brokers. Paths are PEM files."""

    protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        default="PLAINTEXT",
        description="Whether the connection is encrypted (SSL) and whether a login is needed "
        "(SASL). Everything but PLAINTEXT needs the same on the side of the brokers.",
    )
    ca: Text | None = Field(
        default=None,
        description="PEM file of the authority that signed the certificates of the brokers. Null "
        "trusts the authorities that this machine trusts.",
    )
    certificate: Text | None = Field(
        default=None,
        description="PEM file of the client's certificate, where the brokers ask for one.",
    )
    key: Text | None = Field(
        default=None, description="PEM file of the private key of the client's certificate."
    )
    key_password: MaybeSecret = Field(
        default=None, description="Password of the private key, if it has one."
    )
    verify_hostname: bool = Field(
        default=True,
        description="Whether a broker's certificate must bear its host name. Set false only for "
        "tests: it lets others pose as the broker.",
    )
    sasl: Sasl | None = Field(
        default=None,
        description="How this client logs in, where the protocol is SASL_SSL or SASL_PLAINTEXT.",
    )

    @property
    def encrypted(self) -> bool:
        return self.protocol.endswith("SSL")

    def rules(self) -> Iterator[Rule]:
        if self.sasl is None and self.protocol.startswith("SASL"):
            yield ("sasl",), f"is needed for {self.protocol}"
        if self.sasl is not None and not self.protocol.startswith("SASL"):
            yield (
                ("protocol",),
                f"must be SASL_SSL or SASL_PLAINTEXT where sasl is set, got {self.protocol}",
            )
        yield from self._file_rules()

    def _file_rules(self) -> Iterator[Rule]:
        if not self.encrypted:
            useless = [
                name
                for name in ("ca", "certificate", "key", "key_password")
                if getattr(self, name) is not None
            ]
            useless += [] if self.verify_hostname else ["verify_hostname"]
            yield from (
                ((name,), f"needs protocol SSL or SASL_SSL, not {self.protocol}")
                for name in useless
            )
        if (self.certificate is None) != (self.key is None):
            missing = "key" if self.key is None else "certificate"
            yield (missing,), "is missing: certificate and key go together"
        if self.key_password is not None and self.key is None:
            yield ("key_password",), "needs a key"
