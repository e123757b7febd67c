"""Causes of connection problems, each with its description and its fix."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Cause(Enum):
    """A cause with its description and fix; the finder fills in the words in braces."""

    HOST_UNKNOWN = (
        "the host name of {address} cannot be resolved ({detail})",
        "correct kafka.bootstrap_servers, or this machine's name service",
    )
    UNREACHABLE = (
        "no broker answers at {address} ({detail})",
        "start the broker, correct host and port in kafka.bootstrap_servers, or open the firewall "
        "between",
    )
    SILENT = (
        "{address} accepts connections and says nothing ({detail})",
        "look at the broker's own log, and whether the port is a broker's; a slow one needs a "
        "longer "
        "kafka.request_timeout",
    )
    NOT_KAFKA = (
        "what answers at {address} does not speak as a Kafka broker of protocol {protocol} does "
        "({detail})",
        "correct the port in kafka.bootstrap_servers, or kafka.security.protocol",
    )
    UNKNOWN_CA = (
        "the certificate of {address} is signed by an authority that is not trusted here "
        "({detail})",
        "set kafka.security.ca to the PEM file of the authority that signed it",
    )
    WRONG_NAME = (
        "the certificate of {address} is for another host ({detail})",
        "use a name that the certificate holds in kafka.bootstrap_servers and in the broker's "
        "advertised.listeners, "
        "or have one made with this name",
    )
    BAD_DATE = (
        "the certificate of {address} is not valid at this machine's time ({detail})",
        "renew the broker's certificate, or set this machine's clock",
    )
    TLS_FAILED = (
        "no TLS connection to {address} ({detail})",
        "compare TLS versions and ciphers of broker and client",
    )
    NOT_TLS = (
        "{address} does not speak TLS, and kafka.security.protocol is {protocol}",
        "use the port of the broker's TLS listener, or set kafka.security.protocol to PLAINTEXT "
        "or SASL_PLAINTEXT",
    )
    NEEDS_TLS = (
        "{address} speaks TLS only, and kafka.security.protocol is {protocol}",
        "set kafka.security.protocol to SSL or SASL_SSL, or use the port of a listener without TLS",
    )
    CERTIFICATE_MISSING = (
        "{address} asks for a client certificate, and there is none ({detail})",
        "set kafka.security.certificate and kafka.security.key",
    )
    CERTIFICATE_REFUSED = (
        "{address} refuses the client certificate ({detail})",
        "use one signed by an authority in the broker's trust store, valid today, in "
        "kafka.security.certificate",
    )
    LOGIN_MISSING = (
        "{address} asks for a login, and kafka.security.protocol is {protocol}",
        "set kafka.security.protocol to SASL_SSL or SASL_PLAINTEXT, and kafka.security.sasl",
    )
    LOGIN_UNWANTED = (
        "{address} takes no login, and kafka.security.protocol is {protocol}",
        "set kafka.security.protocol to SSL or PLAINTEXT, or use the port of the broker's SASL "
        "listener",
    )
    MECHANISM = (
        "{address} has not enabled {mechanism} (it offers {detail})",
        "set kafka.security.sasl.mechanism to one of these, or enable it at the broker",
    )
    LOGIN_REFUSED = (
        "{address} refuses the login of {user} by {mechanism} ({detail})",
        "correct kafka.security.sasl.username and password; SCRAM passwords are kept by the "
        "broker for each mechanism",
    )
    TOKEN_REFUSED = (
        "{address} refuses the token of {user} ({detail})",
        "compare issuer, audience and scope of kafka.security.sasl.token with what the broker "
        "expects, and the clocks",
    )
    NO_TOKEN = (
        "there is no token to log in with ({detail})",
        "correct kafka.security.sasl.token: url, client_id, client_secret, scope",
    )
    ADVERTISED = (
        "{address} answers, but sends us on to {detail}, where nothing answers",
        "correct advertised.listeners of that broker to an address that this machine reaches, or "
        "start it",
    )
    TOPIC_MISSING = (
        "there is no topic {name}",
        "create it (kafka-topics --create --topic {name}), or correct the name in the "
        "configuration",
    )
    TOPIC_READ = (
        "{user} may not read the topic {name}",
        "allow it: kafka-acls --add --allow-principal User:{user} --operation READ --topic {name}",
    )
    TOPIC_WRITE = (
        "{user} may not write to the topic {name}",
        "allow it: kafka-acls --add --allow-principal User:{user} --operation WRITE --topic {name}",
    )
    TOPIC_DENIED = (
        "{user} lacks a permission on the topic {name}",
        "allow READ where it is a source and WRITE where it is a sink: "
        "kafka-acls --add --allow-principal User:{user} --operation READ --topic {name}",
    )
    PATTERN_EMPTY = (
        "no topic that {user} may see matches {name}",
        "create one, correct source.pattern, or allow it: kafka-acls --add --allow-principal "
        "User:{user} "
        "--operation READ --topic <how their names begin> --resource-pattern-type prefixed",
    )
    GROUP_DENIED = (
        "{user} may not use the consumer group {name}",
        "allow it: kafka-acls --add --allow-principal User:{user} --operation READ --group {name}",
    )
    CLUSTER_DENIED = (
        "{user} may not write to any topic here",
        "allow it: kafka-acls --add --allow-principal User:{user} --operation WRITE --topic <the "
        "sink's topic>",
    )
    CODEC = (
        "records are compressed in a way that this installation cannot read ({name})",
        "pip install 'streamer[compression]', or use the image, which has it; what could not be "
        "read is read then",
    )
    UNCLEAR = (
        "{address} answers and accepts us now; what failed was: {detail}",
        "try again; if it comes back, look at the broker's log of this moment",
    )

    NONE = ("{address} answers and accepts {user}", "nothing is to be done here")

    @property
    def problem(self) -> str:
        return self.value[0]

    @property
    def fix(self) -> str:
        return self.value[1]


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """A cause with its words filled in; as text the problem, then the fix."""

    cause: Cause
    problem: str
    fix: str

    def __str__(self) -> str:
        return f"{self.problem}: {self.fix}"


class Broken(Exception):
    """A step of connecting failed; carries the cause."""

    def __init__(self, cause: Cause, detail: object = "") -> None:
        super().__init__(f"{cause.name} {detail}")
        self.cause, self.detail = cause, str(detail)


def diagnosis(cause: Cause, **words: str) -> Diagnosis:
    """Return the cause with its words filled in."""
    return Diagnosis(cause, cause.problem.format_map(words), cause.fix.format_map(words))
