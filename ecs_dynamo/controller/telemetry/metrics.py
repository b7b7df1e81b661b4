"""Prometheus metrics of the daemon. Labels are graph, component and words from a fixed set."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from ecs_dynamo.aws.client import Aws
from ecs_dynamo.controller.reconcile.reconciler import Pass
from ecs_dynamo.controller.triggers.ecs_events import (
    KINDS,
    TaskEvents,
)
from ecs_dynamo.model.conditions import ConditionType


class _AwsCalls(Collector):
    """The call counts that the AWS clients keep themselves."""

    def __init__(self) -> None:
        self.clients: list[Aws] = []

    def collect(self) -> Iterator[CounterMetricFamily]:
        family = CounterMetricFamily(
            "ecs_dynamo_aws_calls", "Attempts at AWS API calls.", labels=("service", "operation")
        )
        totals: dict[str, int] = {}
        for client in self.clients:
            for name, count in client.calls.items():
                totals[name] = totals.get(name, 0) + count
        for name, count in sorted(totals.items()):
            service, operation = name.split(":")
            family.add_metric((service, operation), count)
        yield family

    def describe(self) -> Iterable[CounterMetricFamily]:
        return ()


class _Messages(Collector):
    """What the reader of ECS's events counts itself."""

    def __init__(self) -> None:
        self.events: TaskEvents | None = None

    def collect(self) -> Iterator[Metric]:
        if self.events is None:
            return
        family = CounterMetricFamily(
            "ecs_dynamo_event_messages", "Messages of the event queue.", labels=("kind",)
        )
        for kind in KINDS:
            family.add_metric((kind,), self.events.messages[kind])
        yield family
        yield GaugeMetricFamily(
            "ecs_dynamo_event_queue_up",
            "1 where the event queue can be read.",
            value=self.events.problem is None,
        )

    def describe(self) -> Iterable[Metric]:
        return ()


class _Ages(Collector):
    """The age of what is known of each component, at the time of the scrape."""

    def __init__(self) -> None:
        self.known: dict[str, Mapping[str, float]] = {}
        """Graph -> component -> when it was last observed whole, on the monotonic clock."""

    def collect(self) -> Iterator[GaugeMetricFamily]:
        family = GaugeMetricFamily(
            "ecs_dynamo_observation_age_seconds",
            "Seconds since the component was last observed whole.",
            labels=("graph", "component"),
        )
        now = time.monotonic()
        for graph, components in self.known.items():
            for name, at in components.items():
                family.add_metric((graph, name), max(0.0, now - at))
        yield family

    def describe(self) -> Iterable[GaugeMetricFamily]:
        return ()


class Metrics:
    """One registry for a daemon; `record` takes a pass, `text` gives the exposition."""

    def __init__(self) -> None:
        registry = self._registry = CollectorRegistry()
        self._calls, self._messages, self._ages = _AwsCalls(), _Messages(), _Ages()
        registry.register(self._calls)
        registry.register(self._ages)
        registry.register(self._messages)
        graph = ("graph",)
        component = ("graph", "component")
        self._passes = Counter(
            "ecs_dynamo_passes", "Passes by result.", (*graph, "result"), registry=registry
        )
        self._duration = Histogram(
            "ecs_dynamo_pass_duration_seconds",
            "Duration of a pass.",
            graph,
            registry=registry,
            buckets=(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 60),
        )
        self._last = Gauge(
            "ecs_dynamo_last_pass_timestamp_seconds",
            "When the last pass that saw everything ended.",
            graph,
            registry=registry,
        )
        self._actions = Counter(
            "ecs_dynamo_actions",
            "Actions by kind and result.",
            (*component, "action", "result"),
            registry=registry,
        )
        self._replicas = Gauge(
            "ecs_dynamo_replicas",
            "Replicas by state (desired, running, ready; registered and routed: workers; "
            "unplaced: they find no place).",
            (*component, "state"),
            registry=registry,
        )
        self._unattributed = Gauge(
            "ecs_dynamo_registrations_unattributed",
            "Registrations of workers in Dynamo's discovery that count for no task.",
            graph,
            registry=registry,
        )
        self._conditions = Gauge(
            "ecs_dynamo_condition",
            "1 where the condition holds; component is empty for the graph.",
            (*component, "type"),
            registry=registry,
        )
        self._signals = Gauge(
            "ecs_dynamo_signal",
            "The last measured demand.",
            (*component, "kind", "source"),
            registry=registry,
        )
        self._signal_age = Gauge(
            "ecs_dynamo_signal_age_seconds",
            "Age of the newest signal.",
            component,
            registry=registry,
        )
        self._endpoint_changes = Counter(
            "ecs_dynamo_endpoint_changes",
            "How often an endpoint moved.",
            (*graph, "role"),
            registry=registry,
        )
        self._leads = Gauge(
            "ecs_dynamo_leads", "1 where this daemon leads.", graph, registry=registry
        )
        self._malformed = Gauge(
            "ecs_dynamo_malformed_answers",
            "Answers of replicas, and keys of etcd, that the last pass could not use.",
            graph,
            registry=registry,
        )
        self._lost = Gauge(
            "ecs_dynamo_lost_replicas",
            "Replicas of a good revision that served and hang, are not registered, or are gone.",
            component,
            registry=registry,
        )
        self._nobody = Gauge(
            "ecs_dynamo_serves_nobody",
            "1 where the graph served requests before and can serve none now.",
            graph,
            registry=registry,
        )
        self._before: dict[str, Pass] = {}

    def lead(self, graph: str, leads: bool) -> None:
        """Whether this daemon leads on ``graph``."""
        self._leads.labels(graph).set(leads)

    def follow(self, aws: Aws) -> None:
        """Count the calls of ``aws`` too."""
        self._calls.clients.append(aws)

    def follow_events(self, events: TaskEvents) -> None:
        """Count the messages that ``events`` reads, and its calls."""
        self._messages.events = events
        self.follow(events.aws)

    def failed(self, graph: str) -> None:
        """A pass that ended in an error."""
        self._passes.labels(graph, "error").inc()

    def failing(self, graph: str, failing: bool) -> None:
        """Whether passes fail now, as a condition of the graph."""
        self._conditions.labels(graph, "", ConditionType.RECONCILE_FAILED.value).set(failing)

    def record(self, done: Pass) -> None:
        """Take a pass."""
        graph = done.plan.graph
        whole = not done.unknown and not done.failed
        self._passes.labels(graph, "ok" if whole else "incomplete").inc()
        self._duration.labels(graph).observe(done.seconds)
        self._malformed.labels(graph).set(len(done.malformed))
        if whole:
            self._last.labels(graph).set(done.at + done.seconds)
        for result in done.results:
            outcome = "skipped" if result.skipped else "ok" if result.ok else "failed"
            self._actions.labels(
                graph, result.action.component, type(result.action).__name__, outcome
            ).inc()
        self._ages.known[graph] = {n: k.at.monotonic for n, k in done.known.components.items()}
        for name, counts in done.plan.replicas.items():
            if name in done.plan.unknown:
                continue  # The gauges keep the last known values; their age is a metric too.
            for state in ("desired", "running", "ready", "registered", "routed"):
                value = getattr(counts, state)
                if value is not None:
                    self._replicas.labels(graph, name, state).set(value)
            self._lost.labels(graph, name).set(done.plan.lost.get(name, 0))
            short = (s.replicas for s in done.plan.shortages if s.component == name)
            self._replicas.labels(graph, name, "unplaced").set(sum(short))
        self._nobody.labels(graph).set(done.plan.serves_nobody)
        self._unattributed.labels(graph).set(len(done.plan.unattributed))
        for condition in done.plan.conditions:
            self._conditions.labels(graph, condition.component or "", condition.type.value).set(
                condition.status
            )
        ages: dict[str, float] = {}
        for signal in done.snapshot.signals:
            self._signals.labels(graph, signal.component, signal.kind, signal.source).set(
                signal.value
            )
            age = signal.age(done.now.monotonic)
            ages[signal.component] = min(age, ages.get(signal.component, age))
        for name, age in ages.items():
            self._signal_age.labels(graph, name).set(age)
        before = self._before.get(graph)
        for role in ("etcd", "nats"):
            was = getattr(before.plan.endpoints, role) if before else None
            now = getattr(done.plan.endpoints, role)
            if was is not None and now is not None and was != now:
                self._endpoint_changes.labels(graph, role).inc()
        # A role may be without an endpoint for a while: remember the last that there was.
        if before is None or None not in (done.plan.endpoints.etcd, done.plan.endpoints.nats):
            self._before[graph] = done

    def text(self) -> bytes:
        """The Prometheus text exposition."""
        return generate_latest(self._registry)
