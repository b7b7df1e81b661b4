"""Limits that are too tight for the declared counts: of deployments, and `capacity.maxGpus`.

ECS rounds `minimumHealthyPercent` of the count up and `maximumPercent` of it down (service model,
DeploymentConfiguration): with 50-150 % of one replica it may neither stop nor start one.
"""

from __future__ import annotations

from ecs_dynamo.config.build.components import BuiltComponent
from ecs_dynamo.config.reading.document import (
    Document,
    FieldPath,
)
from ecs_dynamo.config.reading.report import Report
from ecs_dynamo.model.ecs.gpus import gpus_of
from ecs_dynamo.model.graph import Component
from ecs_dynamo.model.service_settings import DeploymentLimits
from ecs_dynamo.model.spec.graph import GraphSpec


def check_limits(components: list[BuiltComponent], document: Document, report: Report) -> None:
    """Warn of limits that are widened during a rollout, with a count that they do not fit."""
    for built in components:
        infrastructure = built.component.is_infrastructure
        path: FieldPath = ("infrastructure",) if infrastructure else built.path
        counts = _counts(built.component)
        _check(built.component.limits, counts, (*path, "rollout"), document, report)


def _counts(component: Component) -> range:
    """Return all counts that a component may have."""
    if component.scaling is None:
        return range(component.replicas, component.replicas + 1)
    return component.scaling.counts(component.replicas)


def _check(
    limits: DeploymentLimits, counts: range, path: FieldPath, document: Document, report: Report
) -> None:
    # Rounding weighs most with the fewest replicas, so the smallest count decides.
    count = max(counts.start, 1)
    if count not in counts or limits.can_replace(count):
        return
    least, most = limits.minimum_healthy_percent, limits.maximum_percent
    wider, lower = limits.widened(count).maximum_percent, (count - 1) * 100 // count
    report.warn(
        document,
        (*path, "maximumPercent"),
        f"with a count of {count}, {least}-{most} % mean that {count} must run and {count} may: "
        f"ECS could replace none. During a rollout the limits are {least}-{wider} %",
        f"set maximumPercent to {wider}, or minimumHealthyPercent to {lower} where a replica may "
        "be missing for a while",
    )


def check_max_gpus(
    spec: GraphSpec, components: list[BuiltComponent], document: Document, report: Report
) -> None:
    """Reject a `capacity.maxGpus` that is too low for the smallest counts of all components."""
    most = spec.capacity.max_gpus
    if most is None:
        return
    least = {
        built.component.name: _counts(built.component).start * gpus_of(built.component)
        for built in components
        if not built.component.is_infrastructure
    }
    total = sum(least.values())
    if total > most:
        parts = ", ".join(f"{name} {count}" for name, count in least.items() if count)
        report.error(
            document,
            ("capacity", "maxGpus"),
            f"the smallest counts of all components use {total} GPUs ({parts}), more than {most}",
            f"set it to {total} or more, or lower min or replicas of a component",
        )
