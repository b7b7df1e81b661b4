"""The daemon's Prometheus metrics. Labels are graph, component and words from fixed sets."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from ecs_dynamo.aws.client import Aws
from ecs_dynamo.controller.reconcile.reconciler import Pass
from ecs_dynamo.controller.triggers.ecs_events import EventQueueReader, MessageKind
from ecs_dynamo.model.conditions import ConditionType
from ecs_dynamo.model.generations import Generations, origin_of
from ecs_dynamo.model.plan import Endpoints, Plan, ReplicaCounts


class _AwsCalls(Collector):
    """Collects the call counts that the AWS clients keep."""

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


class _Messages(Collector):
    """Collects the message counts that the reader of the event queue keeps."""

    def __init__(self) -> None:
        self.reader: EventQueueReader | None = None

    def collect(self) -> Iterator[Metric]:
        if self.reader is None:
            return
        family = CounterMetricFamily(
            "ecs_dynamo_event_messages", "Messages of the event queue.", labels=("kind",)
        )
        for kind in MessageKind:
            family.add_metric((kind.value,), self.reader.messages[kind])
        yield family
        yield GaugeMetricFamily(
            "ecs_dynamo_event_queue_up",
            "1 while the event queue can be read.",
            value=self.reader.problem is None,
        )


class _ObservationAges(Collector):
    """Computes the age of each component's last complete observation at the time of a scrape."""

    def __init__(self) -> None:
        self.observed_at: dict[str, Mapping[str, float]] = {}
        """Graph -> component -> time of the last complete observation, on the monotonic clock."""

    def collect(self) -> Iterator[GaugeMetricFamily]:
        family = GaugeMetricFamily(
            "ecs_dynamo_observation_age_seconds",
            "Seconds since the component was last observed completely.",
            labels=("graph", "component"),
        )
        now = time.monotonic()
        for graph, components in self.observed_at.items():
            for name, at in components.items():
                family.add_metric((graph, name), max(0.0, now - at))
        yield family


class _GenerationNames(Collector):
    """Shows which generations of workers each graph has now: at most three samples per graph."""

    def __init__(self) -> None:
        self.known: dict[str, Generations] = {}
        """Graph -> its generations in the last pass."""

    def collect(self) -> Iterator[GaugeMetricFamily]:
        family = GaugeMetricFamily(
            "ecs_dynamo_generation_info",
            "1 for each generation of workers with a function (declared, target, previous).",
            labels=("graph", "function", "generation"),
        )
        for graph, generations in self.known.items():
            for function in ("declared", "target", "previous"):
                generation = getattr(generations, function)
                if generation is not None:
                    family.add_metric((graph, function, generation), 1)
        yield family


STATES = ("desired", "running", "ready", "registered", "routed")


def _total(counts: Iterable[ReplicaCounts], state: str) -> int | None:
    """Return the sum of a count, without the unknown ones; None if all of them are unknown."""
    values = [value for c in counts if (value := getattr(c, state)) is not None]
    return sum(values) if values else None


class Metrics:
    """The registry of one daemon: `record` takes a pass, `text` returns the exposition."""

    def __init__(self) -> None:
        registry = self._registry = CollectorRegistry()
        self._calls, self._messages, self._ages = _AwsCalls(), _Messages(), _ObservationAges()
        self._generations = _GenerationNames()
        registry.register(self._calls)
        registry.register(self._ages)
        registry.register(self._generations)
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
            "End of the last pass with a complete observation.",
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
            "Replicas by state (desired, running, ready; registered and routed: workers only; "
            "unplaced: no instance has capacity for them), in all generations together.",
            (*component, "state"),
            registry=registry,
        )
        self._generation_replicas = Gauge(
            "ecs_dynamo_generation_replicas",
            "Replicas of workers by generation (target: the one that is to serve; other: all other "
            "ones together) and state.",
            (*component, "generation", "state"),
            registry=registry,
        )
        self._unattributed = Gauge(
            "ecs_dynamo_registrations_unattributed",
            "Registrations of workers in Dynamo's discovery that belong to no known task.",
            graph,
            registry=registry,
        )
        self._conditions = Gauge(
            "ecs_dynamo_condition",
            "1 while the condition is true; the component is empty for the graph's own.",
            (*component, "type"),
            registry=registry,
        )
        self._recommended = Gauge(
            "ecs_dynamo_recommended_replicas",
            "Replicas that the scaling policy recommends, before bounds, steps and shared limits.",
            component,
            registry=registry,
        )
        self._signals = Gauge(
            "ecs_dynamo_signal",
            "Last measured value of a signal.",
            (*component, "kind", "source"),
            registry=registry,
        )
        self._signal_age = Gauge(
            "ecs_dynamo_signal_age_seconds",
            "Age of the newest signal.",
            component,
            registry=registry,
        )
        self._migrations = Counter(
            "ecs_dynamo_request_migrations",
            "Requests that frontends tried to move to another worker, by kind (new_request, "
            "ongoing_request); too_long: beyond --migration-max-seq-len, so they cannot be moved.",
            (*graph, "kind"),
            registry=registry,
        )
        self._endpoint_changes = Counter(
            "ecs_dynamo_endpoint_changes",
            "Changes of an endpoint.",
            (*graph, "role"),
            registry=registry,
        )
        self._leads = Gauge(
            "ecs_dynamo_leads", "1 while this daemon is the leader.", graph, registry=registry
        )
        self._malformed = Gauge(
            "ecs_dynamo_malformed_answers",
            "Malformed answers of replicas and keys of etcd in the last pass.",
            graph,
            registry=registry,
        )
        self._lost = Gauge(
            "ecs_dynamo_lost_replicas",
            "Replicas of a good revision that were ready and now hang, are unregistered or gone.",
            component,
            registry=registry,
        )
        self._serves_nobody = Gauge(
            "ecs_dynamo_serves_nobody",
            "1 while a graph that has served requests can serve none.",
            graph,
            registry=registry,
        )
        self._endpoints: dict[str, Endpoints] = {}
        """The last endpoints of both roles, by graph."""

    def set_leads(self, graph: str, *, leads: bool) -> None:
        """Set whether this daemon is the leader for ``graph``."""
        self._leads.labels(graph).set(leads)

    def add_client(self, aws: Aws) -> None:
        """Include the calls of an AWS client."""
        self._calls.clients.append(aws)

    def add_event_queue(self, reader: EventQueueReader) -> None:
        """Include the messages and calls of the reader of the event queue."""
        self._messages.reader = reader
        self.add_client(reader.aws)

    def count_failed_pass(self, graph: str) -> None:
        """Count a pass that ended in an error."""
        self._passes.labels(graph, "error").inc()

    def set_failing(self, graph: str, *, failing: bool) -> None:
        """Set the graph's condition ReconcileFailed."""
        self._conditions.labels(graph, "", ConditionType.RECONCILE_FAILED.value).set(failing)

    def record(self, done: Pass) -> None:
        """Update all metrics of a graph from a completed pass."""
        graph = done.plan.graph
        self._passes.labels(graph, "ok" if done.complete else "incomplete").inc()
        self._duration.labels(graph).observe(done.seconds)
        self._malformed.labels(graph).set(len(done.malformed))
        if done.complete:
            self._last.labels(graph).set(done.at + done.seconds)
        self._record_actions(done)
        self._record_replicas(done)
        self._serves_nobody.labels(graph).set(done.plan.serves_nobody)
        self._unattributed.labels(graph).set(len(done.plan.unattributed))
        self._generations.known[graph] = done.plan.generations
        self._record_conditions(done)
        self._record_signals(done)
        for kind, count in done.snapshot.migrations.items():
            self._migrations.labels(graph, kind).inc(count)
        for decision in done.plan.decisions:
            if decision.demand is not None:
                self._recommended.labels(graph, decision.component).set(decision.demand)
        self._record_endpoints(done)

    def _record_actions(self, done: Pass) -> None:
        for result in done.results:
            outcome = "skipped" if result.skipped else "ok" if result.ok else "failed"
            action = type(result.action).__name__
            origin = origin_of(result.action.component)
            self._actions.labels(done.plan.graph, origin, action, outcome).inc()

    def _record_replicas(self, done: Pass) -> None:
        """Record the replicas of each declared component, in all generations together."""
        graph, plan = done.plan.graph, done.plan
        oldest: dict[str, float] = {}
        for name, known in done.known.components.items():
            origin, at = origin_of(name), known.at.monotonic
            oldest[origin] = min(at, oldest.get(origin, at))
        self._ages.observed_at[graph] = oldest
        by_origin: dict[str, list[str]] = {}
        for name in plan.replicas:
            by_origin.setdefault(origin_of(name), []).append(name)
        for origin, names in by_origin.items():
            if any(name in plan.unknown for name in names):
                continue  # The gauges keep the last known values; their age is a metric of its own.
            for state in STATES:
                value = _total((plan.replicas[name] for name in names), state)
                if value is not None:
                    self._replicas.labels(graph, origin, state).set(value)
            self._lost.labels(graph, origin).set(sum(plan.lost.get(name, 0) for name in names))
            unplaced = sum(s.replicas for s in plan.shortages if s.component in names)
            self._replicas.labels(graph, origin, "unplaced").set(unplaced)
            if plan.generations.target is not None or len(names) > 1:
                self._record_generations(plan, origin, names)

    def _record_generations(self, plan: Plan, origin: str, names: Sequence[str]) -> None:
        """Record the replicas of a worker component in the target generation, and in others."""
        if plan.effective is None or not plan.effective.component(origin).is_worker:
            return
        for word, own in (("target", [origin]), ("other", [n for n in names if n != origin])):
            for state in STATES:
                value = _total((plan.replicas[name] for name in own), state)
                gauge = self._generation_replicas.labels(plan.graph, origin, word, state)
                gauge.set(0 if value is None else value)

    def _record_conditions(self, done: Pass) -> None:
        """Record the conditions of each declared component.

        Those of its generations count together: it is Ready if all are, and another condition is
        true if that of one of them is.
        """
        statuses: dict[tuple[str, ConditionType], list[bool]] = {}
        for condition in done.plan.conditions:
            key = origin_of(condition.component or ""), condition.type
            statuses.setdefault(key, []).append(condition.status)
        for (name, kind), values in statuses.items():
            status = all(values) if kind is ConditionType.READY else any(values)
            self._conditions.labels(done.plan.graph, name, kind.value).set(status)

    def _record_signals(self, done: Pass) -> None:
        graph = done.plan.graph
        ages: dict[str, float] = {}
        for signal in done.snapshot.signals:
            self._signals.labels(graph, signal.component, signal.kind, signal.source).set(
                signal.value
            )
            age = signal.age(done.now.monotonic)
            ages[signal.component] = min(age, ages.get(signal.component, age))
        for name, age in ages.items():
            self._signal_age.labels(graph, name).set(age)

    def _record_endpoints(self, done: Pass) -> None:
        graph, endpoints = done.plan.graph, done.plan.endpoints
        before = self._endpoints.setdefault(graph, endpoints)
        for role in ("etcd", "nats"):
            previous, current = getattr(before, role), getattr(endpoints, role)
            if previous is not None and current is not None and previous != current:
                self._endpoint_changes.labels(graph, role).inc()
        # A role may have no endpoint for a while: compare with the last one that it had.
        if None not in (endpoints.etcd, endpoints.nats):
            self._endpoints[graph] = endpoints

    def text(self) -> bytes:
        """Return the Prometheus text exposition."""
        return generate_latest(self._registry)
