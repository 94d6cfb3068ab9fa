"""What a node counts, and the text that Prometheus reads."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest
from prometheus_client.parser import text_string_to_metric_families

from crust.telemetry import Metrics
from crust.telemetry.exposition import Exposition
from crust.telemetry.metrics import Histogram


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


def samples(metrics: Metrics) -> Iterator[tuple[str, dict[str, str], float]]:
    """Name, labels and value of all that the text says."""
    for family in text_string_to_metric_families(Exposition(metrics).text().decode()):
        for sample in family.samples:
            yield sample.name, sample.labels, sample.value


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    """The value of one sample; None where there is none."""
    return next((value for own, given, value in samples(metrics) if (own, given) == (name, labels)), None)


def test_counters(metrics: Metrics) -> None:
    """Each set of labels counts by itself; what has no labels is there from the beginning."""
    assert value(metrics, "crust_database_unavailable_total") == 0
    metrics.database_unavailable[()] += 1
    metrics.frames_out["message"] += 1000
    metrics.frames_out["typing"] += 2
    metrics.starts["fresh", "another epoch"] += 1
    assert value(metrics, "crust_database_unavailable_total") == 1
    assert value(metrics, "crust_websocket_frames_out_total", type="message") == 1000
    assert value(metrics, "crust_websocket_frames_out_total", type="typing") == 2
    assert value(metrics, "crust_websocket_starts_total", start="fresh", why="another epoch") == 1
    assert value(metrics, "crust_websocket_frames_out_total", type="presence") is None


def test_histograms(metrics: Metrics) -> None:
    """A value counts in its bucket, its bound included, and in all above; beyond the last it counts in +Inf alone."""
    for number in (1, 2, 3, 501):
        metrics.commit_changes.observe((), number)
    buckets = {labels["le"]: value for name, labels, value in samples(metrics) if name == "crust_commit_changes_bucket"}
    assert [buckets[bound] for bound in ("1", "2", "5", "500", "+Inf")] == [1, 2, 3, 3, 4]
    assert value(metrics, "crust_commit_changes_count") == 4
    assert value(metrics, "crust_commit_changes_sum") == 507


def test_gauges(metrics: Metrics) -> None:
    """They are read when somebody asks, and what nobody knows is missing rather than wrong."""
    assert value(metrics, "crust_log_position") is None
    position = 7
    metrics.log_position.read = lambda: position
    assert value(metrics, "crust_log_position") == 7
    position = 8
    assert value(metrics, "crust_log_position") == 8


def test_what_strangers_name_makes_no_new_series(metrics: Metrics) -> None:
    """Unknown paths have one label, and so have invented methods."""
    for number in range(100):
        metrics.request("http", None, f"M{number}", 404, 0.001)
        metrics.request("http", None, "GET", 405, 0.001)
    assert set(metrics.request_seconds.cells) == {("http", "other", "other", "4xx"), ("http", "other", "GET", "4xx")}


def test_names_follow_prometheus(metrics: Metrics) -> None:
    """Every metric has our prefix, a help text and, if it is a time, its unit; no two have one name."""
    names = [metric.name for metric in metrics]
    assert len(set(names)) == len(names)
    for metric in metrics:
        assert metric.name.startswith("crust_")
        assert metric.help
        if isinstance(metric, Histogram):
            assert list(metric.bounds) == sorted(metric.bounds)
            assert metric.name.endswith("_seconds") or metric.bounds[0] == 1


def test_the_process_and_its_python(metrics: Metrics) -> None:
    """Memory, file descriptors and processor time of the process, and which Python it is, stand beside our own."""
    names = {name for name, _, _ in samples(metrics)}
    assert {"process_resident_memory_bytes", "process_open_fds", "process_cpu_seconds_total", "python_info"} <= names


def test_nodes_in_one_process_do_not_meet() -> None:
    """Two of them, each read as often as one likes, count for themselves."""
    one, other = Metrics(), Metrics()
    one.frames_in["ping"] += 1
    for _ in range(2):
        assert value(one, "crust_websocket_frames_in_total", type="ping") == 1
        assert value(other, "crust_websocket_frames_in_total", type="ping") is None


def test_counting_needs_no_library() -> None:
    """What counts does not import what shows, so that commands don't pay for it."""
    code = "import sys, crust.log; sys.exit('prometheus_client' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=30)


def test_gauges_by_label(metrics: Metrics) -> None:
    """Each label shows its value as it is when somebody asks; those that went are missing."""
    assert value(metrics, "crust_consumer_lag_positions", consumer="relay") is None
    lags = {"relay": 7.0, "mail": 0.0}
    metrics.consumer_lag.read = lambda: lags
    assert value(metrics, "crust_consumer_lag_positions", consumer="relay") == 7
    assert value(metrics, "crust_consumer_lag_positions", consumer="mail") == 0
    del lags["mail"]
    assert value(metrics, "crust_consumer_lag_positions", consumer="mail") is None


def test_deliveries(metrics: Metrics) -> None:
    """By consumer and outcome, and what is not done by consumer and state."""
    metrics.deliveries["echo", "done"] += 3
    metrics.handler_seconds.observe("echo", 0.2)
    metrics.delivery_rows.read = lambda: {("echo", "parked"): 2.0}
    assert value(metrics, "crust_deliveries_total", consumer="echo", how="done") == 3
    assert value(metrics, "crust_handler_seconds_count", consumer="echo") == 1
    assert value(metrics, "crust_delivery_rows", consumer="echo", state="parked") == 2
    assert value(metrics, "crust_delivery_lanes", consumer="echo", state="parked") is None
