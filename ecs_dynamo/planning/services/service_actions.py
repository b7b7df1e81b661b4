"""What changes a service: the actions that create and update one, with just what differs."""

from __future__ import annotations

from dataclasses import replace

from ecs_dynamo.model.graph import Component, Graph
from ecs_dynamo.model.plan import (
    CreateService,
    RegisterTaskDefinition,
    TagService,
    UpdateService,
)
from ecs_dynamo.model.purposes import ActionPurpose
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
from ecs_dynamo.planning.desired.plan_builder import PlanBuilder
from ecs_dynamo.planning.desired.service_settings import rebalancing_allowed, tag_change


def _register(draft: PlanBuilder, graph: Graph, state: ComponentState) -> None:
    revision = existing_revision(state)
    if revision is None or revision.arn is not None or state.content is None:
        return
    current = state.current
    if current is not None and current.fingerprint == revision.fingerprint and not current.active:
        why = f"{current.family}:{current.number} was deregistered or deleted"
    else:
        why = "first revision" if current is None else "content differs from the running one"
    draft.actions.append(
        RegisterTaskDefinition(
            component=state.component.name,
            reason=f"{why} (fingerprint {revision.fingerprint})",
            family=revision.family,
            fingerprint=revision.fingerprint,
            content=state.content,
            tags=ownership_tags(graph, state.component, revision.fingerprint),
        )
    )


def register_again(draft: PlanBuilder, graph: Graph, state: ComponentState) -> None:
    """Register the running revision again where somebody deregistered or deleted it.

    ECS goes on with it, and scales it, but sets no service to it any more (ECS API reference,
    DeregisterTaskDefinition). The service stays as it is; what comes next has a revision to use.
    """
    current = state.current
    if current is not None and not current.active and not state.needs_rollout:
        _register(draft, graph, state)


def create_service(
    draft: PlanBuilder, graph: Graph, state: ComponentState, settings: ServiceSettings
) -> None:
    """Register the first revision and create the service with ``settings``."""
    revision = existing_revision(state)
    if revision is None:
        return
    component = state.component
    maximum = component.limits.maximum_percent
    rebalancing = rebalancing_allowed(settings, maximum)
    _register(draft, graph, state)
    draft.actions.append(
        CreateService(
            component=component.name,
            reason=f"declared with {state.desired} replicas, and there is no such service",
            cluster=component.cluster,
            service=component.service,
            revision=revision,
            desired=state.desired,
            settings=replace(settings, availability_zone_rebalancing=rebalancing),
            tags=ownership_tags(graph, component),
        )
    )
    draft.wait(component.name, f"service {component.service} is being created")


def _desired_now(
    draft: PlanBuilder,
    component: Component,
    observed: ServiceSettings,
    settings: ServiceSettings,
    limits: DeploymentLimits | None,
) -> ServiceSettings:
    """Return ``settings`` with the limits that hold in this pass, and what follows from them."""
    in_force = limits or observed.limits or DeploymentLimits()
    rebalancing = rebalancing_allowed(settings, in_force.maximum_percent)
    if settings.availability_zone_rebalancing and not rebalancing:
        draft.notes.append(
            f"{component.name}: Availability Zone rebalancing is off while its replicas are "
            "replaced within 100 %: ECS does not take both"
        )
    return replace(settings, limits=limits, availability_zone_rebalancing=rebalancing)


def update_service(
    draft: PlanBuilder,
    graph: Graph,
    state: ComponentState,
    may_roll: bool,
    why: str,
    limits: DeploymentLimits | None,
    settings: ServiceSettings,
) -> None:
    """Change with one UpdateService what differs; add no action where nothing does.

    ``limits`` None leaves the deployment limits alone. Settings that need a new deployment change
    only with a rollout.
    """
    service, component = state.service, state.component
    if service is None:
        return
    observed = service.settings
    settings = _desired_now(draft, component, observed, settings, limits)
    differing = difference(observed, settings)
    in_place = with_effect(differing, Effect.IN_PLACE)
    changes, revision, reasons = in_place, None, []
    if state.needs_rollout and may_roll:
        revision = existing_revision(state)
        _register(draft, graph, state)
        changes = with_effect(differing, Effect.IN_PLACE, Effect.NEW_DEPLOYMENT)
        if observed.health_check_grace_seconds is None:
            # Where ECS does not report it, it cannot be compared: it is set with each rollout.
            changes = changes.updated(settings.only({"health_check_grace_seconds"}))
        reasons.append(why)
    desired = state.desired if service.desired != state.desired else None
    if desired is not None:
        reasons.append(f"replicas {service.desired} -> {desired}")
    reasons += reasons_of(observed, in_place)
    if reasons:
        draft.actions.append(
            UpdateService(
                component=component.name,
                reason="; ".join(reasons),
                cluster=component.cluster,
                service=component.service,
                revision=revision,
                desired=desired,
                settings=changes,
            )
        )
    _retag(draft, graph, state, service)


def _retag(draft: PlanBuilder, graph: Graph, state: ComponentState, service: Service) -> None:
    """Bring the user's tags to what is declared; running tasks keep theirs."""
    known = state.observed.revisions.values()
    change = tag_change(graph.tags, service, state.current, known)
    if change is None:
        return
    words = [f"{key} = {value!r}" for key, value in sorted(change.add.items())]
    words += [f"without {key}" for key in change.remove]
    current = state.current
    draft.actions.append(
        TagService(
            component=state.component.name,
            reason=f"tags differ: {', '.join(words)}",
            purpose=ActionPurpose.DECLARED_TAGS,
            cluster=state.component.cluster,
            service=service.name,
            revision=current.arn if current is not None and current.fingerprint else None,
            set_tags=change.add,
            remove_tags=change.remove,
        )
    )
