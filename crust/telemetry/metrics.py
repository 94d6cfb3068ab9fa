"""What a node counts of itself: every metric, its labels and its meaning.

    metrics.frames_in["ping"] += 1
    metrics.commit_seconds.observe((), 0.004)
    metrics.sockets.read = lambda: len(sockets)

Counting is an addition to a number of ours, because the busiest paths do it; `crust.telemetry.exposition` makes Prometheus' text of it when
somebody asks. Each node has a `Metrics` of its own, made in the composition root and handed down. All of it belongs to the event loop's
thread.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

Labels: TypeAlias = str | tuple[str, ...]
"""The value of a metric's one label; or of all, in their order; `()` where it has none."""

OTHER = "other"  # the label of whatever strangers may name at will, so that they cannot make more and more of them
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"})
CLASSES = ("0xx", "1xx", "2xx", "3xx", "4xx", "5xx")

REQUEST_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
COMMIT_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
FAN_OUT_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0)
GROUP = (1, 2, 5, 10, 20, 50, 100, 200, 500)


class Counter(dict[Labels, int]):
    """Counts that only rise, by labels: `counter["typing"] += 1`, or `counter[()] += 1` without any."""

    def __init__(self, name: str, help: str, *labels: str) -> None:
        super().__init__({} if labels else {(): 0})
        self.name, self.help, self.labels = name, help, labels

    def __missing__(self, key: Labels) -> int:
        return 0


@dataclass(slots=True)
class Cell:
    """What was observed under one set of labels; `counts` has one more than there are bounds."""

    counts: list[int]
    sum: float = 0.0


class Histogram:
    """How often values came up to each of some bounds, by labels."""

    def __init__(self, name: str, help: str, *labels: str, bounds: Sequence[float]) -> None:
        self.name, self.help, self.labels, self.bounds = name, help, labels, bounds
        self.cells: dict[Labels, Cell] = {}
        if not labels:
            self.cells[()] = self._empty()

    def observe(self, key: Labels, value: float) -> None:
        cell = self.cells.get(key)
        if cell is None:
            cell = self.cells[key] = self._empty()
        cell.counts[bisect_left(self.bounds, value)] += 1
        cell.sum += value

    def _empty(self) -> Cell:
        return Cell([0] * (len(self.bounds) + 1))


class Gauge:
    """A value as it is when somebody asks. `read` gives it, or None while nobody knows it; who has it sets `read`."""

    def __init__(self, name: str, help: str) -> None:
        self.name, self.help = name, help
        self.read: Callable[[], float | None] = lambda: None


class Gauges:
    """The same for several values, by labels."""

    def __init__(self, name: str, help: str, *labels: str) -> None:
        self.name, self.help, self.labels = name, help, labels
        self.values: dict[Any, float] = {}  # by `Labels`; a mapping's type takes no other key that is one of them
        self.read: Callable[[], Mapping[Any, float]] = lambda: self.values


Metric = Counter | Histogram | Gauge | Gauges


class Metrics:
    """Everything that one node counts. Times are in seconds."""

    def __init__(self) -> None:
        # ---- requests
        self.request_seconds = Histogram(
            "crust_request_seconds", "Time that requests took; via is http or websocket", "via", "route", "method", "status",
            bounds=REQUEST_S,
        )  # fmt: skip
        # ---- websockets
        self.sockets = Gauge("crust_websocket_open", "Sockets that are open, those not signed in yet included")
        self.people = Gauge("crust_websocket_people", "People who are signed in on a socket of this node")
        self.frames_in = Counter("crust_websocket_frames_in", "Frames that came in, by verb; refused: it was no usable request", "type")
        self.frames_out = Counter("crust_websocket_frames_out", "Frames queued for sockets, one for each receiver, by type", "type")
        self.starts = Counter("crust_websocket_starts", "Sockets that were resumed or began afresh, and why afresh", "start", "why")
        self.refused = Counter("crust_websocket_refused", "Upgrades that were refused, by HTTP status", "status")
        self.closes = Counter("crust_websocket_closes", "Sockets that ended, by our close code; gone: the client ended it", "code")
        # ---- the log, and the fan-out from it
        self.commit_changes = Histogram("crust_commit_changes", "Changes that were committed together", bounds=GROUP)
        self.commit_seconds = Histogram("crust_commit_seconds", "Time of such a commit, with the wait for the lock", bounds=COMMIT_S)
        self.waiting = Gauge("crust_changes_waiting", "Changes that wait for the writer")
        self.log_position = Gauge("crust_log_position", "Where the log ends; missing while the database does not say")
        self.fan_out_lag = Gauge("crust_fan_out_lag_positions", "Positions that the fan-out to sockets is behind the log's end")
        self.fan_out_seconds = Histogram(
            "crust_fan_out_seconds", "Age of a batch's first event when the batch had been queued for the sockets", bounds=FAN_OUT_S
        )
        self.database_unavailable = Counter("crust_database_unavailable", "Times that the database did not do what it was asked")
        # ---- RabbitMQ, and who reads the log beside the fan-out
        self.broker_connected = Gauges(
            "crust_broker_connected", "Whether a connection to RabbitMQ is there, with everything declared", "connection"
        )
        self.broker_blocked = Gauges(
            "crust_broker_blocked", "Whether RabbitMQ takes nothing from a connection: its memory or disk is full", "connection"
        )
        self.broker_troubles = Counter("crust_broker_troubles", "Connections to RabbitMQ that failed or ended", "connection")
        self.broker_dropped = Counter(
            "crust_broker_dropped",
            "Messages of RabbitMQ that were passed over: foreign (another account), moved (sent elsewhere), epoch, unreadable",
            "why",
        )
        self.broker_refused = Counter(
            "crust_broker_refused", "Events that RabbitMQ has refused for a queue, or taken back, as the relay has heard"
        )
        self.relayed = Counter("crust_relay_events", "Events that RabbitMQ has confirmed to this node's relay")
        self.relay_seconds = Histogram("crust_relay_seconds", "Age of an event when RabbitMQ had confirmed it", bounds=FAN_OUT_S)
        self.consumer_lag = Gauges(
            "crust_consumer_lag_positions", "Positions that a consumer is behind the log's end; relay: what is not published", "consumer"
        )
        # ---- deliveries to plugins and bridges
        self.deliveries = Counter(
            "crust_deliveries", "Attempts to deliver an event that ended, and how; died: with their process; lost: written by another",
            "consumer", "how",
        )  # fmt: skip
        self.handler_seconds = Histogram("crust_handler_seconds", "Time that plugins took for an event", "consumer", bounds=REQUEST_S)
        # ---- what plugins are asked for
        self.plugin_calls = Counter(
            "crust_plugin_calls",
            "Commands, routes and jobs of plugins that ended: done, refused, or failed by a bug",
            "plugin",
            "what",
            "how",
        )
        self.plugin_call_seconds = Histogram(
            "crust_plugin_call_seconds", "Time that plugins took for a command, a route or a job", "plugin", "what", bounds=REQUEST_S
        )
        self.plugin_blocks = Counter(
            "crust_plugin_blocks", "Times that a plugin's code kept the process from doing anything else for a second", "plugin", "hook"
        )  # fmt: skip
        self.filter_calls = Counter(
            "crust_filter_calls", "Filters that were asked, and what came of it: passed, rejected, failed; closed: left out for that",
            "plugin", "hook", "how",
        )  # fmt: skip
        self.injects = Counter(
            "crust_injects",
            "What programs sent by RabbitMQ, by what came of it: a reply's state, the code of a refusal, or parked",
            "account",
            "how",
        )
        self.filter_seconds = Histogram("crust_filter_seconds", "Time that filters took", "plugin", "hook", bounds=REQUEST_S)
        self.filters_closed = Gauges("crust_filters_closed", "Whether a plugin's filters are not asked now, having failed", "plugin")
        self.delivery_rows = Gauges("crust_delivery_rows", "Deliveries that are waiting, running or parked", "consumer", "state")
        self.bridge_states = Gauges("crust_bridge_state", "1 for the state of a bridge, or of one of its links", "bridge", "link", "state")
        self.link_lag_seconds = Gauges("crust_link_lag_seconds", "How long the oldest event waits that is to go out", "bridge", "link")
        self.delivery_lanes = Gauges("crust_delivery_lanes", "Lanes whose target fails, or that are parked for it", "consumer", "state")

    def __iter__(self) -> Iterator[Metric]:
        return iter(vars(self).values())

    def request(self, via: str, route: str | None, method: str, status: int, seconds: float) -> None:
        """A request was answered; `route` is None where there is no such path."""
        key = (via, route or OTHER, method if method in METHODS else OTHER, CLASSES[status // 100])
        self.request_seconds.observe(key, seconds)
