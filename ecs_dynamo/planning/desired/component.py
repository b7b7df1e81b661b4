"""The state of one component: what is desired beside what is observed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ecs_dynamo.model.conditions import ConditionReason
from ecs_dynamo.model.graph import (
    TAG_COMPONENT,
    TAG_FINGERPRINT,
    TAG_GENERATION,
    TAG_GRAPH,
    Component,
    Graph,
    JsonObject,
)
from ecs_dynamo.model.plan import RevisionRef
from ecs_dynamo.model.service import Deployment, Service, good_number
from ecs_dynamo.model.snapshot import Revision, Task
from ecs_dynamo.planning.desired.service_settings import network_differs, rollout_reasons
from ecs_dynamo.planning.observed.facts import ObservedComponent
from ecs_dynamo.planning.observed.lookup import known_revisions


@dataclass(frozen=True, slots=True)
class RolloutFailure:
    """Why a new revision does not come up, and the revision to return to, where there is one."""

    reason: ConditionReason
    message: str
    rollback_target: Revision | None = None


@dataclass(frozen=True, slots=True)
class ComponentState:
    """The desired and the observed state of one component.

    ``content`` and ``fingerprint`` are those of the desired revision; None while it cannot be
    rendered. ``desired`` is the desired number of replicas.
    """

    component: Component
    observed: ObservedComponent
    content: JsonObject | None
    fingerprint: str | None
    desired: int
    declared: str = ""
    """Fingerprint of the declaration, independent of the endpoints."""
    one_per_instance: bool = False
    """Its replicas must not share an instance, because they use the same fixed port."""
    rollout_failure: RolloutFailure | None = None
    """Set where the revision that the service is set to does not come up."""

    @property
    def name(self) -> str:
        return self.component.name

    @property
    def rollback_target(self) -> Revision | None:
        """The revision to return to, where the rollout is to be rolled back."""
        return self.rollout_failure.rollback_target if self.rollout_failure is not None else None

    @property
    def service(self) -> Service | None:
        return self.observed.service

    @property
    def current(self) -> Revision | None:
        """The revision that the service is set to."""
        return self.observed.current

    @property
    def primary(self) -> Deployment | None:
        """The deployment in force."""
        return self.observed.primary

    @property
    def new_tasks(self) -> tuple[Task, ...]:
        """Tasks of the deployment in force."""
        return self.observed.new_tasks

    @property
    def old_tasks(self) -> tuple[Task, ...]:
        """Running tasks that ECS will replace: of another revision or an earlier deployment."""
        return self.observed.old_tasks

    @property
    def ready_new_tasks(self) -> tuple[Task, ...]:
        """Ready tasks of the deployment in force."""
        return self.observed.ready(self.new_tasks)

    @property
    def needs_rollout(self) -> bool:
        """Whether an existing service differs in its revision or a setting that needs a rollout."""
        return (
            self.service is not None
            and self.fingerprint is not None
            and self.current is not None
            and (
                self.current.fingerprint != self.fingerprint
                or bool(rollout_reasons(self.component, self.service))
            )
        )

    @property
    def rollout_reason(self) -> str:
        """The differences that require a new deployment, in words."""
        settings = rollout_reasons(self.component, self.service) if self.service else ()
        changed = self.current is None or self.current.fingerprint != self.fingerprint
        words = ["task definition changed"] if changed or not settings else []
        return "; ".join((*settings, *words))

    @property
    def last_good(self) -> int | None:
        """Number of the newest revision that is marked good."""
        return good_number(self.service)

    @property
    def rollout_in_progress(self) -> bool:
        """Whether ECS is still replacing tasks."""
        service = self.service
        return service is not None and (
            len(service.deployments) > 1
            or any(d.rollout_state == "IN_PROGRESS" for d in service.deployments)
        )

    @property
    def matching_revision(self) -> Revision | None:
        """The newest known revision with the desired content."""
        known = known_revisions(self.observed.snapshot)
        same = [r for r in known if self.fingerprint and r.fingerprint == self.fingerprint]
        return max(same, key=lambda r: r.number, default=None)

    @property
    def rejected_by_ecs(self) -> bool:
        """Whether ECS gave up on the desired revision: its deployment failed or was rolled back.

        ECS soon stops listing a failed deployment. A rollback is still visible afterwards: the
        desired revision exists, an older one runs, and the rollback came after its registration.
        """
        service, revision = self.service, self.matching_revision
        if service is None or revision is None:
            return False
        if any(
            d.rollout_state == "FAILED"
            and (known := self.observed.snapshot.revisions.get(d.task_definition_arn)) is not None
            and known.fingerprint == self.fingerprint
            # The deployment of a good revision may have failed because of its network.
            and (d.network is None or not network_differs(self.component, d.network))
            for d in service.deployments
        ):
            return True
        return (
            self.needs_rollout
            and self.current is not None
            and self.current.number < revision.number
            and service.rolled_back_at is not None
            and revision.registered_at is not None
            and service.rolled_back_at >= revision.registered_at
        )


def existing_revision(state: ComponentState) -> RevisionRef | None:
    """Return a reference to the desired revision, with its ARN if ECS has it already."""
    if state.fingerprint is None:
        return None
    known = state.matching_revision
    arn = known.arn if known is not None and known.active else None
    return RevisionRef(state.component.family, state.fingerprint, arn)


def ownership_tags(
    graph: Graph, component: Component, fingerprint: str | None = None
) -> Mapping[str, str]:
    """Return the user's tags and those of ecs-dynamo, which have precedence."""
    tags = {**graph.tags, TAG_GRAPH: graph.name, TAG_COMPONENT: component.origin}
    if component.generation is not None:
        tags[TAG_GENERATION] = component.generation
    if fingerprint is not None:
        tags[TAG_FINGERPRINT] = fingerprint
    return tags
