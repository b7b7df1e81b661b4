"""etcd and NATS: first, and with their old tasks kept for those that still use them."""

from __future__ import annotations

from ecs_dynamo.model.plan import HoldService
from ecs_dynamo.planning.desired.component import Wanted
from ecs_dynamo.planning.desired.context import Scene
from ecs_dynamo.planning.desired.plan_builder import Draft
from ecs_dynamo.planning.rollout import (
    deployments,
    handover,
)
from ecs_dynamo.planning.rollout.deployment_limits import limits_now
from ecs_dynamo.planning.rollout.draining_instances import (
    leaving_tasks,
    spare_leaving,
)
from ecs_dynamo.planning.rollout.protection import spare_busy
from ecs_dynamo.planning.services.service_actions import (
    create_service,
    update_service,
)


def hold_back(draft: Draft, scene: Scene, one: Wanted) -> None:
    """Before a rollout is taken back: so that nobody rolls its declaration again."""
    if one.former is not None and one.service is not None:
        draft.actions.append(
            HoldService(
                component=one.component.name,
                reason=scene.failures.get(one.component.name, "it did not come up"),
                cluster=one.component.cluster,
                service=one.component.service,
                declared=one.declared,
                because=scene.reasons.get(one.component.name, ""),
            )
        )


def leave(draft: Draft, scene: Scene, one: Wanted) -> None:
    """Lead tasks out that an instance or a scale-in takes away."""
    leaving = leaving_tasks(one, scene.snapshot)
    if not leaving:
        draft.actions.extend(spare_busy(scene.graph, one, scene.snapshot))
        return
    draft.actions.extend(spare_leaving(scene.graph, one, scene.snapshot))
    draft.wait(
        one.component.name,
        f"{len(leaving)} run on container instances that are draining; they are being replaced",
    )


def plan_infrastructure(draft: Draft, scene: Scene) -> None:
    """Create and roll it. Before it rolls, its tasks are kept for those that use them."""
    for one in scene.infrastructure:
        name = one.component.name
        if one.service is None:  # Without content, a member of a cluster whose turn comes later.
            create_service(draft, scene.graph, one, scene.placing(one))
            continue
        # Everything else follows it, so all must be known.
        may_roll = not scene.doubts.unseen
        may_roll = may_roll and (name not in scene.failures or one.former is not None)
        late = deployments.must_wait(one) if may_roll else None
        if late is not None:
            may_roll = False
            draft.wait(name, late)
            draft.actions.extend(deployments.let_oldest_end(scene, one))
        begins = one.rolls and may_roll
        hold_back(draft, scene, one)
        leave(draft, scene, one)
        if begins and any(d.service is not None for d in scene.dependants):
            protections, notes = handover.keep_old_side(scene, [one])
            draft.actions.extend(protections)
            draft.notes.extend(notes)
        limits = limits_now(one, scene.snapshot, begins=begins, moves=False, canary=None)
        if limits.note is not None:
            draft.notes.append(limits.note)
        update_service(
            draft,
            scene.graph,
            one,
            may_roll,
            one.why_it_rolls if one.former is None else scene.reasons[name],
            limits.force if limits.change else None,
            scene.placing(one),
        )
