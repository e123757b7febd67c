"""docs/extending.md works as it stands: its code is installed, configured and run."""

from __future__ import annotations

import re
import threading
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from streamer import detect
from streamer.cli.security_check import exposures
from streamer.config import Config, config_from, json_schema
from streamer.connect import open_sink, open_source
from streamer.connect.connectivity import reach
from streamer.detect.evidence import EVIDENCES, Evidence
from streamer.errors import SinkError
from streamer.protocols import Outgoing
from tests.contracts import examples
from tests.contracts import test_sink_contract as contract
from tests.detect.evidence import test_evidence as evidence_contract
from tests.detect.logs import FAULT, fault, log, quiet, simple
from tests.plugins import installed

PAGE = (Path(__file__).parents[1] / "docs/extending.md").read_text()
STEP = re.compile(r"^\d\. `([\w./]+)`:.*?\n```(?:python|toml)\n(.*?)```", re.S | re.M)
COUNT = re.compile(r"^\| an? (\w+) \| (\d)", re.M)


def walk(what: str) -> dict[str, str]:
    """The files of a walk and the code of each, as the page has them."""
    (section,) = re.findall(rf"^## An? {what}\n(.*?)(?=^## |\Z)", PAGE, re.S | re.M)
    return dict(STEP.findall(section))


@contextmanager
def package(folder: Path, what: str) -> Iterator[None]:
    """The package of a walk, installed."""
    files = walk(what)
    project = tomllib.loads(files.pop("pyproject.toml"))["project"]
    with installed(folder, project["name"], files, project["entry-points"]):
        yield


@pytest.mark.parametrize(("what", "files"), COUNT.findall(PAGE))
def test_the_page_counts_the_files_of_its_walks(what: str, files: str) -> None:
    assert len(walk(what)) == int(files)


def test_the_page_counts_every_walk() -> None:
    assert [what for what, _ in COUNT.findall(PAGE)] == ["sink", "source", "evidence", "encoder"]


# -- the sink
class Taken(HTTPServer):
    """A server that keeps what is posted to it."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.tokens: list[str | None] = []
        super().__init__(("127.0.0.1", 0), Taking)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/alerts"


class Taking(BaseHTTPRequestHandler):
    server: Taken

    def do_POST(self) -> None:
        self.server.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.tokens.append(self.headers["Authorization"])
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Nothing on standard error."""


@pytest.fixture
def server() -> Iterator[Taken]:
    with Taken() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def webhook(tmp_path: Path) -> Iterator[None]:
    with package(tmp_path, "sink"):
        yield


def configured(**sink: object) -> Config:
    stream = {"name": "s", "source": {"kind": "memory"}}
    return config_from({"version": 1, "streams": [stream], "sinks": [sink]})


@pytest.fixture
def way(webhook: None, server: Taken) -> contract.Way:
    """What the contract suite runs on instead of our own sinks."""
    return contract.alerts(lambda *_: open_webhook(server))


def open_webhook(server: Taken) -> Outgoing[Any]:
    config = configured(kind="webhook", url=server.url, token="t")
    return open_sink(config.sinks[0], config)


sink = contract.sink
LAWS = {name: law for name, law in vars(contract).items() if name.startswith("test_")}
globals().update({name: law for name, law in LAWS.items() if "score" not in name})


def test_the_webhook_has_all_laws_of_a_sink() -> None:
    assert len([name for name in globals() if name in LAWS]) >= 6


def test_alerts_reach_the_webhook_through_a_configuration(webhook: None, server: Taken) -> None:
    opened = open_webhook(server)
    opened.send(examples.alert(7))
    assert opened.flush(timeout_s=5) == 0
    assert b'"alert_id":"id-7"' in server.bodies[0] and server.tokens == ["Bearer t"]
    opened.close()


def test_a_webhook_that_is_away_is_said_to_be(webhook: None) -> None:
    config = configured(kind="webhook", url="http://127.0.0.1:1/")
    with pytest.raises(SinkError, match="did not take an alert"):
        open_sink(config.sinks[0], config).send(examples.alert())
    (line,) = reach(config)
    assert (line.name, line.status) == ("webhook", "fail")


def test_a_webhook_is_checked_as_our_own_sinks_are(webhook: None, tmp_path: Path) -> None:
    config = configured(kind="webhook", url="http://pager.example/")
    found = [(one.name, one.detail) for one in exposures(config, tmp_path / "none.yaml")]
    assert ("sinks[0].url", "alerts travel in plain text") in found
    assert json_schema.schema()["$defs"]["Webhook"]["properties"]["url"]["type"] == "string"


# -- the source
def test_events_come_through_the_source_of_the_page(tmp_path: Path) -> None:
    import socket

    body = {
        "name": "s",
        "source": {"kind": "udp", "listen": "127.0.0.1:0"},
        "fields": {"entity": "who", "time": {"path": "ts", "unit": "s"}, "channels": ["v"]},
    }
    with package(tmp_path, "source"):
        config = config_from({"version": 1, "streams": [body]})
        source: Any = open_source(config.streams[0], config=config)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            for text in (b'{"who": "a", "ts": 1.7e9, "v": 2.5}', b"nonsense"):
                sender.sendto(text, ("127.0.0.1", source.port))
        polls = [source.poll(5.0)]
        while sum(poll.records for poll in polls) < 2:
            polls.append(source.poll(5.0))
        (batch,) = (batch for poll in polls for batch in poll.batches)
        (refused,) = (one for poll in polls for one in poll.rejected)
        assert (batch.keys, batch.values.tolist(), batch.stream) == (("a",), [[2.5]], "s")
        assert refused.reason == "bad_json"
        source.close()
        assert source.poll(0.0) is None


# -- the evidence
@pytest.fixture
def extreme(monkeypatch: pytest.MonkeyPatch) -> type[Evidence]:
    """The evidence of the page, in its row of the table."""
    code, _ = walk("evidence").values()
    module = ModuleType("extreme")
    exec(compile(code, "extreme.py", "exec"), vars(module))
    kind: type[Evidence] = module.Extreme
    monkeypatch.setattr(detect.evidence, "EVIDENCES", (*EVIDENCES, kind))
    return kind


EVERY = [
    law
    for name, law in vars(evidence_contract).items()
    if name.startswith("test_")
    and any(mark.args[0] == "name" for mark in getattr(law, "pytestmark", ()))
    and [m.args[1] for m in law.pytestmark if m.args[0] == "name"] == [evidence_contract.NAMES]
]


@pytest.mark.parametrize("law", EVERY)
def test_the_evidence_keeps_the_laws_of_every_evidence(extreme: object, law: Any) -> None:
    law(name="extreme")


def test_the_evidence_has_its_words_in_an_alert(extreme: type[Evidence]) -> None:
    detector = simple()
    detector.process(log(quiet("a", 400)))
    alerts = detector.process(log(fault("a", 5000.0, 100 * FAULT), first_offset=400)).alerts
    assert "extreme" in detector.profile.names
    assert "EXTREME" in alerts[0].reasons and "further out than ever" in alerts[0].summary


# -- the encoder
def test_the_step_of_the_gru_is_that_of_its_layer() -> None:
    import keras

    from streamer.detect.network.cell import NumpyNamespace

    made: dict[str, Any] = {"Any": Any}
    exec(walk("encoder")["streamer/detect/network/cell.py"], made)
    layer = keras.layers.GRU(4, reset_after=False, return_sequences=True)
    x = np.random.default_rng(1).normal(size=(3, 6, 2)).astype(np.float32)
    expected = np.asarray(layer(x))
    weights = [np.asarray(weight) for weight in layer.get_weights()]
    h = np.zeros((3, 4), np.float32)
    for t in range(x.shape[1]):
        h, _ = made["gru"](NumpyNamespace, x[:, t], h, h, *weights)
        np.testing.assert_allclose(h, expected[:, t], atol=1e-5)


def test_the_files_of_the_evidence_and_the_encoder_are_where_the_page_says() -> None:
    root = Path(__file__).parents[1]
    new = {"streamer/detect/evidence/extreme.py"}
    named = {*walk("evidence"), *walk("encoder")} - new
    assert all((root / path).is_file() for path in named)
    assert import_module("streamer.detect.evidence").EVIDENCES == EVIDENCES
