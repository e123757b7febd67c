"""The HTTP interface: health, metrics, version, alerts, labels and models.

Errors are problem+json (RFC 9457).
"""

from __future__ import annotations

import hmac
import json
import math
import platform
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

import structlog
from msgspec.structs import replace
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from streamer import __version__
from streamer.app.service import Service
from streamer.errors import InputError, ModelError, StoreError
from streamer.finding import Finding
from streamer.http.health import Health
from streamer.http.metrics import CONTENT_TYPE, Metrics
from streamer.http.routes import MOST, MOST_BODY, MOVES, PAGE, ROUTES
from streamer.lifecycle.model_admin import ModelAdmin

log = structlog.get_logger()

# probes need no token; they show reasons, not data
OPEN_PATHS = frozenset(entry.path for entry in ROUTES if entry.open)
Handler = Callable[[Request], Awaitable[Response]]
LOOPBACK_HOSTS = frozenset({"localhost", "127.0.0.1", "::1"})


def create_app(
    service: Service, health: Health, *, token: str | None = None, loopback: bool = True
) -> ASGIApp:
    """Return the application.

    With a token, every path but the probes needs it. On loopback, only loopback host names are
    served.
    """
    pages = _Pages(service, health)
    routes = [
        Route(entry.path, pages.handler(entry.handler), methods=[entry.method]) for entry in ROUTES
    ]
    app = Starlette(
        routes=routes, exception_handlers={HTTPException: _http_problem, Exception: _crash_problem}
    )
    return Guard(app, token=token, loopback=loopback)


class Guard:
    """Checks the host name, the origin and the token of a request.

    The host name matters on loopback: a web page could resolve its own name to this machine and
    read the answers.
    """

    def __init__(self, app: ASGIApp, *, token: str | None, loopback: bool) -> None:
        self._app, self._loopback = app, loopback
        self._token = token.encode() if token else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        refused = (
            self.refusal(scope["path"], Headers(scope=scope)) if scope["type"] == "http" else None
        )
        await (refused or self._app)(scope, receive, send)

    def refusal(self, path: str, headers: Headers) -> Response | None:
        if self._loopback and not loopback_host(headers.get("host", "")):
            return problem(
                HTTPStatus.MISDIRECTED_REQUEST, "this service answers to loopback names only"
            )
        if foreign(headers):
            return problem(HTTPStatus.FORBIDDEN, "another page's script may not ask this service")
        if (
            self._token is None
            or path in OPEN_PATHS
            or authorized(headers.get("authorization", ""), self._token)
        ):
            return None
        detail = "send the header `Authorization: Bearer <server.token>`"
        return problem(HTTPStatus.UNAUTHORIZED, detail, {"WWW-Authenticate": "Bearer"})


def loopback_host(host: str) -> bool:
    """Return whether a Host header is localhost, 127.0.0.1 or [::1], with or without a port."""
    name = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
    return name.lower() in LOOPBACK_HOSTS


def foreign(headers: Headers) -> bool:
    """Return whether a browser sends the request for a page of another origin.

    Browsers set the Origin header on every request that changes something.
    """
    origin = headers.get("origin")
    return origin is not None and urlsplit(origin).netloc != headers.get("host", "")


def authorized(header: str, token: bytes) -> bool:
    """Return whether an Authorization header has the token, compared in constant time."""
    scheme, _, given = header.partition(" ")
    return scheme.lower() == "bearer" and hmac.compare_digest(
        given.strip().encode("utf-8", "replace"), token
    )


def problem(
    status: HTTPStatus, detail: str, headers: dict[str, str] | None = None, **more: Any
) -> Response:
    body = {
        "type": "about:blank",
        "title": status.phrase,
        "status": int(status),
        "detail": detail,
    } | more
    return Response(json.dumps(body), int(status), headers, media_type="application/problem+json")


def whole_number(request: Request, name: str, default: int, *, least: int, most: int) -> int:
    """Return a query parameter; 400 if it is not a whole number within the bounds."""
    raw = request.query_params.get(name, str(default))
    if not (raw.isascii() and raw.isdigit() and len(raw) < 20 and least <= int(raw) <= most):
        raise HTTPException(
            400, f"{name} must be a whole number from {least} to {most}, got {raw[:40]!r}"
        )
    return int(raw)


class _Pages:
    """The handlers; each reads numbers or copies, and passes changes on."""

    def __init__(self, service: Service, health: Health) -> None:
        self._service, self._health, self._metrics = service, health, Metrics(service)

    def handler(self, name: str) -> Handler:
        """Return the handler of a route by its name in the table."""
        found: Handler = self.move(name) if name in MOVES else getattr(self, name)
        return found

    async def healthz(self, request: Request) -> Response:
        return checked(self._health.alive(), "alive")

    async def readyz(self, request: Request) -> Response:
        return checked(self._health.ready(), "ready")

    async def metrics(self, request: Request) -> Response:
        return Response(self._metrics.text(), headers={"content-type": CONTENT_TYPE})

    async def version(self, request: Request) -> Response:
        model = self._service.model
        return as_json(
            {
                "name": "streamer",
                "version": __version__,
                "python": platform.python_version(),
                "model": {
                    "version": model.ref.version,
                    "backend": model.ref.backend,
                    "sha256": model.ref.sha256,
                    "role": model.role,
                },
            }
        )

    async def alerts(self, request: Request) -> Response:
        """Return the alerts after `cursor`, oldest first; `next` is the cursor of the next page."""
        cursor = whole_number(request, "cursor", 0, least=0, most=2**63)
        limit = whole_number(request, "limit", PAGE, least=1, most=MOST)
        page, after = self._service.recent.after(cursor, limit)
        body = b'{"schema":"streamer.alerts/1","alerts":[%b],"next":%d}' % (b",".join(page), after)
        return Response(body, media_type="application/json")

    async def label(self, request: Request) -> Response:
        """Store a label {"label", "by", "note"}; the answer says what it will change."""
        body = await small_body(request)
        try:
            told = await run_in_threadpool(self._said, request.path_params["alert"], body)
        except InputError as exc:
            raise HTTPException(HTTPStatus.UNPROCESSABLE_ENTITY, str(exc)) from exc
        except StoreError as exc:
            raise HTTPException(HTTPStatus.SERVICE_UNAVAILABLE, str(exc)) from exc
        return as_json({"schema": "streamer.label/1"} | told)

    def _said(self, alert: str, body: bytes) -> dict[str, Any]:
        from streamer.feedback.labels import consequence, join, read

        said, journal = (
            replace(read(body, "the request's body"), alert_id=alert),
            self._service.feedback.journal,
        )
        found, _ = join(said, journal, now_s=time.time())
        number = journal.label(found)
        log.info(
            "audit", action="label", alert_id=found.alert_id, label=found.kind.value, by=found.by
        )
        return {"number": number, "alert_id": found.alert_id, "effect": consequence(found)}

    async def labels(self, request: Request) -> Response:
        """Return the labels after `cursor`, in order; `next` is the cursor of the next page."""
        cursor = whole_number(request, "cursor", 0, least=0, most=2**53)
        limit = whole_number(request, "limit", PAGE, least=1, most=MOST)
        page = await run_in_threadpool(self._service.feedback.journal.labels, cursor, limit)
        listed = [
            asdict(one) | {"end_s": None if math.isinf(one.end_s) else one.end_s} for one in page
        ]
        after = page[-1].number if page else cursor
        return as_json({"schema": "streamer.labels/1", "labels": listed, "next": after})

    async def models(self, request: Request) -> Response:
        """Return the model that judges, the challenger, and the registry's content."""
        return as_json(await self._asked(self._model_admin.listing))

    def move(self, verb: str) -> Handler:
        """Return the handler of a move; the body is {"version", "why"}."""

        async def moved(request: Request) -> Response:
            return as_json(
                await self._asked(getattr(self._model_admin, verb), await small_body(request))
            )

        return moved

    @property
    def _model_admin(self) -> ModelAdmin:
        if self._service.model_admin is None:
            raise HTTPException(HTTPStatus.NOT_FOUND, "this service has no models to move")
        return self._service.model_admin

    async def _asked(
        self, question: Callable[..., dict[str, Any]], *words: bytes
    ) -> dict[str, Any]:
        """Run a call of ModelAdmin in a thread, because it may wait for a store."""
        try:
            return await run_in_threadpool(question, *words)
        except InputError as exc:
            raise HTTPException(HTTPStatus.UNPROCESSABLE_ENTITY, str(exc)) from exc
        except ModelError as exc:
            raise HTTPException(HTTPStatus.CONFLICT, str(exc)) from exc
        except StoreError as exc:
            raise HTTPException(HTTPStatus.SERVICE_UNAVAILABLE, str(exc)) from exc


async def small_body(request: Request) -> bytes:
    """Return the body of a request; 413 if it is longer than MOST_BODY."""
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > MOST_BODY:
            raise HTTPException(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"a body may have {MOST_BODY} bytes"
            )
    return body


def checked(checks: Sequence[Finding], word: str) -> Response:
    """Return 200 if all checks pass, else 503 as a problem; both list every check."""
    listed = [{"name": check.name, "ok": check.ok, "detail": check.detail} for check in checks]
    bad = [check for check in checks if not check.ok]
    if not bad:
        return as_json({"status": word, "checks": listed})
    detail = "; ".join(f"{check.name}: {check.detail}" for check in bad)
    return problem(HTTPStatus.SERVICE_UNAVAILABLE, detail, checks=listed)


def as_json(body: Any) -> Response:
    return Response(json.dumps(body), media_type="application/json")


async def _http_problem(request: Request, exc: Exception) -> Response:
    assert isinstance(exc, HTTPException)
    return problem(HTTPStatus(exc.status_code), exc.detail, dict(exc.headers or {}))


async def _crash_problem(request: Request, exc: Exception) -> Response:
    return problem(HTTPStatus.INTERNAL_SERVER_ERROR, "an error of the service; its log says which")
