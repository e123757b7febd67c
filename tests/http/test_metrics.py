from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from streamer.connect.memory import ABORT, MemorySource
from streamer.event import Lease
from streamer.http.metrics import Metrics
from streamer.runtime.stats import Histogram, merged
from tests.runtime.world import World, batch_of, rejected, world

NAN = float("nan")


def samples(w: World) -> Iterator[tuple[str, dict[str, str], float]]:
    for family in text_string_to_metric_families(Metrics(w.service).text().decode()):
        for sample in family.samples:
            yield sample.name, dict(sample.labels), sample.value


def value(w: World, name: str, **labels: str) -> float:
    found = [
        v for n, own, v in samples(w) if n == f"streamer_{name}" and labels.items() <= own.items()
    ]
    assert len(found) == 1, (name, labels, found)
    return found[0]


def busy() -> World:
    w = world([batch_of([1.0, 50.0, NAN], 0), rejected(3), ABORT, batch_of([1.0], 86_400)])
    w.read(4)
    w.score(4)
    return w


def test_the_exposition_parses_and_all_names_have_the_prefix_of_the_program_or_process() -> None:
    names = {name for name, _, _ in samples(busy())}
    assert all(name.startswith(("streamer_", "process_")) for name in names)


def test_metrics_are_the_ledger() -> None:
    w = busy()
    assert value(w, "records_consumed_total", stream="s") == 5
    assert value(w, "events_scored_total", stream="s", backend="numpy", model_version="test-1") == 3
    assert value(w, "events_skipped_total", stream="s", reason="missing") == 1
    assert value(w, "records_dead_lettered_total", stream="s") == 1
    assert value(w, "records_rejected_total", stream="s", reason="bad_json") == 1
    assert value(w, "records_in_flight", stream="s") == 0


def test_the_lag_is_told_of_the_partitions_that_are_held() -> None:
    w = busy()
    assert not any(name == "streamer_consumer_lag_records" for name, _, _ in samples(w))
    kept, gone = Lease("t", 0, 1), Lease("t", 1, 1)
    assert isinstance(w.source, MemorySource)
    w.source.lags = {kept: 7, gone: 5}
    w.source.revoke(gone)
    assert (
        value(w, "consumer_lag_records")
        == value(w, "consumer_lag_records", stream="s", topic="t", partition="0")
        == 7
    )


def test_logs_that_were_cut_are_counted() -> None:
    w = busy()
    assert value(w, "log_truncations_total", stream="s") == 0
    assert isinstance(w.source, MemorySource)
    w.source.truncations = 2
    assert value(w, "log_truncations_total", stream="s") == 2


def test_a_source_that_reads_slower_than_it_could_shows() -> None:
    w = busy()
    assert value(w, "source_degraded", stream="s") == 0
    assert isinstance(w.source, MemorySource)
    w.source.degraded = "another client"
    assert value(w, "source_degraded", stream="s") == 1


def test_alerts_are_counted_and_their_rates_compared() -> None:
    w = busy()
    assert value(w, "alerts_total", stream="s", severity="warning", outcome="opened") == 1
    assert value(w, "alert_rate_promised", stream="s") == 5
    assert value(w, "alert_rate_observed", stream="s") == 1
    assert value(w, "event_to_alert_seconds_count", stream="s") == 1


def test_failures_and_waiting_alerts_show() -> None:
    w = busy()
    assert value(w, "source_failures_total", stream="s") == 1
    assert value(w, "publish_failures_total", sink="memory") == 0
    assert value(w, "spool_records", sink="memory") == 0


def test_the_model_and_the_program_say_who_they_are() -> None:
    w = busy()
    assert (
        value(w, "model_info", stream="s", model_version="test-1", role="champion", backend="numpy")
        == 1
    )
    assert value(w, "build_info") == 1


def test_no_metric_has_an_entity_label() -> None:
    assert not any(
        "entity" in labels or "pump" in labels.values() for _, labels, _ in samples(busy())
    )


def test_scores_are_counted_on_the_alarm_scale() -> None:
    assert value(busy(), "score_bucket", stream="s", le="1.0") == 2


@given(st.lists(st.floats(0, 100, width=32)), st.lists(st.floats(0, 100, width=32)))
def test_a_histogram_observes_one_by_one_as_all_at_once(
    first: list[float], second: list[float]
) -> None:
    bounds = (0.5, 1.0, 10.0)
    one, both, other = Histogram(bounds), Histogram(bounds), Histogram(bounds)
    for number in first + second:
        one.observe(number)
    both.observe_all(np.array(first, np.float32))
    other.observe_all(np.array(second, np.float32))
    assert one.counts == merged([both, other]).counts
    assert one.cumulative()[-1] == ("+Inf", len(first) + len(second))


def test_a_loop_that_hangs_grows_silent() -> None:
    w = busy()
    before = value(w, "loop_silent_seconds", loop="scorer")
    w.clock.now += 7.0
    assert value(w, "loop_silent_seconds", loop="scorer") >= before + 7.0
    w.score(1)
    assert value(w, "loop_silent_seconds", loop="scorer") < 1.0
    assert value(w, "loop_silent_seconds", loop="reader:s") > 7.0
