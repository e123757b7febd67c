"""Models over HTTP: listed, promoted, rolled back, shadowed; each change audited, each refusal a
problem.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from structlog.testing import capture_logs

from streamer.app.service import Phase, Service
from streamer.connect.storage.files_registry import DirectoryRegistry
from streamer.http.api import create_app
from streamer.http.health import Health
from streamer.http.metrics import Metrics
from streamer.http.routes import ROUTES
from streamer.lifecycle import promotion
from streamer.lifecycle.model_admin import ModelAdmin
from streamer.runtime.model import ModelState
from streamer.signing import ANYBODY
from tests.lifecycle.training_world import written
from tests.runtime.world import REF, World, world


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[DirectoryRegistry]:
    made = DirectoryRegistry(tmp_path / "registry", create=True)
    for version in ("v0", "v1"):
        made.publish(written(tmp_path / version, version))
    promotion.promote(made, "v0", "first")
    yield made
    made.close()


def service_of(w: World, registry: DirectoryRegistry | None) -> Service:
    return replace(w.service, model_admin=ModelAdmin(registry, w.model, ANYBODY))


def ask(of: Service, verb: str = "", body: Any = None, **headers: str) -> httpx.Response:
    app = create_app(of, Health(of, Phase("running"), lambda: 0.0))

    async def asked() -> httpx.Response:
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(
            transport=transport, base_url="http://127.0.0.1:8080"
        ) as session:
            content = None if body is None else json.dumps(body).encode()
            path = f"/api/v1/models{verb}"
            return await session.request(
                "POST" if verb else "GET", path, content=content, headers=headers
            )

    return asyncio.run(asked())


def test_the_list_tells_what_judges_and_what_the_registry_holds(
    registry: DirectoryRegistry,
) -> None:
    body = ask(service_of(world([]), registry)).json()
    assert (body["schema"], body["judging"]["version"], body["judging"]["role"]) == (
        "streamer.models/1",
        REF.version,
        "champion",
    )
    assert (body["versions"], body["aliases"]) == (["v0", "v1"], {"champion": "v0"})
    assert body["moves"][-1]["why"] == "first"


def test_a_service_without_a_registry_still_tells_what_judges() -> None:
    body = ask(service_of(world([]), None)).json()
    assert (body["judging"]["version"], body["versions"]) == (REF.version, [])
    assert ask(service_of(world([]), None), ":promote", {"version": "v1"}).status_code == 422


def test_a_version_is_promoted_shadowed_and_rolled_back_and_each_is_audited(
    registry: DirectoryRegistry,
) -> None:
    of = service_of(world([]), registry)
    with capture_logs() as logs:
        assert (
            ask(of, ":shadow", {"version": "v1", "why": "try"}).json()["aliases"]["challenger"]
            == "v1"
        )
        promoted = ask(of, ":promote", {"why": "better"}).json()
        assert promoted["aliases"] == {"champion": "v1", "previous": "v0"}
        [route] = [entry for entry in ROUTES if entry.handler == "promote"]
        assert promoted.keys() == json.loads(route.example).keys()
        assert ask(of, ":rollback").json()["aliases"] == {"champion": "v0"}
    told = [(line["action"], line["model"]) for line in logs if line["event"] == "audit"]
    assert told == [("model_shadow", "v1"), ("model_promote", "v1"), ("model_rollback", "v0")]


def test_the_first_promotion_is_rolled_back_to_the_starter(registry: DirectoryRegistry) -> None:
    of = service_of(world([]), registry)
    answer = ask(of, ":rollback").json()
    assert (answer["version"], answer["aliases"]) == (None, {})
    assert ask(of, ":rollback").status_code == 409


@pytest.mark.parametrize(
    ("verb", "body", "status"),
    [
        (":promote", {"version": "nowhere"}, 409),
        (":promote", {}, 422),
        (":promote", {"versoin": "v1"}, 422),
        (":promote", [1], 422),
        (":shadow", {"version": "v0"}, 409),
        (":erase", {}, 404),
    ],
)
def test_what_cannot_be_done_is_a_problem_and_changes_nothing(
    registry: DirectoryRegistry, verb: str, body: Any, status: int
) -> None:
    before = registry.aliases()
    answer = ask(service_of(world([]), registry), verb, body)
    assert (answer.status_code, answer.headers["content-type"]) == (
        status,
        "application/problem+json",
    )
    assert registry.aliases() == before


def test_another_pages_script_may_not_move_models(registry: DirectoryRegistry) -> None:
    of = service_of(world([]), registry)
    assert ask(of, ":promote", {"version": "v1"}, origin="https://evil.example").status_code == 403
    assert registry.aliases() == {"champion": "v0"}
    assert ask(of, ":promote", {"version": "v1"}, origin="http://127.0.0.1:8080").status_code == 200


def test_metrics_tell_the_models_at_work() -> None:
    state = ModelState(
        REF, trained_s=1.5e9, challenger=replace(REF, version="c"), disagreement=0.25
    )
    state.swaps["promoted"] += 2
    text = Metrics(world([], model=state).service).text().decode()
    assert (
        f'streamer_model_info{{backend="numpy",model_version="{REF.version}",role="champion",stream="s"}} 1.0'
        in text
    )
    assert 'model_version="c",role="challenger"' in text
    assert "streamer_model_trained_timestamp_seconds 1.5e+09" in text
    assert 'streamer_model_swaps_total{outcome="promoted"} 2.0' in text
    assert "streamer_shadow_disagreement_ratio 0.25" in text


def test_a_model_that_is_refused_is_told_in_readyz_and_nothing_is_unready() -> None:
    state = ModelState(REF, problem="v9: its outputs stray")
    checks = {
        check.name: check
        for check in Health(world([], model=state).service, Phase("running"), lambda: 0.0).ready()
    }
    assert checks["model"].ok
    assert "v9" in checks["model"].detail
