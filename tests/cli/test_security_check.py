"""Laws of `check --security`: what is open to others is named with its fix; what is
closed is not.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from streamer.cli.check import check
from streamer.cli.security_check import exposures
from streamer.config import load_config
from streamer.finding import Finding

CLOSED = """\
version: 1
streams: [{name: a, source: {kind: kafka, topic: t}, fields: {time: ts, channels: [v]}}]
kafka:
  bootstrap_servers: kafka:9093
  security: {protocol: SASL_SSL, sasl: {username: me, password: "${PASSWORD}"}}
store: {kind: redis, url: "rediss://redis:6379/0", password: "${file:SECRET}"}
schema_registry: {url: "https://registry", username: u, password: "${PASSWORD}"}
server: {token: "${TOKEN}"}
"""
ENV = {"PASSWORD": "hunter2", "TOKEN": "0123456789abcdef"}


def found(tmp_path: Path, text: str, *sets: str) -> list[Finding]:
    secret = tmp_path / "secret"
    secret.write_text("hunter3")
    secret.chmod(0o600)
    file = tmp_path / "c.yaml"
    file.write_text(text.replace("SECRET", str(secret)))
    file.chmod(0o644)
    return exposures(load_config(file, sets, ENV), file)


def test_nothing_is_exposed_where_all_is_encrypted_and_secrets_stand_elsewhere(
    tmp_path: Path,
) -> None:
    assert found(tmp_path, CLOSED) == []


# Each change of the closed configuration, where it shows and what is said.
OPEN = [
    (
        "SASL_SSL",
        "SASL_PLAINTEXT",
        "kafka.security.protocol",
        "records and the login travel in plain text to kafka:9093",
    ),
    ("SASL_SSL,", "SASL_SSL, verify_hostname: false,", "kafka.security.verify_hostname", "is off"),
    (
        'password: "${PASSWORD}"}}',
        "password: hunter2}}",
        "kafka.security.sasl.password",
        "stands in clear text at ",
    ),
    (
        'password: "${PASSWORD}"}}',
        'password: "${NOPE:-hunter2}"}}',
        "kafka.security.sasl.password",
        "stands in clear te",
    ),
    ("rediss:", "redis:", "store.url", "snapshots and the password travel in plain text"),
    (', password: "${file:SECRET}"', "", "store.password", "is not set"),
    ("https:", "http:", "schema_registry.url", "schemas and the password travel in plain text"),
    (
        "server: {",
        "server: {listen: '0.0.0.0:8080', ",
        "server.listen",
        "can be reached from outside",
    ),
    ('"${TOKEN}"', "short", "server.token", "has 5 characters"),
    ('server: {token: "${TOKEN}"}', "", "server.token", "is not set"),
]


@pytest.mark.parametrize(
    ("right", "wrong", "where", "words"), OPEN, ids=[f"{w}: {t}" for _, _, w, t in OPEN]
)
def test_each_opening_is_told_with_its_fix(
    tmp_path: Path, right: str, wrong: str, where: str, words: str
) -> None:
    assert right in CLOSED
    told = found(tmp_path, CLOSED.replace(right, wrong, 1))
    assert any(one.name == where and words in one.detail and one.fix for one in told)
    assert "hunter" not in str(told) and "short" not in str([one.detail for one in told])


def test_clients_that_do_not_log_in_are_told(tmp_path: Path) -> None:
    told = found(
        tmp_path,
        CLOSED.replace('protocol: SASL_SSL, sasl: {username: me, password: "${PASSWORD}"}', ""),
    )
    assert {one.name for one in told} == {"kafka.security.protocol", "kafka.security"}


def test_a_secret_on_the_command_line_is_seen_by_all(tmp_path: Path) -> None:
    (told,) = found(tmp_path, CLOSED, "store.password=hunter4")
    assert (
        told.name == "store.password"
        and "command line" in told.detail
        and "hunter" not in str(told)
    )


def test_a_file_of_secrets_that_others_read_is_told(tmp_path: Path) -> None:
    assert found(tmp_path, CLOSED) == []
    for mode, who, note in ((0o604, "everybody", False), (0o640, "its group", True)):
        (tmp_path / "secret").chmod(mode)
        file = tmp_path / "c.yaml"
        (told,) = exposures(load_config(file, (), ENV), file)
        assert (told.name, told.status == "note") == (
            str(tmp_path / "secret"),
            note,
        ) and who in told.detail
        assert told.fix == f"chmod go= {tmp_path}/secret"


def test_a_configuration_with_secrets_in_it_is_a_file_of_secrets(tmp_path: Path) -> None:
    text = CLOSED.replace('"${TOKEN}"', "0123456789abcdef")
    assert str(tmp_path / "c.yaml") in {one.name for one in found(tmp_path, text)}


def test_a_private_key_that_others_read_is_told(tmp_path: Path) -> None:
    key = tmp_path / "key.pem"
    key.write_text("x")
    key.chmod(0o644)
    (told,) = found(
        tmp_path, CLOSED.replace("protocol:", f"certificate: c.pem, key: {key}, protocol:")
    )
    assert told.name == str(key)


def test_one_machine_exposes_nothing_but_notes_and_is_fine(tmp_path: Path) -> None:
    text = CLOSED.replace("kafka:9093", "localhost:9092").replace(
        "rediss://redis", "redis://localhost"
    )
    text = text.replace('protocol: SASL_SSL, sasl: {username: me, password: "${PASSWORD}"}', "")
    told = found(
        tmp_path,
        text.replace(', password: "${file:SECRET}"', "").replace('server: {token: "${TOKEN}"}', ""),
    )
    assert [(one.name, one.status == "note") for one in told] == [
        ("store.password", True),
        ("server.token", True),
    ]
    (tmp_path / "p.yaml").write_text("version: 1\nstreams: [{name: a, source: {kind: host}}]\n")
    done = CliRunner().invoke(
        check, ["-c", str(tmp_path / "p.yaml"), "--security"], standalone_mode=False
    )
    assert done.return_value == 0 and "note server.token" in done.stdout and "fine" in done.stdout


def test_what_is_exposed_fails_the_check(tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text(
        "version: 1\nstreams: [{name: a, source: {kind: host}}]\nserver: {token: x}\n"
    )
    done = CliRunner().invoke(
        check, ["-c", str(tmp_path / "p.yaml"), "--security"], standalone_mode=False
    )
    assert (
        done.return_value == 3 and "warn server.token" in done.stdout and "fine" not in done.output
    )


SIGNED = f"model: {{registry: redis, require_signature: true, keys: ['{'A' * 43}=']}}\n"
UNSIGNED = "model: {registry: redis}\n"
REDIS = '{kind: redis, url: "rediss://redis:6379/0", password: "${file:SECRET}"}'
OPEN_REDIS = "{kind: redis, url: 'redis://redis:6379/0'}"
OWN_REDIS = "{kind: redis, url: 'redis://localhost:6379/0'}"
PLAIN, UNSURE = "model.registry", "model.require_signature"


@pytest.mark.parametrize(
    ("model", "store", "expected"),
    [
        (SIGNED, REDIS, {}),
        (SIGNED, OPEN_REDIS, {PLAIN: False}),
        (SIGNED, OWN_REDIS, {}),
        (UNSIGNED, REDIS, {UNSURE: True}),
        (UNSIGNED, OPEN_REDIS, {PLAIN: False, UNSURE: False}),
        (UNSIGNED, OWN_REDIS, {UNSURE: True}),
        ("", OPEN_REDIS, {}),
    ],
)
def test_models_that_others_can_change_on_the_way_or_in_the_registry_are_told(
    tmp_path: Path, model: str, store: str, expected: dict[str, bool]
) -> None:
    told = found(tmp_path, CLOSED.replace(REDIS, store) + model)
    assert {
        one.name: one.status == "note" for one in told if one.name in {PLAIN, UNSURE}
    } == expected


@pytest.mark.parametrize(
    ("mode", "expected"),
    [(0o755, []), (0o775, [("its group", True)]), (0o777, [("every user", False)])],
)
def test_a_folder_of_models_that_others_write_to_needs_signatures(
    tmp_path: Path, mode: int, expected: list[tuple[str, bool]]
) -> None:
    folder = tmp_path / "registry"
    folder.mkdir()
    folder.chmod(mode)
    told = found(tmp_path, CLOSED + f"model: {{registry: {folder}}}\n")
    assert [
        (one.name, who in one.detail, one.status == "note")
        for one, (who, _) in zip(told, expected, strict=True)
    ] == [(UNSURE, True, note) for _, note in expected]


def test_a_folder_of_models_that_is_not_there_yet_is_open_to_nobody(tmp_path: Path) -> None:
    assert found(tmp_path, CLOSED + f"model: {{registry: {tmp_path / 'none'}}}\n") == []
