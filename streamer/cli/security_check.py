"""What a configuration exposes, for `streamer check --security`, with place and fix."""

from __future__ import annotations

import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, SecretStr

from streamer.config.effective import origin_of
from streamer.config.model import IN_REDIS
from streamer.config.origin import dotted
from streamer.finding import Finding

if TYPE_CHECKING:
    from streamer.config import Config, Kafka, KafkaSecurity, SchemaRegistry, Server
    from streamer.config.origin import Path as Place
    from streamer.config.origin import SettingOrigin

SHORT_TOKEN = 16  # characters; shorter tokens can be guessed
OTHERS = stat.S_IRGRP | stat.S_IROTH
_FILE = re.compile(r"\$\{file:([^}]+)\}")


def _exposure(where: str, problem: str, fix: str, note: bool = False) -> Finding:
    """Return the finding of one exposure: the setting or file, the problem and the fix.

    A note is usual on a single machine and fails no check.
    """
    return Finding(where, "note" if note else "warn", problem, fix)


def exposures(config: Config, file: Path) -> list[Finding]:
    """Return everything that is exposed, notes last."""
    found = [*_secrets(config, file), *_files(config, file), *_kafka(config)]
    found += [
        *_parts(config),
        *_models(config),
        *_registry(config.schema_registry),
        *_server(config.server),
    ]
    return sorted(found, key=lambda one: one.status == "note")


def _secrets(config: Config, file: Path) -> Iterator[Finding]:
    """Yield secrets written in the configuration or on the command line."""
    for path, origin in _clear(config):
        name = dotted(path)
        if _is_flag(origin):
            yield _exposure(
                name,
                "is given on the command line, which every user of this machine can list",
                "put it into a variable or a file: ${VAR} or ${file:path}",
            )
        else:
            yield _exposure(
                name,
                f"stands in clear text at {origin.where}",
                "write ${VAR} or ${file:path} instead",
            )


def _clear(config: Config) -> list[tuple[Place, SettingOrigin]]:
    """Return the secrets given as clear text, not as a variable or a file."""
    said = [(path, origin_of(path, config.origins)) for path in _secret_paths(config, ())]
    return [(path, origin) for path, origin in said if origin.clear]


def _is_flag(origin: SettingOrigin) -> bool:
    return origin.where.startswith("--set")


def _secret_paths(value: Any, path: Place) -> Iterator[Place]:
    if isinstance(value, SecretStr):
        yield from [path] * bool(value.get_secret_value())
    elif isinstance(value, BaseModel):
        for name in type(value).model_fields:
            yield from _secret_paths(getattr(value, name), (*path, name))
    elif isinstance(value, tuple):
        for i, item in enumerate(value):
            yield from _secret_paths(item, (*path, i))


def _files(config: Config, file: Path) -> Iterator[Finding]:
    """Yield files with secrets that others than their owner may read."""
    yield from (
        _readable(Path(name), "holds a secret")
        for name in _FILE.findall(_text(file))
        if _open(Path(name))
    )
    key = config.kafka.security.key
    if key is not None and _open(Path(key)):
        yield _readable(Path(key), "is the client's private key")
    if _open(file) and not all(_is_flag(origin) for _, origin in _clear(config)):
        yield _readable(file, "holds secrets in clear text")


def _text(file: Path) -> str:
    try:
        return file.read_text(errors="replace")
    except OSError:
        return ""


def _open(file: Path) -> bool:
    try:
        return bool(file.stat().st_mode & OTHERS)
    except OSError:
        return False


def _readable(file: Path, what: str) -> Finding:
    who = "everybody" if file.stat().st_mode & stat.S_IROTH else "its group"
    return _exposure(
        str(file), f"{what} and can be read by {who}", f"chmod go= {file}", note=who == "its group"
    )


def _kafka(config: Config) -> Iterator[Finding]:
    if not config.speaks_kafka:
        return
    kafka, security = config.kafka, config.kafka.security
    if kafka.exposed:
        yield _plaintext(kafka)
    if security.encrypted and not security.verify_hostname:
        yield _exposure(
            "kafka.security.verify_hostname",
            "is off: who holds any trusted certificate can be the broker",
            "set it to true, and put the brokers' names into their certificates",
        )
    if kafka.exposed and not _proves_itself(security):
        yield _exposure(
            "kafka.security",
            "whoever reaches the brokers may read and write: clients do not log in",
            "set up SASL or client certificates at the brokers, and sasl or certificate here",
        )


def _plaintext(kafka: Kafka) -> Finding:
    what = "records and the login" if kafka.security.sasl else "records"
    problem = f"{what} travel in plain text to {', '.join(kafka.exposed)}"
    return _exposure(
        "kafka.security.protocol",
        problem,
        "set it to SASL_SSL or SSL, and ca where the authority is yours",
    )


def _proves_itself(security: KafkaSecurity) -> bool:
    return security.sasl is not None or security.certificate is not None


def _parts(config: Config) -> Iterator[Finding]:
    """Yield what each section reports about itself."""
    for place, _, section in config.parts():
        for setting, problem, fix, note in section.exposures():
            yield _exposure(dotted((*place, setting)), problem, fix, note)


def _models(config: Config) -> Iterator[Finding]:
    """Check who may write to the registry, because a model there may judge.

    Nothing is reported about writers if signatures are required.
    """
    in_store = config.model.registry == IN_REDIS and config.store.holds_models
    shared = config.store if in_store else None
    if shared is not None and shared.plaintext:
        yield _exposure(
            "model.registry",
            "models come in plain text: who sits on the way can put others in their place",
            "use rediss:// in store.url and TLS at the server",
        )
    if config.model.registry is None or config.model.require_signature:
        return
    writer, note = _writer(Path(config.model.registry)) if shared is None else shared.writers()
    if writer:
        yield _exposure(
            "model.require_signature",
            f"is off: {writer} decides what judges",
            "sign models (streamer model sign), name model.keys, and set it to true",
            note,
        )


def _writer(folder: Path) -> tuple[str, bool]:
    """Return who beside the owner may write to a folder of models, and whether that is usual.

    "" if nobody else may.
    """
    try:
        mode = folder.stat().st_mode
    except OSError:
        return "", True
    if mode & stat.S_IWOTH:
        return f"every user of this machine may write to {folder}, and", False
    return (f"its group may write to {folder}, and", True) if mode & stat.S_IWGRP else ("", True)


def _registry(registry: SchemaRegistry | None) -> Iterator[Finding]:
    if registry is not None and registry.plaintext:
        what = "schemas" if registry.password is None else "schemas and the password"
        yield _exposure("schema_registry.url", f"{what} travel in plain text", "use https://")


def _server(server: Server) -> Iterator[Finding]:
    if not server.enabled:
        return
    token = "" if server.token is None else server.token.get_secret_value()
    if not server.loopback:
        yield _exposure(
            "server.listen",
            f"{server.listen} can be reached from outside, and speaks HTTP without TLS: "
            "the token can be read on the way",
            "listen on 127.0.0.1, behind a proxy with TLS",
        )
    if not token:
        yield _exposure(
            "server.token",
            f"is not set: every user of this machine may read alerts at {server.listen}",
            "set it to ${STREAMER_TOKEN}, or server.enabled: false",
            note=True,
        )
    elif len(token) < SHORT_TOKEN:
        yield _exposure(
            "server.token",
            f"has {len(token)} characters; fewer than {SHORT_TOKEN} can be guessed",
            "make one with: openssl rand -hex 32",
            note=server.loopback,
        )
