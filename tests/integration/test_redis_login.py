"""A real Redis that wants a login, knows users, or speaks TLS: every setting of it works, and no
secret is shown.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from streamer.config import RedisStore as Section
from streamer.connect.storage.redis_client import RIGHTS
from streamer.connect.storage.redis_journal import RedisJournal
from streamer.connect.storage.redis_lock import Lock
from streamer.connect.storage.redis_models import Models, MoveNotices
from streamer.connect.storage.redis_reach import reach
from streamer.connect.storage.redis_store import RedisStore
from streamer.errors import ConfigError, StoreError
from tests.integration.redises import refused, section
from tests.servers.certificates import Certificates, make_certificates
from tests.servers.child import free_port
from tests.servers.redis_server import RedisServer

pytestmark = pytest.mark.usefixtures("own_redis")

PIECES = 3 * 2**20


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    server = RedisServer(tmp_path_factory.mktemp("redis-locked"), password="open sesame").start()
    yield f"redis://127.0.0.1:{server.port}/0"
    server.close()


def test_the_right_password_opens(locked: str) -> None:
    store = RedisStore(section(locked, password="open sesame"))
    store.put("a", b"x")
    assert store.get("a") == b"x"


@pytest.mark.parametrize("password", [None, "open barley"])
def test_a_wrong_password_is_told_and_not_shown(locked: str, password: str | None) -> None:
    store = RedisStore(section(locked, password=password))
    told, _ = refused(lambda: store.get("a"))
    assert "refuses the login; correct store.password" in told
    assert "barley" not in told + repr(store) + str(store.problem)


# -- users
@pytest.fixture(scope="module")
def users(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Of a Redis whose default user is off, as where one is rented: ours may do what the messages
    tell to allow.
    """
    directory = tmp_path_factory.mktemp("redis-users")
    rules = directory / "users.acl"
    rules.write_text(
        "user default off\n"
        f"user ours on >open-sesame ~ours:* ~ours!* {RIGHTS}\n"
        f"user reader on >open-sesame ~ours:* ~ours!* +@read +@connection\n"
    )
    server = RedisServer(directory, aclfile=rules).start()
    yield f"redis://127.0.0.1:{server.port}/0"
    server.close()


def of(
    url: str, username: str | None, password: str = "open-sesame", prefix: str = "ours"
) -> Section:
    return section(url, username=username, password=password, prefix=prefix)


def test_a_user_with_the_rights_that_are_told_can_do_everything(users: str) -> None:
    ours = of(users, "ours")
    with closing(RedisStore(ours)) as store:
        store.put("a", b"x" * PIECES)
        assert store.get("a") == b"x" * PIECES and "a" in store.names()
        store.delete("a")
    with closing(Lock(ours, "l", ttl_s=5)) as lock:
        held = lock.acquire()
        assert held is not None and lock.extend(held) and lock.release(held)
    with closing(RedisJournal(ours)) as journal:
        assert list(journal.incidents()) == []
    with closing(Models(ours)) as models:
        assert models.publish("v1", {"part": b"x"})
        with closing(MoveNotices(ours, models)) as notices:
            assert notices.wait(models.aliases(), 0.05) is None


def test_a_user_with_the_rights_that_are_told_is_reached(users: str) -> None:
    assert [found.status for found in reach(None, [of(users, "ours")])] == ["ok", "ok"]


@pytest.mark.parametrize(
    ("username", "password"), [(None, "open-sesame"), ("ours", "barley"), ("nobody", "barley")]
)
def test_a_wrong_user_or_password_is_told_and_not_shown(
    users: str, username: str | None, password: str
) -> None:
    store = RedisStore(of(users, username, password))
    told, _ = refused(lambda: store.get("a"))
    assert "refuses the login; correct store.password, and store.username" in told
    assert password not in told + repr(store) + str(store.problem)


@pytest.mark.parametrize(("username", "prefix"), [("reader", "ours"), ("ours", "theirs")])
def test_rights_that_lack_are_named_with_the_keys_and_commands_to_allow(
    users: str, username: str, prefix: str
) -> None:
    told, _ = refused(lambda: RedisStore(of(users, username, prefix=prefix)).put("a", b"x"))
    assert "forbids it" in told and f"; allow this user: ~{prefix}:* ~{prefix}!* {RIGHTS}" in told
    (found,) = reach(None, [of(users, username, prefix=prefix)])
    assert found.status == "fail" and found.fix.startswith("allow this user: ~")


# -- certificates
@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def encrypted(
    tmp_path: Path, certificates: Certificates, request: pytest.FixtureRequest
) -> Iterator[str]:
    """The address of a Redis that speaks TLS; indirectly parametrized, under another
    host's name.
    """
    misnamed = bool(getattr(request, "param", False))
    identity, port = certificates.misnamed_server if misnamed else certificates.server, free_port()
    server = RedisServer(
        tmp_path,
        tls_port=port,
        tls_auth_clients="no",
        tls_cert_file=identity.certificate,
        tls_key_file=identity.key,
        tls_ca_cert_file=certificates.ca,
    )
    try:
        server.start()
        yield f"rediss://127.0.0.1:{port}/0"
    finally:
        server.close()


def test_an_authority_that_is_named_is_trusted_and_no_other(
    encrypted: str, certificates: Certificates
) -> None:
    for ca in (None, str(certificates.foreign_ca)):
        told, _ = refused(RedisStore(section(encrypted, ca=ca)).ping)
        assert (
            "certificate that is not trusted" in told and "; name its authority in store.ca" in told
        )
    store = RedisStore(section(encrypted, ca=str(certificates.ca)))
    store.put("a", b"x" * PIECES)
    assert store.get("a") == b"x" * PIECES


def test_an_authority_of_the_system_is_trusted(
    encrypted: str, certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates.ca))
    RedisStore(section(encrypted)).ping()


@pytest.mark.parametrize("encrypted", [True], indirect=True)
def test_a_certificate_of_another_host_is_refused(
    encrypted: str, certificates: Certificates
) -> None:
    told, _ = refused(lambda: RedisStore(section(encrypted, ca=str(certificates.ca))).get("a"))
    assert "certificate that is not trusted" in told


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_a_file_of_authorities_that_cannot_be_used_is_told_before_anything_is_sent(
    tmp_path: Path, content: str | None
) -> None:
    if content is not None:
        (tmp_path / "ca.pem").write_text(content)
    chosen = section(f"rediss://127.0.0.1:{free_port()}/0", ca=str(tmp_path / "ca.pem"))
    with pytest.raises(
        ConfigError, match=r"store\.ca: cannot be used: .*; it must be a file of PEM certificates"
    ):
        RedisStore(chosen)
    (found,) = reach(None, [chosen])
    assert found.status == "fail" and "store.ca" in found.detail


@pytest.mark.parametrize(
    ("url", "exposed"),
    [
        ("redis://redis.example:6379/0", True),
        ("rediss://redis.example:6379/0", False),
        ("redis://localhost/0", False),
    ],
)
def test_what_crosses_a_network_in_the_clear_is_exposed(url: str, exposed: bool) -> None:
    assert RedisStore(section(url)).exposed is exposed


def test_a_login_over_tls_shows_no_secret_where_it_fails(
    encrypted: str, certificates: Certificates
) -> None:
    chosen = section(encrypted, ca=str(certificates.ca), username="ours", password="open barley")
    store = RedisStore(chosen)
    with pytest.raises(StoreError) as caught:
        store.ping()
    assert "barley" not in str(caught.value) + repr(chosen) + repr(store) + str(store.problem)
