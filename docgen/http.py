"""docs/http.md: every route, from the table that the application serves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from http import HTTPStatus

from docgen.markdown import code, entry, fence, generated, heading, items, link, page, table, wrap
from streamer.http.routes import ROUTES, RouteEntry

ADDRESS = "http://127.0.0.1:8080"
INTRO = (
    "The service listens on `server.listen`, by default `127.0.0.1:8080`. Answers are JSON but for "
    "`/metrics`. An error is a problem of RFC 9457, `application/problem+json`: its `title` is the "
    "name of the status, its `detail` says what is wrong.",
    "Where `server.token` is set, every route but the probes needs the header `Authorization: "
    "Bearer TOKEN`. On a loopback address only loopback names are served, so that no web page can "
    "reach the service by a name of its own.",
)
COMMON = {
    401: "the token is missing or wrong",
    403: "a script of another web page asks",
    404: "there is no such path",
    405: "the path has no such method",
    421: "the service listens on loopback, and the Host header names something else",
    500: "an error of the service; its log says which",
}


def document() -> str:
    rows = [(entry.method, link(code(entry.path), title(entry)), auth(entry)) for entry in ROUTES]
    return page(
        generated("streamer/http/routes.py"),
        heading(1, "HTTP interface"),
        *map(wrap, INTRO),
        heading(2, "Routes"),
        table(("method", "path", "needs"), rows),
        heading(2, "Answers of every route"),
        items(list(answers(COMMON))),
        *(block for entry in ROUTES for block in section(entry)),
    )


def title(route: RouteEntry) -> str:
    return code(f"{route.method} {route.path}")


def auth(route: RouteEntry) -> str:
    return "nothing" if route.open else "the token, where one is set"


def section(route: RouteEntry) -> Iterator[str]:
    yield heading(2, title(route))
    yield wrap(route.text)
    yield from _fields("Query", route.query)
    yield from _fields("Body, a JSON object", route.body)
    yield "Answers:"
    yield items(list(answers(route.answers)))
    yield fence(request(route), "sh")
    yield fence(route.example, "" if route.path == "/metrics" else "json")


def _fields(head: str, fields: Mapping[str, str]) -> Iterator[str]:
    if fields:
        yield f"{head}:"
        yield items([entry(code(name), "", text) for name, text in fields.items()])


def answers(found: Mapping[int, str]) -> Iterator[str]:
    return (
        entry(f"{status} {HTTPStatus(status).phrase}", "", text) for status, text in found.items()
    )


def request(route: RouteEntry) -> str:
    """The command that asks for the route."""
    header = "" if route.open else "-H 'Authorization: Bearer TOKEN' "
    query = "?cursor=0&limit=50" if route.query else ""
    address = f"{ADDRESS}{route.path.replace('{alert}', '6f1c2a')}{query}"
    sent = f" \\\n  -d '{route.sent}'" if route.sent else ""
    return f"curl {header}'{address}'{sent}"
