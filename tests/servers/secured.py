"""One Kafka node with every kind of door, users, and a rule book: what is not allowed
is forbidden.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from confluent_kafka.admin import (  # type: ignore[attr-defined]  # its stubs do not re-export
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)

from tests.servers.admin import ASK_S
from tests.servers.certificates import Certificates, Identity, make_certificates
from tests.servers.cluster import KafkaCluster, Listener
from tests.servers.tokens import AUDIENCE, ISSUER, TokenEndpoint

PASSWORDS: Mapping[str, str] = {
    "alice": "alice-secret",
    "stranger": "stranger-secret",
}  # stranger may do nothing
SCRAM = ("SCRAM-SHA-256", "SCRAM-SHA-512")
_OAUTH = "org.apache.kafka.common.security.oauthbearer"
_MODULES = "org.apache.kafka.common.security"


class SecuredKafka(KafkaCluster):
    """Doors by name: `at("SCRAM")` SASL_SSL with SCRAM-SHA-256 and -512, `at("PLAIN")`
    SASL_PLAINTEXT, `at("PLAINS")` SASL_SSL with PLAIN, `at("MTLS")` SSL with required client
    certificates, `at("TLS")` SSL without, `at("MISNAMED")` SSL under another host's name,
    `at("TOKENS")` SASL_SSL with OAUTHBEARER.

    alice, the client's certificate and the token client alice may do everything; stranger nothing;
    the tests' own PLAINTEXT door is a super user's. Close `tokens` too: `close` does.
    """

    def __init__(self, directory: Path, *, session_s: float = 0.0) -> None:
        """`session_s`: so long a login holds; 0: as long as its connection."""
        self.certificates = make_certificates(directory / "certificates")
        self.tokens = TokenEndpoint(directory / "tokens", dict(PASSWORDS)).start()
        allowed = f"-Dorg.apache.kafka.sasl.oauthbearer.allowed.urls={self.tokens.keys.as_uri()}"
        files = f"-Dorg.apache.kafka.sasl.oauthbearer.allowed.files={self.tokens.keys}"
        rules = _RULES | {"connections.max.reauth.ms": round(session_s * 1000)}
        super().__init__(
            directory,
            listeners=_doors(self.certificates, self.tokens),
            scram=_scram(),
            properties=rules,
            jvm=[allowed, files],
        )

    def close(self) -> None:
        self.tokens.close()
        super().close()

    def allow_topic(self, user: str, topic: str, *operations: str) -> None:
        """Give a user READ, WRITE, DESCRIBE ... on one topic."""
        self._allow(user, ResourceType.TOPIC, topic, operations)

    def allow_group(self, user: str, group: str) -> None:
        self._allow(user, ResourceType.GROUP, group, ["READ"])

    def forbid(self, user: str) -> None:
        """Take everything away that was allowed."""
        rules = AclBindingFilter(
            ResourceType.ANY,
            None,  # type: ignore[arg-type]  # None is any: the stubs do not know it
            ResourcePatternType.ANY,
            f"User:{user}",
            None,  # type: ignore[arg-type]
            AclOperation.ANY,
            AclPermissionType.ANY,
        )
        for done in self.admin.delete_acls([rules], request_timeout=ASK_S).values():
            done.result(ASK_S)

    def change_password(self, user: str, password: str) -> None:
        """Of SCRAM; connections that were made with the old one live on until they must prove
        themselves again.
        """
        known = [ScramMechanism.SCRAM_SHA_256, ScramMechanism.SCRAM_SHA_512]
        changes = [
            UserScramCredentialUpsertion(user, ScramCredentialInfo(each, 4096), password.encode())
            for each in known
        ]
        for change in changes:
            for done in self.admin.alter_user_scram_credentials(
                [change], request_timeout=ASK_S
            ).values():
                done.result(ASK_S)

    def _allow(self, user: str, kind: ResourceType, name: str, operations: Iterable[str]) -> None:
        rules = [
            AclBinding(
                kind,
                name,
                ResourcePatternType.LITERAL,
                f"User:{user}",
                "*",
                AclOperation[operation],
                AclPermissionType.ALLOW,
            )
            for operation in operations
        ]
        for done in self.admin.create_acls(rules, request_timeout=ASK_S).values():
            done.result(ASK_S)


_RULES = {
    "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
    "super.users": "User:ANONYMOUS;User:alice;User:CN=client",
}


def _doors(certificates: Certificates, tokens: TokenEndpoint) -> list[Listener]:
    tls = _tls(certificates, certificates.server)
    scram = {"sasl.enabled.mechanisms": ",".join(SCRAM)} | {
        f"{mechanism.lower()}.sasl.jaas.config": f"{_MODULES}.scram.ScramLoginModule required;"
        for mechanism in SCRAM
    }
    return [
        Listener("SCRAM", "SASL_SSL", tls | scram),
        Listener("PLAIN", "SASL_PLAINTEXT", _plain()),
        Listener("PLAINS", "SASL_SSL", tls | _plain()),
        Listener("MTLS", "SSL", tls | {"ssl.client.auth": "required"}),
        Listener("TLS", "SSL", tls),
        Listener("MISNAMED", "SSL", _tls(certificates, certificates.misnamed_server)),
        Listener("TOKENS", "SASL_SSL", tls | _oauth(tokens)),
    ]


def _tls(certificates: Certificates, server: Identity) -> dict[str, str]:
    return {
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(server.store),
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": str(certificates.ca),
    }


def _plain() -> dict[str, str]:
    users = " ".join(f'user_{name}="{password}"' for name, password in PASSWORDS.items())
    return {
        "sasl.enabled.mechanisms": "PLAIN",
        "plain.sasl.jaas.config": f"{_MODULES}.plain.PlainLoginModule required {users};",
    }


def _oauth(tokens: TokenEndpoint) -> dict[str, str]:
    return {
        "sasl.enabled.mechanisms": "OAUTHBEARER",
        "oauthbearer.sasl.jaas.config": f"{_OAUTH}.OAuthBearerLoginModule required;",
        "oauthbearer.sasl.server.callback.handler.class": f"{_OAUTH}.OAuthBearerValidatorCallbackHandler",
        # The default of Kafka 4.1 checks neither signature nor issuer, audience and expiry: it
        # takes any token.
        "sasl.oauthbearer.jwt.validator.class": f"{_OAUTH}.BrokerJwtValidator",
        "oauthbearer.sasl.oauthbearer.jwks.endpoint.url": tokens.keys.as_uri(),
        "oauthbearer.sasl.oauthbearer.expected.issuer": ISSUER,
        "oauthbearer.sasl.oauthbearer.expected.audience": AUDIENCE,
    }


def _scram() -> list[str]:
    return [
        f"{mechanism}=[name={user},password={word}]"
        for mechanism in SCRAM
        for user, word in PASSWORDS.items()
    ]
