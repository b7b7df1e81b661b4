"""What each component should be now, beside what it is: the comparison all decisions share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ecs_dynamo.model.graph import (
    TAG_COMPONENT,
    TAG_FINGERPRINT,
    TAG_GRAPH,
    Component,
    Graph,
    JsonObject,
)
from ecs_dynamo.model.plan import RevisionRef
from ecs_dynamo.model.service import (
    Deployment,
    Service,
    good_number,
)
from ecs_dynamo.model.snapshot import (
    ComponentSnapshot,
    Revision,
    Task,
)
from ecs_dynamo.planning.desired.service_settings import (
    network_differs,
    rollout_reasons,
)
from ecs_dynamo.planning.observed.lookup import (
    in_force,
    known_service,
    known_tasks,
    primary_deployment,
)


@dataclass(frozen=True, slots=True)
class RolloutFailure:
    """Why a new revision does not come up: a reason word, a sentence, and where to go back to."""

    reason: str
    message: str
    rollback_target: Revision | None = None


@dataclass(frozen=True, slots=True)
class ComponentState:
    """One component's wanted state (None content: it can not be rendered yet) and what is seen."""

    component: Component
    observed: ComponentSnapshot
    content: JsonObject | None
    fingerprint: str | None
    desired: int
    declared: str = ""
    """Fingerprint of the declaration, whatever the endpoints are."""
    one_per_instance: bool = False
    """Its replicas must not share an instance: they have the same fixed port."""
    rollout_failure: RolloutFailure | None = None
    """Set where the revision that the service is set to does not come up."""

    @property
    def rollback_target(self) -> Revision | None:
        """The revision to go back to, where the rollout is to be taken back."""
        return self.rollout_failure.rollback_target if self.rollout_failure is not None else None

    @property
    def service(self) -> Service | None:
        return known_service(self.observed)

    @property
    def current(self) -> Revision | None:
        """The revision that the service is set to now."""
        service = self.service
        return self.observed.revisions.get(service.task_definition_arn) if service else None

    @property
    def needs_rollout(self) -> bool:
        """The service exists, and its revision or what else needs a new deployment differs."""
        return (
            self.service is not None
            and self.fingerprint is not None
            and self.current is not None
            and (
                self.current.fingerprint != self.fingerprint
                # ECS changes it by a new deployment alone.
                or bool(rollout_reasons(self.component, self.service))
            )
        )

    @property
    def rollout_reason(self) -> str:
        """What of the service differs that a new deployment changes, for people."""
        others = rollout_reasons(self.component, self.service) if self.service else ()
        changed = self.current is None or self.current.fingerprint != self.fingerprint
        words = ["task definition changed"] if changed or not others else []
        return "; ".join((*others, *words))

    @property
    def last_good(self) -> int | None:
        """Number of the newest revision that was seen ready."""
        return good_number(self.service)

    @property
    def primary(self) -> Deployment | None:
        """The deployment in force."""
        return primary_deployment(self.service) if self.service is not None else None

    def _is_new(self, task: Task) -> bool:
        return self.service is not None and in_force(self.service, task)

    @property
    def old_tasks(self) -> tuple[Task, ...]:
        """Running tasks that ECS will replace: of another revision or a former deployment."""
        if self.service is None:
            return ()
        return tuple(t for t in known_tasks(self.observed) if t.is_running and not self._is_new(t))

    @property
    def new_tasks(self) -> tuple[Task, ...]:
        """Tasks of the deployment in force."""
        return tuple(t for t in known_tasks(self.observed) if self._is_new(t))

    @property
    def rollout_in_progress(self) -> bool:
        """ECS is still replacing tasks."""
        service = self.service
        return service is not None and (
            len(service.deployments) > 1
            or any(d.rollout_state == "IN_PROGRESS" for d in service.deployments)
        )

    @property
    def matching_revision(self) -> Revision | None:
        """The newest known revision that has the wanted content."""
        known = [*self.observed.revisions.values()]
        if isinstance(self.observed.revision, Revision):
            known.append(self.observed.revision)
        same = [r for r in known if self.fingerprint and r.fingerprint == self.fingerprint]
        return max(same, key=lambda r: r.number, default=None)

    @property
    def rejected_by_ecs(self) -> bool:
        """ECS gave up on the wanted revision: its deployment FAILED, or it was rolled back.

        The second is told by what stays when the failed deployment is listed no more: the wanted
        revision is there, an older one runs, and a rollback came after its registration.
        """
        service, revision = self.service, self.matching_revision
        if service is None or revision is None:
            return False
        if any(
            d.rollout_state == "FAILED"
            and (of := self.observed.revisions.get(d.task_definition_arn)) is not None
            and of.fingerprint == self.fingerprint
            # A good revision may have failed for the network that it was deployed on.
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
    """A reference to the wanted revision; its ARN where ECS has it already."""
    if state.fingerprint is None:
        return None
    known = state.matching_revision
    arn = known.arn if known is not None and known.active else None
    return RevisionRef(state.component.family, state.fingerprint, arn)


def ownership_tags(
    graph: Graph, component: Component, fingerprint: str | None = None
) -> Mapping[str, str]:
    """The user's tags and ours; ours win."""
    tags = {**graph.tags, TAG_GRAPH: graph.name, TAG_COMPONENT: component.name}
    if fingerprint is not None:
        tags[TAG_FINGERPRINT] = fingerprint
    return tags
