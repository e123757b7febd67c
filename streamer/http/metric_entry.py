"""The description of one metric, and of the labels of metrics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

Kind = Literal["counter", "gauge", "histogram", "info"]
PREFIX = "streamer_"


@dataclass(frozen=True, slots=True)
class MetricEntry:
    """One metric: `text` is its exported help, `high` tells an operator what to do.

    `words` lists the values of a label.
    """

    kind: Kind
    name: str  # without prefix, and without the suffix of a counter
    text: str
    labels: Sequence[str]
    high: str
    words: str = ""

    @property
    def exported(self) -> str:
        """The name in a query; for a histogram the common part of its names."""
        suffix = {"counter": "_total", "info": "_info"}.get(self.kind, "")
        return f"{PREFIX}{self.name}{suffix}"


LABELS: Mapping[str, str] = {
    "version": "version of the program",
    "stream": "name of the stream",
    "topic": "topic of Kafka",
    "partition": "partition of the topic",
    "reason": "why, as one constant word",
    "backend": "what ran the network: litert, keras, numpy, baseline",
    "model_version": "version of the model",
    "role": "champion, challenger or fallback",
    "key": "number of the entity key, from 0, where events belong to several entities",
    "severity": "warning or critical",
    "outcome": "what came of it, as one of the words that the metric names",
    "sink": "name of the sink",
    "change": "assigned or revoked",
    "stage": "score",
    "label": "confirmed, expected, false_alarm, new_normal or unsure",
    "signal": "what is compared: input:CHANNEL, score or alert_rate",
    "loop": "reader:STREAM or scorer",
    "attendant": "what runs beside the flow: models, drift, retrainer, labels or chronicle",
}
