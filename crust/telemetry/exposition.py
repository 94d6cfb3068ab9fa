"""Metrics in Prometheus' text format, those of the process and of Python among them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import accumulate

from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from crust.telemetry.metrics import Cell, Counter, Gauge, Gauges, Histogram, Labels, Metrics

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Exposition:
    """The text, in a registry of its own, so that nodes in one process do not meet."""

    def __init__(self, metrics: Metrics) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(NodeCollector(metrics))
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)

    def text(self) -> bytes:
        """What has been counted until now."""
        return generate_latest(self._registry)


class NodeCollector(Collector):
    """Reads a node's metrics when it is asked."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def describe(self) -> Iterable[Family]:
        return ()  # nothing is read at registration

    def collect(self) -> Iterator[Family]:
        for metric in self._metrics:
            match metric:
                case Counter():
                    yield counted(metric)
                case Histogram():
                    yield observed(metric)
                case Gauge():
                    yield from shown(metric)
                case Gauges():
                    yield shown_each(metric)


def counted(counter: Counter) -> Family:
    family = CounterMetricFamily(counter.name, counter.help, labels=counter.labels)
    for key, value in counter.items():
        family.add_metric(values(key), value)
    return family


def observed(histogram: Histogram) -> Family:
    family = HistogramMetricFamily(histogram.name, histogram.help, labels=histogram.labels)
    for key, cell in histogram.cells.items():
        family.add_metric(values(key), buckets(histogram, cell), cell.sum)
    return family


def shown(gauge: Gauge) -> Iterator[Family]:
    value = gauge.read()
    if value is not None:
        yield GaugeMetricFamily(gauge.name, gauge.help, value=value)


def shown_each(gauges: Gauges) -> Family:
    family = GaugeMetricFamily(gauges.name, gauges.help, labels=gauges.labels)
    for key, value in gauges.read().items():
        family.add_metric(values(key), value)
    return family


def values(key: Labels) -> list[str]:
    return [key] if isinstance(key, str) else list(key)


def buckets(histogram: Histogram, cell: Cell) -> list[tuple[str, float]]:
    """As Prometheus has them: each counts what the ones before it do, too."""
    bounds = [*(str(bound) for bound in histogram.bounds), "+Inf"]
    return list(zip(bounds, accumulate(cell.counts), strict=True))
