from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import Any

import httpx
import pytest

from streamer import __version__
from streamer.app.service import Phase
from streamer.feedback.incident_recorder import incident_of
from streamer.http.api import create_app
from streamer.http.health import Health
from streamer.http.routes import ROUTES, RouteEntry
from streamer.lifecycle.model_admin import ModelAdmin
from streamer.signing import ANYBODY
from tests.runtime.world import World, alert_at, world

TOKEN = "correct horse"
PROTECTED = ("/metrics", "/version", "/api/v1/alerts", "/nowhere")


class Client:
    """Asks the application in this process."""

    def __init__(self, app: Any) -> None:
        self._app = app

    def get(self, path: str, headers: Any = None) -> httpx.Response:
        return asyncio.run(self._ask("GET", path, headers))

    def post(self, path: str, body: bytes | None = None) -> httpx.Response:
        return asyncio.run(self._ask("POST", path, None, body))

    async def _ask(
        self, method: str, path: str, headers: Any, body: bytes | None = None
    ) -> httpx.Response:
        transport = httpx.ASGITransport(app=self._app)
        async with httpx.AsyncClient(
            transport=transport, base_url="http://127.0.0.1:8080"
        ) as session:
            return await session.request(method, path, headers=headers, content=body)


def client(w: World, *, phase: str = "running", **rules: Any) -> Client:
    return Client(create_app(w.service, Health(w.service, Phase(phase), w.clock), **rules))


@pytest.fixture
def w() -> World:
    return world([])


def test_readyz_lists_every_check(w: World) -> None:
    answer = client(w).get("/readyz")
    assert answer.status_code == 200
    names = {check["name"] for check in answer.json()["checks"]}
    assert names == {
        "service",
        "model",
        "source:s",
        "log:s",
        "scores:s",
        "sink:memory",
        "outbox",
        "attendants",
    }


def test_readyz_says_why_not_as_a_problem(w: World) -> None:
    answer = client(w, phase="draining").get("/readyz")
    assert (answer.status_code, answer.headers["content-type"]) == (503, "application/problem+json")
    assert answer.json()["detail"] == "service: draining"


def test_healthz_cares_only_for_the_loops(w: World) -> None:
    assert client(w, phase="draining").get("/healthz").status_code == 200
    w.clock.now += 1000
    assert client(w).get("/healthz").status_code == 503


def test_version_names_program_and_model(w: World) -> None:
    body = client(w).get("/version").json()
    assert (body["version"], body["model"]["backend"], body["model"]["role"]) == (
        __version__,
        "numpy",
        "champion",
    )


def test_metrics_have_the_content_type_of_the_text_format(w: World) -> None:
    answer = client(w).get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert "streamer_build_info" in answer.text


def test_alerts_come_in_pages_behind_a_cursor(w: World) -> None:
    w.outbox.post([alert_at(n) for n in range(5)])
    pages, cursor = [], 0
    while (body := client(w).get(f"/api/v1/alerts?cursor={cursor}&limit=2").json())["alerts"]:
        pages.append([alert["alert_id"] for alert in body["alerts"]])
        cursor = body["next"]
    assert pages == [["id-0", "id-1"], ["id-2", "id-3"], ["id-4"]]


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=501", "limit=x", "cursor=-1", "cursor=1e3", "limit=٣"]
)
def test_a_wrong_query_is_a_problem_that_names_the_parameter(w: World, query: str) -> None:
    answer = client(w).get(f"/api/v1/alerts?{query}")
    assert answer.status_code == 400
    assert query.partition("=")[0] in answer.json()["detail"]


def test_an_unknown_path_and_a_wrong_method_are_problems(w: World) -> None:
    assert client(w).get("/nowhere").json()["status"] == 404
    answer = client(w).post("/metrics")
    assert answer.json()["status"] == 405
    assert set(answer.headers["allow"].split(", ")) == {"GET", "HEAD"}


@pytest.mark.parametrize("path", PROTECTED)
@pytest.mark.parametrize(
    "header", [None, "Bearer wrong", "Basic correct horse", "Bearer", "Bearer correct hors\xe9"]
)
def test_with_a_token_nothing_but_the_probes_opens_without_it(
    w: World, path: str, header: str | None
) -> None:
    headers = {} if header is None else {"Authorization": header.encode("latin-1")}
    answer = client(w, token=TOKEN, loopback=False).get(path, headers=headers)
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")


def test_the_token_opens_and_the_probes_need_none(w: World) -> None:
    opened = client(w, token=TOKEN, loopback=False)
    assert opened.get("/version", headers={"Authorization": f"bearer {TOKEN}"}).status_code == 200
    assert opened.get("/healthz").status_code == 200
    assert opened.get("/readyz").status_code == 200


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:1", "[::1]:8080", "LOCALHOST:8080"])
def test_on_loopback_its_own_names_are_served(w: World, host: str) -> None:
    assert client(w).get("/version", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "", "localhost.evil.example:80"]
)
def test_on_loopback_a_foreign_name_is_refused(w: World, host: str) -> None:
    assert client(w).get("/metrics", headers={"host": host}).status_code == 421


@pytest.fixture
def told(w: World) -> str:
    """The id of an alert that the journal knows."""
    alert = alert_at(3)
    w.service.feedback.journal.record([incident_of(alert)])
    return alert.alert_id


def test_a_label_is_written_down_and_says_what_it_changes(w: World, told: str) -> None:
    answer = client(w).post(f"/api/v1/alerts/{told}:label", b'{"label":"false_alarm","by":"ann"}')
    assert answer.status_code == 200, answer.text
    assert "a quarter higher" in answer.json()["effect"]
    listed = client(w).get("/api/v1/labels").json()
    assert [(one["alert_id"], one["kind"], one["by"]) for one in listed["labels"]] == [
        (told, "false_alarm", "ann")
    ]
    assert client(w).get(f"/api/v1/labels?cursor={listed['next']}").json()["labels"] == []


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("{id}:label", b'{"label":"wrong"}', 422),
        ("{id}:label", b"", 422),
        ("{id}:label", b"x" * 20_000, 413),
        ("ffff:label", b'{"label":"confirmed"}', 422),
    ],
)
def test_a_label_that_is_none_changes_nothing(
    w: World, told: str, path: str, body: bytes, status: int
) -> None:
    answer = client(w).post(f"/api/v1/alerts/{path.replace('{id}', told)}", body)
    assert (answer.status_code, answer.headers["content-type"]) == (
        status,
        "application/problem+json",
    )
    assert w.service.feedback.journal.labels() == []


@pytest.mark.parametrize("route", [entry for entry in ROUTES if entry.method == "GET"])
def test_an_example_of_a_route_has_the_keys_of_its_answer(w: World, route: RouteEntry) -> None:
    of = replace(w.service, model_admin=ModelAdmin(None, w.model, ANYBODY))
    answer = Client(create_app(of, Health(of, Phase("running"), w.clock))).get(route.path)
    assert answer.status_code in route.answers
    if route.path != "/metrics":
        assert answer.json().keys() == json.loads(route.example).keys()


def test_the_example_of_a_label_has_the_keys_of_its_answer(w: World, told: str) -> None:
    answer = client(w).post(f"/api/v1/alerts/{told}:label", b'{"label":"confirmed"}').json()
    [route] = [entry for entry in ROUTES if entry.handler == "label"]
    assert answer.keys() == json.loads(route.example).keys()
    [label] = client(w).get("/api/v1/labels").json()["labels"]
    [listing] = [entry for entry in ROUTES if entry.handler == "labels"]
    assert label.keys() == json.loads(listing.example)["labels"][0].keys()
