"""Certificates made at test time: our authority, a foreign one, a server and a client of ours, a
client of theirs.
"""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

# Long keys cost a second each and protect nothing here.
_NEW = ("-newkey", "rsa:2048", "-nodes", "-days", "2", "-sha256")
_NAMES = "subjectAltName=IP:127.0.0.1,DNS:localhost"


@dataclass(frozen=True)
class Identity:
    """PEM files: a certificate, its key (PKCS 8), and both in one file, as Kafka's PEM key store
    wants them.
    """

    certificate: Path
    key: Path
    store: Path


@dataclass(frozen=True)
class Certificates:
    """What a secured cluster and its clients need. `locked` is the client's key under
    `password`.
    """

    ca: Path
    foreign_ca: Path
    server: Identity
    client: Identity
    foreign_client: Identity
    misnamed_server: Identity  # signed by our authority, for another host
    locked: Path
    password: str = "key-password"


def make_certificates(directory: Path) -> Certificates:
    """Everything below `directory`, by openssl, in about two seconds."""
    directory.mkdir(parents=True, exist_ok=True)
    ours, theirs = _authority(directory, "ca"), _authority(directory, "foreign-ca")
    client = _signed(directory, "client", ours)
    return Certificates(
        ca=ours.certificate,
        foreign_ca=theirs.certificate,
        server=_signed(directory, "server", ours, _NAMES),
        client=client,
        foreign_client=_signed(directory, "foreign-client", theirs),
        misnamed_server=_signed(
            directory, "misnamed", ours, "subjectAltName=DNS:elsewhere.example"
        ),
        locked=_locked(client.key, directory / "client.locked.key", Certificates.password),
    )


def openssl(*words: str | Path, stdin: bytes | None = None) -> bytes:
    """Its standard output; CalledProcessError where it refuses."""
    told = subprocess.run(
        ["openssl", *map(str, words)], input=stdin, check=True, capture_output=True
    )
    return told.stdout


def _authority(directory: Path, name: str) -> Identity:
    identity = _files(directory, name)
    openssl(
        "req",
        "-x509",
        *_NEW,
        "-subj",
        f"/CN={name}",
        "-keyout",
        identity.key,
        "-out",
        identity.certificate,
    )
    return identity


def _signed(directory: Path, name: str, by: Identity, names: str = "") -> Identity:
    identity, asked = _files(directory, name), directory / f"{name}.csr"
    openssl("req", *_NEW, "-subj", f"/CN={name}", "-keyout", identity.key, "-out", asked)
    extensions = directory / f"{name}.ext"
    extensions.write_text(names)
    openssl(
        "x509",
        "-req",
        "-in",
        asked,
        "-CA",
        by.certificate,
        "-CAkey",
        by.key,
        "-CAcreateserial",
        "-days",
        "2",
        "-sha256",
        "-extfile",
        extensions,
        "-out",
        identity.certificate,
    )
    identity.store.write_text(identity.key.read_text() + identity.certificate.read_text())
    return identity


def _locked(key: Path, locked: Path, password: str) -> Path:
    openssl(
        "pkcs8",
        "-topk8",
        "-v2",
        "aes-256-cbc",
        "-in",
        key,
        "-passout",
        f"pass:{password}",
        "-out",
        locked,
    )
    return locked


def _files(directory: Path, name: str) -> Identity:
    return Identity(directory / f"{name}.crt", directory / f"{name}.key", directory / f"{name}.pem")
