"""The actions that create and update a service, with only what differs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from ecs_dynamo.model.graph import TAG_REPLICAS, Component
from ecs_dynamo.model.plan import (
    CreateService,
    RegisterTaskDefinition,
    TagService,
    UpdateService,
)
from ecs_dynamo.model.purposes import ActionPurpose, WaitPurpose
from ecs_dynamo.model.service import Service
from ecs_dynamo.model.service_settings import (
    DeploymentLimits,
    Effect,
    ServiceSettings,
    difference,
    reasons_of,
    with_effect,
)
from ecs_dynamo.planning.desired.component import (
    ComponentState,
    existing_revision,
    ownership_tags,
)
from ecs_dynamo.planning.desired.context import PlanContext
from ecs_dynamo.planning.desired.plan_builder import PlanBuilder
from ecs_dynamo.planning.desired.service_settings import rebalancing_allowed, tag_change


def _register(builder: PlanBuilder, context: PlanContext, state: ComponentState) -> PlanBuilder:
    """Register the desired revision, unless ECS has it already."""
    revision = existing_revision(state)
    if revision is None or revision.arn is not None or state.content is None:
        return builder
    current = state.current
    if current is not None and current.fingerprint == revision.fingerprint and not current.active:
        why = f"{current.family}:{current.number} was deregistered or deleted"
    else:
        generation = state.component.generation
        first = "first revision" if generation is None else f"first revision of {generation}"
        why = first if current is None else "content differs from the running one"
    registration = RegisterTaskDefinition(
        component=state.name,
        reason=f"{why} (fingerprint {revision.fingerprint})",
        family=revision.family,
        fingerprint=revision.fingerprint,
        content=state.content,
        tags=ownership_tags(context.graph, state.component, revision.fingerprint),
    )
    return builder.with_actions([registration])


def register_again(context: PlanContext, builder: PlanBuilder) -> PlanBuilder:
    """Rule: register a running revision again that somebody deregistered or deleted.

    ECS continues with it, and scales it, but sets no service to it any longer (ECS API reference,
    DeregisterTaskDefinition). The service stays as it is; the next rollout has a revision to use.
    """
    for state in context.actionable:
        current = state.current
        if current is not None and not current.active and not state.needs_rollout:
            builder = _register(builder, context, state)
    return builder


def create_service(
    builder: PlanBuilder, context: PlanContext, state: ComponentState
) -> PlanBuilder:
    """Register the first revision and create the service; nothing while it has no content."""
    revision = existing_revision(state)
    if revision is None:
        return builder
    component, settings = state.component, context.settings(state)
    rebalancing = rebalancing_allowed(settings, component.limits.maximum_percent)
    builder = _register(builder, context, state)
    creation = CreateService(
        component=component.name,
        reason=f"declared with {state.desired} replicas, and there is no such service",
        cluster=component.cluster,
        service=component.service,
        revision=revision,
        desired=state.desired,
        settings=replace(settings, availability_zone_rebalancing=rebalancing),
        tags=_service_tags(context, component),
    )
    text = f"service {component.service} is being created"
    builder = builder.with_actions([creation])
    return builder.with_wait(component.name, WaitPurpose.SERVICE_CREATED, text)


def _service_tags(context: PlanContext, component: Component) -> Mapping[str, str]:
    """Return the tags of a new service, with the replicas of all generations in an exchange."""
    tags = dict(ownership_tags(context.graph, component))
    total = context.exchange.totals.get(component.name)
    if total is not None and component.scaling is not None:
        tags[TAG_REPLICAS] = str(total)
    return tags


def _desired_now(
    component: Component,
    observed: ServiceSettings,
    settings: ServiceSettings,
    limits: DeploymentLimits | None,
) -> tuple[ServiceSettings, str | None]:
    """Return ``settings`` with the limits of this pass and their consequences, and a note."""
    in_force = limits or observed.limits or DeploymentLimits()
    rebalancing = rebalancing_allowed(settings, in_force.maximum_percent)
    note = None
    if settings.availability_zone_rebalancing and not rebalancing:
        note = (
            f"{component.name}: Availability Zone rebalancing is off while its replicas are "
            "replaced within 100 %: ECS does not accept both"
        )
    desired = replace(settings, limits=limits, availability_zone_rebalancing=rebalancing)
    return desired, note


def update_service(
    builder: PlanBuilder,
    context: PlanContext,
    state: ComponentState,
    *,
    may_roll: bool,
    reason: str,
    limits: DeploymentLimits | None,
) -> PlanBuilder:
    """Change with one UpdateService what differs; add no action if nothing does.

    ``limits`` None leaves the deployment limits alone. Settings that need a new deployment change
    only with a rollout.
    """
    service, component = state.service, state.component
    if service is None:
        return builder
    observed = service.settings
    settings, note = _desired_now(component, observed, context.settings(state), limits)
    builder = builder.with_notes([note])
    differing = difference(observed, settings)
    in_place = with_effect(differing, Effect.IN_PLACE)
    changes, revision, reasons = in_place, None, []
    if state.needs_rollout and may_roll:
        revision = existing_revision(state)
        builder = _register(builder, context, state)
        changes = with_effect(differing, Effect.IN_PLACE, Effect.NEW_DEPLOYMENT)
        if observed.health_check_grace_seconds is None:
            # Where ECS does not report it, it cannot be compared: it is set with each rollout.
            changes = changes.updated(settings.only({"health_check_grace_seconds"}))
        reasons.append(reason)
    desired = state.desired if service.desired != state.desired else None
    if desired is not None:
        reasons.append(f"replicas {service.desired} -> {desired}")
    reasons += reasons_of(observed, in_place)
    if reasons:
        update = UpdateService(
            component=component.name,
            reason="; ".join(reasons),
            cluster=component.cluster,
            service=component.service,
            revision=revision,
            desired=desired,
            settings=changes,
        )
        builder = builder.with_actions([update])
    return _retag(builder, context, state, service)


def _retag(
    builder: PlanBuilder, context: PlanContext, state: ComponentState, service: Service
) -> PlanBuilder:
    """Bring the user's tags to what is declared; running tasks keep theirs."""
    known = state.observed.snapshot.revisions.values()
    change = tag_change(context.graph.tags, service, state.current, known)
    if change is None:
        return builder
    words = [f"{key} = {value!r}" for key, value in sorted(change.add.items())]
    words += [f"without {key}" for key in change.remove]
    current = state.current
    tagging = TagService(
        component=state.name,
        reason=f"tags differ: {', '.join(words)}",
        purpose=ActionPurpose.DECLARED_TAGS,
        cluster=state.component.cluster,
        service=service.name,
        revision=current.arn if current is not None and current.fingerprint else None,
        set_tags=change.add,
        remove_tags=change.remove,
    )
    return builder.with_actions([tagging])
