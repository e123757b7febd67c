"""The lines of `check --connect` about the cluster: one visit for all sections that use it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from streamer.config.kafka import DeadLetterTopic, KafkaSink, KafkaSource
from streamer.connect.kafka.diagnosis.connect_check import probe
from streamer.finding import Finding

if TYPE_CHECKING:
    from streamer.config import Config
    from streamer.config.parts import PartSection


def reach(config: Config, sections: Sequence[PartSection]) -> Iterator[Finding]:
    """Brokers, topics, permissions and groups of the sections."""
    sources = [section for section in sections if isinstance(section, KafkaSource)]
    groups = list(dict.fromkeys(source.group for source in sources))
    reads = list(dict.fromkeys(topic for source in sources for topic in source.named_topics))
    patterns = list(
        dict.fromkeys(source.pattern for source in sources if source.pattern is not None)
    )
    writes = [
        section.topic for section in sections if isinstance(section, KafkaSink | DeadLetterTopic)
    ]
    group = groups[0] if groups else None
    found = probe(config.kafka, reads, group, writes=writes, patterns=patterns)
    for group in groups[1:]:
        found += [
            finding
            for finding in probe(config.kafka, (), group)
            if finding.name == f"group {group}"
        ]
    answered = any(finding.ok and finding.name.startswith("broker ") for finding in found)
    for finding in found:
        # One broker of bootstrap_servers that answers is enough.
        spare = answered and finding.name.startswith("broker ")
        status = "warn" if spare and not finding.ok else finding.status
        yield Finding(f"kafka {finding.name}", status, finding.detail, finding.fix)
