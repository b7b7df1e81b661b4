"""Checks of the graph as a whole, whose parts are well-formed.

Errors are for what can never work, warnings for what runs but may surprise. The rules about single
tasks are in `tasks`.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError
from pydantic.alias_generators import to_camel

from ecs_dynamo.config.build.components import RESERVED_NAMES
from ecs_dynamo.config.checks.rebalancing import check_rebalancing
from ecs_dynamo.config.reading.document import (
    Document,
    FieldPath,
)
from ecs_dynamo.config.reading.report import Report
from ecs_dynamo.model.graph import DECODING_ROLES, SERVICE_TAGS, WORKER_ROLES, Role
from ecs_dynamo.model.spec.component import ComponentSpec
from ecs_dynamo.model.spec.graph import GraphSpec
from ecs_dynamo.model.spec.scaling import ScalingSpec, SloScaling, ignored_parameters
from ecs_dynamo.model.spec.service import LaunchType

_RESERVED_TAGS: Final = ("aws:", "ecs-dynamo:")
_MAX_TAGS: Final = 50 - len(SERVICE_TAGS)
"""Most tags of a user. A resource has at most 50 (TagResource in ECS's service model)."""
_SCHEMES: Final = {"etcd": ("http", "https"), "nats": ("nats", "tls")}


def check_graph(spec: GraphSpec, document: Document, report: Report) -> None:
    """Check everything that depends on the graph file only."""
    _check_names(spec, document, report)
    _check_roles(spec, document, report)
    _check_nats(spec, document, report)
    _check_external_endpoints(spec, document, report)
    _check_tags(spec, document, report)
    _check_capacity(spec, document, report)
    _check_zero(spec, document, report)
    for index, component in enumerate(spec.components):
        _check_component(component, ("components", index), document, report)


def _check_names(spec: GraphSpec, document: Document, report: Report) -> None:
    first: dict[str, int] = {}
    for index, component in enumerate(spec.components):
        path = ("components", index, "name")
        name = component.name
        if name in RESERVED_NAMES:
            message = f"the name {name!r} is reserved for the infrastructure"
            report.error(document, path, message, "rename the component")
        elif name in first:
            message = f"two components are called {name!r} (first: components[{first[name]}])"
            report.error(document, path, message, "rename one of them")
        first.setdefault(name, index)


def _check_roles(spec: GraphSpec, document: Document, report: Report) -> None:
    where: FieldPath = ("components",)
    roles = _roles_of(spec)
    if Role.FRONTEND not in roles:
        report.error(
            document, where, "no component is a frontend", "add a component of type frontend"
        )
    if not roles & WORKER_ROLES:
        report.error(
            document,
            where,
            "no component serves a model",
            "add a component of type worker, or prefill and decode; where the frontend's task "
            "runs a worker too, give it alsoRuns: [decode]",
        )
    if Role.PREFILL in roles and not roles & DECODING_ROLES:
        report.error(
            document,
            where,
            "there is prefill but no decode, so no request would ever be answered",
            "add a component of type decode, or alsoRuns: [decode] where its task runs one",
        )
    if Role.DECODE in roles and not roles & {Role.PREFILL, Role.WORKER}:
        report.warn(
            document,
            where,
            "there is decode but no prefill: a worker in decode mode waits for prefill workers",
            "add a component of type prefill, or make it type worker",
        )


def _roles_of(spec: GraphSpec) -> set[Role]:
    return {Role(t.value) for c in spec.components for t in (c.type, *c.also_runs)}


def _check_nats(spec: GraphSpec, document: Document, report: Report) -> None:
    if spec.infrastructure.has_nats:
        return
    remedy = "add infrastructure.nats (a taskDefinition or endpoints)"
    for key, plane in (
        ("requestPlane", spec.runtime.request_plane),
        ("eventPlane", spec.runtime.event_plane),
    ):
        if plane == "nats":
            report.error(document, ("runtime", key), f"{key} nats needs NATS", remedy)
    for index, component in enumerate(spec.components):
        for number, signal in enumerate(component.scaling.signals if component.scaling else ()):
            if signal.source == "jetstream" and signal.monitoring_url is None:
                path = ("components", index, "scaling", "signals", number, "source")
                report.error(document, path, "the source jetstream needs NATS", remedy)


def _check_external_endpoints(spec: GraphSpec, document: Document, report: Report) -> None:
    for name, server in (("etcd", spec.infrastructure.etcd), ("nats", spec.infrastructure.nats)):
        schemes = _SCHEMES[name]
        for index, url in enumerate(server.endpoints if server else ()):
            try:
                parts = urlsplit(url)
                # `port` is parsed on access, and raises ValueError where it is invalid.
                valid = parts.scheme in schemes and bool(parts.hostname and parts.port)
                secret = parts.password is not None
            except ValueError:
                valid, secret = False, False
            path = ("infrastructure", name, "endpoints", index)
            if secret:
                message = "a password in an endpoint would be readable in every task definition"
                remedy = f"declare it as a secret in infrastructure.security.{name}"
                report.error(document, path, message, remedy)
            elif not valid:
                message = "this is not a URL with host and port"
                report.error(document, path, message, f"write {schemes[0]}://host:port")


def _check_tags(spec: GraphSpec, document: Document, report: Report) -> None:
    if len(spec.tags) > _MAX_TAGS:
        message = (
            f"{len(spec.tags)} tags are more than the {_MAX_TAGS} that may be declared: a service "
            f"has at most 50 tags, and {len(SERVICE_TAGS)} of them are ecs-dynamo's own"
        )
        report.error(document, ("tags",), message, "remove some")
    for key, value in spec.tags.items():
        path = ("tags", key)
        if key.lower().startswith(_RESERVED_TAGS):
            report.error(document, path, f"the tag {key!r} has a reserved prefix", "rename it")
        if not 1 <= len(key) <= 128 or len(value) > 256:
            message = "AWS accepts tag keys of 1 to 128 and values of up to 256 characters"
            report.error(document, path, message, "shorten it")


def _check_capacity(spec: GraphSpec, document: Document, report: Report) -> None:
    workers = spec.clusters.workers
    used = {
        c.cluster or workers for c in spec.components if c.effective_launch_type is LaunchType.EC2
    }
    for index, group in enumerate(spec.capacity.auto_scaling_groups):
        cluster = group.cluster or workers
        if cluster not in used:
            report.error(
                document,
                ("capacity", "autoScalingGroups", index, "cluster" if group.cluster else "name"),
                f"no component runs on EC2 in cluster {cluster}: the group would not serve any",
                f"name one of {', '.join(sorted(used))}" if used else "remove the group",
            )


def _is_http(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname)


def _check_scaling(
    component: ComponentSpec,
    scaling: ScalingSpec,
    path: FieldPath,
    document: Document,
    report: Report,
) -> None:
    for index, window in enumerate(scaling.schedule):
        place = (*path, "schedule", index)
        try:
            CronSim(window.cron, datetime(2026, 1, 1, tzinfo=UTC))
        except CronSimError as error:
            message = f"{window.cron!r} is not a cron expression: {error}"
            remedy = 'write minute hour day month weekday, such as "0 8 * * 1-5"'
            report.error(document, (*place, "cron"), message, remedy)
        try:
            ZoneInfo(window.timezone)
        except (KeyError, ValueError, OSError):
            message = f"there is no time zone {window.timezone!r}"
            report.error(document, (*place, "timezone"), message, "write one like Europe/Berlin")
    types = {t.value for t in (component.type, *component.also_runs)}
    has_rate = False
    for index, signal in enumerate(scaling.signals):
        place = (*path, "signals", index)
        has_rate = has_rate or signal.source == "frontend"
        has_rate = has_rate or getattr(signal, "kind", None) == "arrival_rate"
        if signal.source == "planner" and not types & {"prefill", "decode", "worker"}:
            message = "Dynamo's planner decides the counts of prefill and decode workers only"
            report.error(document, (*place, "source"), message, "use another source")
        for key in ("url", "monitoring_url"):
            url = getattr(signal, key, None)
            if url is not None and not _is_http(url):
                message = f"{url!r} is not an HTTP URL"
                remedy = "write http://host:port"
                report.error(document, (*place, to_camel(key)), message, remedy)
    for key in ignored_parameters(document.value_at(path)):
        report.warn(
            document,
            (*path, key),
            f"policy {scaling.policy_name} has no parameter {key}: it has no effect",
            "remove it, or change the policy",
        )
    if isinstance(scaling, SloScaling) and not has_rate and scaling.signals[0].source != "planner":
        report.warn(
            document,
            (*path, "policy"),
            "policy slo forecasts from an arrival rate, which none of the signals provides: it "
            "decides by queue depth only",
            "add the signal {source: frontend} or one of kind arrival_rate, or set policy queue",
        )


def _check_component(
    component: ComponentSpec, path: FieldPath, document: Document, report: Report
) -> None:
    for name in ("ETCD_ENDPOINTS", "NATS_SERVER"):
        if name in component.env:
            report.warn(
                document,
                (*path, "env", name),
                f"{name} is replaced by the endpoint that ecs-dynamo finds",
                "remove it; for your own etcd or NATS use infrastructure.*.endpoints",
            )
    if "" in component.env:
        report.error(document, (*path, "env"), "a variable has an empty name", "name it")
    check_rebalancing(component, path, document, report)
    if component.scaling is not None:
        _check_scaling(component, component.scaling, (*path, "scaling"), document, report)


def _check_zero(spec: GraphSpec, document: Document, report: Report) -> None:
    """Warn where a component cannot leave zero, or never reaches it."""
    for index, component in enumerate(spec.components):
        scaling = component.scaling
        if scaling is None or _least(component) > 0:
            continue
        place = ("components", index, "scaling", "min")
        others = _counterparts(spec, component)
        floor = next((c for c in others if _least(c) > 0), None)
        if floor is not None:
            count = _least(floor)
            report.warn(
                document,
                place,
                f"it is kept at 1 while {floor.name} has at least {count} "
                f"replica{'s' if count > 1 else ''}, because no request is served without it",
                f"{_let_reach_zero(floor)}, or set min of {component.name} to 1",
            )
        elif not scaling.follows_demand:
            continue  # It is at zero because the file or a window says so.
        elif not any(map(_wakes, (component, *others))):
            report.warn(
                document,
                place,
                "without a ready worker Dynamo's frontends queue and count nothing, so no signal "
                "reports demand at zero: it would not start again",
                "add a signal of another source (prometheus, cloudwatch or jetstream) or a "
                "schedule with min, or set min to 1",
            )


def _counterparts(spec: GraphSpec, component: ComponentSpec) -> list[ComponentSpec]:
    """Return the components of the role without which ``component`` serves nothing."""
    other = {"prefill": "decode", "decode": "prefill"}.get(component.type.value)
    if other is None or Role.WORKER in _roles_of(spec):
        return []
    return [c for c in spec.components if c.type.value == other]


def _least(component: ComponentSpec) -> int:
    scaling, replicas = component.scaling, component.replicas
    return replicas if scaling is None else scaling.counts(replicas).start


def _let_reach_zero(component: ComponentSpec) -> str:
    if component.scaling is None or not component.scaling.follows_demand:
        return f"scale {component.name} by policy slo or queue with min 0 as well"
    return f"set min of {component.name} to 0 as well"


def _wakes(component: ComponentSpec) -> bool:
    """Return whether a signal or the clock can start a component at zero."""
    scaling = component.scaling
    if scaling is None:
        return False
    if not scaling.follows_demand:
        return len(scaling.counts(component.replicas)) > 1
    outside = any(s.source not in ("frontend", "planner") for s in scaling.signals)
    return outside or any(window.min for window in scaling.schedule)
