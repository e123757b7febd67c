"""The routes of the HTTP interface as data, for the application and for docs/http.md."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPMethod

PAGE, MOST = 50, 500
MOST_BODY = 16_384  # bytes; above the size of any label
MOVES = ("promote", "rollback", "shadow")


@dataclass(frozen=True, slots=True)
class RouteEntry:
    """One route: its handler, and the facts for a caller."""

    path: str
    handler: str
    text: str
    answers: Mapping[int, str]
    example: str  # the body of an example answer
    method: HTTPMethod = HTTPMethod.GET
    open: bool = False  # needs no token
    query: Mapping[str, str] = field(default_factory=dict)
    body: Mapping[str, str] = field(default_factory=dict)
    sent: str = ""  # the body of an example request


_CURSOR = {
    "cursor": "number behind which the page begins; default 0, the beginning",
    "limit": f"entries of a page at most, 1 to {MOST}; default {PAGE}",
}
_PAGED = {200: "one page", 400: "the query holds no such number; the detail names the parameter"}
_MOVE = {
    "version": "the version or alias to move to, a text of at most 200 characters",
    "why": "the reason for the audit trail, a text of at most 200 characters",
}
_MOVED = {
    200: "the aliases after the move",
    404: "this service moves no models",
    409: "somebody else moved an alias at the same time, or the model cannot be used",
    413: f"the body is longer than {MOST_BODY} bytes",
    422: "the body is not valid, or there is nothing to move",
    503: "the registry cannot be reached",
}
_MOVED_EXAMPLE = """\
{"schema": "streamer.move/1", "version": "v7", "aliases": {"champion": "v7", "previous": "v6"}}
"""

ROUTES = (
    RouteEntry(
        "/healthz",
        "healthz",
        "Whether each loop of the service still turns. A failure calls for a restart: use it as "
        "a liveness probe.",
        {200: "every loop turns", 503: "a loop hangs; `checks` names it"},
        """\
{"status": "alive", "checks": [{"name": "scorer", "ok": true, "detail": "turning"}]}
""",
        open=True,
    ),
    RouteEntry(
        "/readyz",
        "readyz",
        "Whether events flow from every source to every sink, with the reason of each check. Use "
        "it as a readiness probe, and read it first when something is wrong.",
        {200: "everything works", 503: "the detail names what does not, `checks` lists everything"},
        """\
{"status": "ready", "checks": [
  {"name": "service", "ok": true, "detail": "running"},
  {"name": "model", "ok": true, "detail": "starter-1 on litert"},
  {"name": "source:plant", "ok": true, "detail": "reading"},
  {"name": "sink:stdout", "ok": true, "detail": "delivering"}]}
""",
        open=True,
    ),
    RouteEntry(
        "/metrics",
        "metrics",
        "The metrics in the text format of Prometheus; [metrics.md](metrics.md) explains each.",
        {200: "the metrics"},
        """\
# HELP streamer_records_consumed_total Records read, good and bad.
# TYPE streamer_records_consumed_total counter
streamer_records_consumed_total{stream="plant"} 8421.0
""",
    ),
    RouteEntry(
        "/version",
        "version",
        "Which program and which model judge.",
        {200: "name and version of both"},
        """\
{"name": "streamer", "version": "0.1.0", "python": "3.11.9",
 "model": {"version": "starter-1", "backend": "litert", "sha256": "9f2c...", "role": "champion"}}
""",
    ),
    RouteEntry(
        "/api/v1/alerts",
        "alerts",
        "The newest alerts, oldest first, each as [alerts.md](alerts.md) describes it. Pass `next` "
        "as the cursor of the following request. The service keeps `runtime.recent_alerts` of "
        "them, and starts anew at a restart.",
        _PAGED,
        """\
{"schema": "streamer.alerts/1", "alerts": [], "next": 0}
""",
        query=_CURSOR,
    ),
    RouteEntry(
        "/api/v1/alerts/{alert}:label",
        "label",
        "Write down what an operator says of an incident. `{alert}` is the `alert_id` or the "
        "beginning of it. The answer says what the label is going to change.",
        {
            200: "the label is written down; `number` is its place among the labels",
            413: f"the body is longer than {MOST_BODY} bytes",
            422: "the body is no label, or no incident has that id",
            503: "the store of labels cannot be reached",
        },
        """\
{"schema": "streamer.label/1", "number": 12, "alert_id": "6f1c2a", "effect": "plant/pump-17 ..."}
""",
        method=HTTPMethod.POST,
        body={
            "label": "one of confirmed, expected, false_alarm, new_normal, unsure; required",
            "by": "who says so, a text of at most 500 characters",
            "note": "a remark, a text of at most 2000 characters",
        },
        sent='{"label": "false_alarm", "by": "ann", "note": "door was open"}',
    ),
    RouteEntry(
        "/api/v1/labels",
        "labels",
        "The labels in the order of their numbers. Pass `next` as the cursor of the following "
        "request. Times are seconds since 1970; `end_s` is null while an incident lasts.",
        _PAGED,
        """\
{"schema": "streamer.labels/1", "labels": [
  {"kind": "false_alarm", "stream": "plant", "entity": "pump-17", "start_s": 1769860800.0,
   "end_s": null, "alert_id": "6f1c2a", "by": "ann", "note": "door was open",
   "said_at_s": 1769861100.0, "origin": "", "number": 12}], "next": 12}
""",
        query=_CURSOR,
    ),
    RouteEntry(
        "/api/v1/models",
        "models",
        "What judges, what is tried out in its shadow, and what the registry holds: aliases, "
        "versions, and the newest moves.",
        {
            200: "the models",
            404: "this service moves no models",
            503: "the registry cannot be reached",
        },
        """\
{"schema": "streamer.models/1",
 "judging": {"version": "v6", "backend": "litert", "sha256": "1b7e...", "role": "champion",
  "trained_s": 1769860800.0},
 "trouble": null, "shadow": null,
 "aliases": {"champion": "v6"}, "versions": ["v6", "v7"], "moves": []}
""",
    ),
    RouteEntry(
        "/api/v1/models:promote",
        "promote",
        "Let a version judge: the one that the body names, else the challenger. Every service on "
        "the registry follows within seconds.",
        _MOVED,
        _MOVED_EXAMPLE,
        method=HTTPMethod.POST,
        body=_MOVE,
        sent='{"version": "v7", "why": "fewer false alarms"}',
    ),
    RouteEntry(
        "/api/v1/models:rollback",
        "rollback",
        "Let the previous version judge again.",
        _MOVED,
        _MOVED_EXAMPLE,
        method=HTTPMethod.POST,
        body={"why": _MOVE["why"]},
        sent='{"why": "too many alerts"}',
    ),
    RouteEntry(
        "/api/v1/models:shadow",
        "shadow",
        "Let a version judge live traffic silently as the challenger. Without a version nothing "
        "is the challenger any more.",
        _MOVED,
        _MOVED_EXAMPLE,
        method=HTTPMethod.POST,
        body=_MOVE,
        sent='{"version": "v8", "why": "trained by hand"}',
    ),
)
