"""docs/metrics.md: every metric, from the table beside their collection."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from docgen.markdown import code, entry, generated, heading, items, link, page, wrap
from streamer.http.metric_entry import LABELS, MetricEntry
from streamer.http.metric_table import GROUPS

INTRO = (
    "`GET /metrics` gives these in the text format of Prometheus, read from the running service at "
    "each scrape. No metric has a label of entities. Metrics of the process itself (memory, CPU "
    "time, open files) begin with `process_` and are those of every Prometheus client.",
    "A name that ends in `_total` is a counter: look at its rate. A histogram has the names "
    "`_bucket`, `_sum` and `_count`. A metric without a value yet is left out.",
)


def document() -> str:
    return page(
        generated("streamer/http/metric_table.py"),
        heading(1, "Metrics"),
        *map(wrap, INTRO),
        items([f"- {link(title)}" for title in (*GROUPS, "Labels of metrics")]),
        *(block for title, group in GROUPS.items() for block in _group(title, group)),
        heading(2, "Labels of metrics"),
        items([entry(code(name), "", text) for name, text in LABELS.items()]),
    )


def _group(title: str, group: Sequence[MetricEntry]) -> Iterator[str]:
    yield heading(2, title)
    yield items(list(map(metric, group)))


def metric(one: MetricEntry) -> str:
    labels = ", ".join(map(code, one.labels))
    facts = one.kind + (f"; by {labels}" if labels else "")
    return entry(code(one.exported), facts, f"{one.text} {one.words}", f"*When high:* {one.high}")
