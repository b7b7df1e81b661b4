"""What changes a service: the actions that create and update one, with just what differs."""

from __future__ import annotations

from ecs_dynamo.model.graph import Component, Graph
from ecs_dynamo.model.plan import (
    CreateService,
    RegisterTaskDefinition,
    TagService,
    UpdateService,
)
from ecs_dynamo.model.purposes import ActionPurpose
from ecs_dynamo.model.service import Service
from ecs_dynamo.model.service_names import ServiceNames
from ecs_dynamo.model.spec.rollout import RolloutSpec
from ecs_dynamo.planning.desired.component import (
    ComponentState,
    existing_revision,
    ownership_tags,
)
from ecs_dynamo.planning.desired.placement import (
    Placing,
    providers_differ,
)
from ecs_dynamo.planning.desired.plan_builder import PlanBuilder
from ecs_dynamo.planning.desired.service_names import names_missing
from ecs_dynamo.planning.desired.service_settings import (
    load_balancers,
    load_balancers_differ,
    may_rebalance,
    network_differs,
    same_limits,
    service_network,
    tag_change,
    tags_reach_tasks,
)


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
    draft: PlanBuilder, graph: Graph, state: ComponentState, placing: Placing
) -> None:
    """Register the first revision and create the service."""
    revision = existing_revision(state)
    if revision is None:
        return
    component = state.component
    _register(draft, graph, state)
    draft.actions.append(
        CreateService(
            component=component.name,
            reason=f"declared with {state.desired} replicas, and there is no such service",
            cluster=component.cluster,
            service=component.service,
            revision=revision,
            desired=state.desired,
            launch_type=component.launch_type,
            rollout=component.rollout,
            network=service_network(component),
            capacity_providers=component.capacity_providers,
            strategy=placing.strategy or (),
            constraints=placing.constraints or (),
            names=component.names,
            load_balancers=load_balancers(component),
            availability_zone_rebalancing=may_rebalance(component, component.rollout),
            health_check_grace_seconds=component.health_check_grace_seconds,
            tags=ownership_tags(graph, component),
        )
    )
    draft.wait(component.name, f"service {component.service} is being created")


def _rebalancing(
    draft: PlanBuilder, component: Component, service: Service, limits: RolloutSpec | None
) -> bool | None:
    """What to change of Availability Zone rebalancing with ``limits``; None where it is right."""
    most = limits.maximum_percent if limits is not None else service.maximum_percent
    in_force = component.rollout.model_copy(
        update={"maximum_percent": 200 if most is None else most}
    )
    wanted = may_rebalance(component, in_force)
    if component.availability_zone_rebalancing and not wanted:
        draft.notes.append(
            f"{component.name}: Availability Zone rebalancing is off while its replicas are "
            "replaced within 100 %: ECS does not take both"
        )
    return wanted if wanted != service.availability_zone_rebalancing else None


def update_service(
    draft: PlanBuilder,
    graph: Graph,
    state: ComponentState,
    may_roll: bool,
    why: str,
    limits: RolloutSpec | None,
    placing: Placing,
) -> None:
    """One UpdateService with just what differs; nothing where nothing does.

    ``limits`` None leaves the deployment limits alone.
    """
    service, component = state.service, state.component
    if service is None:
        return
    if limits is not None and same_limits(service, limits):
        limits = None
    reasons: list[str] = []
    revision, providers, names, balancers = None, None, ServiceNames(), None
    network = None
    if state.needs_rollout and may_roll:
        revision = existing_revision(state)
        _register(draft, graph, state)
        if providers_differ(component, service):
            providers = component.capacity_providers
        names = names_missing(component, service)
        if load_balancers_differ(component, service):
            balancers = load_balancers(component)
        if network_differs(component, service):
            network = component.network
        reasons.append(why)
    desired = state.desired if service.desired != state.desired else None
    if desired is not None:
        reasons.append(f"replicas {service.desired} -> {desired}")
    if limits is not None:
        reasons.append(
            f"deployment limits {limits.minimum_healthy_percent}-{limits.maximum_percent} %"
        )
    rebalancing = _rebalancing(draft, component, service, limits)
    if rebalancing is not None:
        reasons.append(f"Availability Zone rebalancing {'on' if rebalancing else 'off'}")
    grace: int | None = component.health_check_grace_seconds
    if service.health_check_grace_seconds is None:
        grace = grace if revision is not None else None  # Not told: it comes with a rollout.
    elif grace != service.health_check_grace_seconds:
        reasons.append(
            f"health check grace period {service.health_check_grace_seconds} -> {grace} s"
        )
    else:
        grace = None
    placing = placing.missing_in(service)
    if placing != Placing():
        reasons.append("placement differs (for replicas placed from now on)")
    propagates = tags_reach_tasks(service)
    if not propagates:
        reasons.append("tasks do not get the service's tags")
    if reasons:
        draft.actions.append(
            UpdateService(
                component=component.name,
                reason="; ".join(reasons),
                cluster=component.cluster,
                service=component.service,
                revision=revision,
                desired=desired,
                rollout=limits,
                network=network,
                capacity_providers=providers,
                strategy=placing.strategy,
                constraints=placing.constraints,
                names=names,
                load_balancers=balancers,
                propagate_tags=not propagates,
                availability_zone_rebalancing=rebalancing,
                health_check_grace_seconds=grace,
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
