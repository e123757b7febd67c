from __future__ import annotations

import urllib.error
import urllib.request

import pytest

from streamer.app.http_server import HttpServer
from streamer.app.service import Phase
from streamer.errors import ConfigError
from streamer.http.api import create_app
from streamer.http.health import Health
from tests.runtime.world import world


def server(port: int = 0) -> HttpServer:
    w = world([])
    return HttpServer(
        create_app(w.service, Health(w.service, Phase("running"), w.clock)), "127.0.0.1", port
    )


def test_a_server_answers_until_it_is_stopped() -> None:
    one = server()
    one.start()
    url = "http://{}:{}/healthz".format(*one.address)
    with urllib.request.urlopen(url, timeout=10) as answer:
        assert answer.status == 200
    one.stop()
    one.stop()
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(url, timeout=10)


def test_an_address_in_use_is_a_clear_error() -> None:
    one = server()
    with pytest.raises(
        ConfigError, match=r"server.listen: cannot listen on 127.0.0.1:\d+: .*in use"
    ):
        server(one.address[1])
    one.stop()
