"""The ordered actions that take a snapshot to the declared graph: printable and comparable.

Each action is one idempotent AWS call with a reason that a person can read. A `RevisionRef`
names a task definition by fingerprint, since its ARN may only be known once the register action
before it in the same plan has run.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final

from ecs_dynamo.model.capacity import Shortage
from ecs_dynamo.model.conditions import Condition, ConditionReason
from ecs_dynamo.model.generations import GenerationFailure, Generations
from ecs_dynamo.model.graph import Graph, JsonObject
from ecs_dynamo.model.memory.capacity import CapacityMemory
from ecs_dynamo.model.memory.health import HealthMemory
from ecs_dynamo.model.memory.scaling import ScalingState
from ecs_dynamo.model.purposes import ActionPurpose, WaitPurpose
from ecs_dynamo.model.service_settings import ServiceSettings

INTERNAL: Final[Mapping[str, bool]] = {"internal": True}
"""Metadata of fields that documents (`--json`, `/status`) leave out."""


@dataclass(frozen=True, slots=True)
class RevisionRef:
    """A task definition revision: by ARN where it exists, else by the fingerprint to register."""

    family: str
    fingerprint: str
    arn: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """Base of the actions."""

    component: str
    reason: str
    purpose: ActionPurpose = field(default=ActionPurpose.CONVERGE, metadata=INTERNAL)


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisterTaskDefinition(Action):
    """Register ``content``; skipped by the executor where the family's latest already has it."""

    family: str
    fingerprint: str
    content: JsonObject
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateService(Action):
    """Create the component's service."""

    cluster: str
    service: str
    revision: RevisionRef
    desired: int
    settings: ServiceSettings
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateService(Action):
    """Change a service: only what is not None, and of ``settings`` only the members that are set.

    A revision, and each setting with `Effect.NEW_DEPLOYMENT`, starts a new deployment.
    """

    cluster: str
    service: str
    revision: RevisionRef | None = None
    desired: int | None = None
    settings: ServiceSettings = field(default_factory=ServiceSettings)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProtectTasks(Action):
    """Keep tasks from being stopped by a deployment or scale-in until the protection expires.

    ``minutes`` None takes the protection off.
    """

    cluster: str
    tasks: tuple[str, ...]
    minutes: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StopTask(Action):
    """Stop a task of a service, which ECS then replaces with one of the same revision.

    ``why`` is recorded by ECS as the stopped reason.
    """

    cluster: str
    service: str
    task: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteService(Action):
    """Scale to zero and delete a service (``force``)."""

    cluster: str
    service: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TagService(Action):
    """Set and remove tags of a service and, where ``revision`` is an ARN, of that revision too.

    ``purpose`` HOLD puts the declared revision on hold, and DECLARED_TAGS brings the user's tags to
    what the graph declares; all others record the state of a rollout for later daemons.
    """

    cluster: str
    service: str
    set_tags: Mapping[str, str]
    remove_tags: tuple[str, ...] = ()
    revision: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RetireRevisions(Action):
    """Deregister, then delete, task definition revisions that nothing needs any more."""

    family: str
    arns: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SetDesiredCapacity(Action):
    """Raise an Auto Scaling group's desired size; never lowers it."""

    group: str
    desired: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SetInstancesState(Action):
    """Set container instances to DRAINING, or back to ACTIVE.

    ``claim``: before they drain, tag them as drained by this graph, which may then return them to
    ACTIVE or terminate them. Instances that AWS interrupts are not claimed.
    """

    cluster: str
    instances: tuple[str, ...]
    status: str
    claim: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class TerminateInstance(Action):
    """Terminate a drained, empty instance and lower its group's desired size, not below ``floor``.

    ``instance`` is the container instance's ARN.
    """

    group: str
    cluster: str
    instance: str
    ec2_instance_id: str
    floor: int


class MembershipStep(StrEnum):
    """etcd's membership calls (etcd v3 API, service Cluster)."""

    ADD = "add"
    PROMOTE = "promote"
    UPDATE = "update"
    REMOVE = "remove"


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeMembership(Action):
    """Change the members of the etcd cluster through one of ``servers`` (client URLs).

    ``member`` is 0 for ADD, which adds a learner at ``peer_url``; UPDATE sets ``peer_url``.
    etcd may refuse for a while (members that have yet to connect, a learner that lags): the next
    pass then repeats the change.
    """

    step: MembershipStep
    servers: tuple[str, ...]
    member: int = 0
    peer_url: str = ""


AnyAction = (
    RegisterTaskDefinition
    | CreateService
    | UpdateService
    | ProtectTasks
    | StopTask
    | DeleteService
    | TagService
    | RetireRevisions
    | SetDesiredCapacity
    | SetInstancesState
    | TerminateInstance
    | ChangeMembership
)


def is_hold(action: AnyAction) -> bool:
    """Whether the action puts the declared revision of a service on hold."""
    return isinstance(action, TagService) and action.purpose is ActionPurpose.HOLD


@dataclass(frozen=True, slots=True)
class Wait:
    """Something that the graph waits for; another pass runs when it may have happened."""

    component: str
    reason: str
    purpose: WaitPurpose = field(metadata=INTERNAL)


@dataclass(frozen=True, slots=True)
class Endpoints:
    """The endpoints dependants need, from ready replicas; None where not resolved yet."""

    etcd: str | None = None
    nats: str | None = None


@dataclass(frozen=True, slots=True)
class Limitation:
    """Why a component gets fewer replicas than its policy recommends: reason word and message."""

    reason: ConditionReason
    message: str


@dataclass(frozen=True, slots=True)
class Decision:
    """A scaling decision with its numbers in words ("prefill 1 -> 3: 12 queued, target 4").

    ``demand`` is the count that the policy recommends, after stabilization, without bounds, steps
    and shared limits; None where it recommends none. ``limitation`` is set where a limit keeps
    ``desired`` below that for as long as the demand lasts.
    """

    component: str
    current: int
    desired: int
    reason: str
    stale: bool = False
    demand: int | None = None
    limitation: Limitation | None = None

    @property
    def numbers(self) -> str:
        """The reason without the counts in front of it."""
        return self.reason.removeprefix(_counts_text(self.component, self.current, self.desired))

    def with_desired(self, desired: int, numbers: str) -> Decision:
        """Return the decision for another count; ``numbers`` gives the reason for it."""
        reason = decision_reason(self.component, self.current, desired, numbers)
        return replace(self, desired=desired, reason=reason)


def decision_reason(component: str, current: int, desired: int, numbers: str) -> str:
    """Return the reason of a decision: the counts, and the numbers that led to them."""
    return _counts_text(component, current, desired) + numbers


def _counts_text(component: str, current: int, desired: int) -> str:
    return f"{component} {current} -> {desired}: "


@dataclass(frozen=True, slots=True)
class Cause:
    """Why the tasks of a declaration failed: a reason word, and ECS's details of the last one."""

    declared: str
    word: str
    detail: str


@dataclass(frozen=True, slots=True)
class Memory:
    """Planning's memory between passes; an empty one (after a restart) is always safe.

    ``started_at`` is when observation began, in monotonic seconds: no scale-down before a full
    window was observed.
    """

    started_at: float
    scaling: Mapping[str, ScalingState] = field(default_factory=dict)
    failed: Mapping[str, str] = field(default_factory=dict)
    """Component -> declaration whose rollout ECS failed; not tried again by this daemon."""
    causes: Mapping[str, Cause] = field(default_factory=dict)
    """Component -> why the tasks of its declaration failed, for longer than ECS reports it."""
    withdrawal: GenerationFailure | None = None
    """Why the generation that was withdrawn last failed, for longer than ECS reports it."""
    conditions: tuple[Condition, ...] = ()
    ready_since: Mapping[str, float] = field(default_factory=dict)
    """Task ARN -> since when this daemon has observed it ready, in monotonic seconds."""
    unready_since: Mapping[str, float] = field(default_factory=dict)
    """ARN of a running worker that was ready -> since when it is not, in monotonic seconds."""
    capacity: CapacityMemory = field(default_factory=CapacityMemory)
    health: HealthMemory = field(default_factory=HealthMemory)
    rejected: Mapping[str, str] = field(default_factory=dict)
    """Component -> AWS's message about an action that it rejected in the previous pass."""


@dataclass(frozen=True, slots=True)
class ReplicaCounts:
    """``ready``: RUNNING, healthy, and answering or registered where the role does so.

    For workers: ``registered`` in Dynamo's discovery, and ``routed`` to by some frontend. Both are
    None for other components and if discovery could not be read; ``routed`` is also None if no
    frontend has named a worker yet.
    """

    desired: int
    running: int
    ready: int
    registered: int | None = None
    routed: int | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """The actions to take now, the waits, and the current state."""

    graph: str
    actions: tuple[AnyAction, ...]
    waits: tuple[Wait, ...]
    conditions: tuple[Condition, ...]
    endpoints: Endpoints
    decisions: tuple[Decision, ...]
    replicas: Mapping[str, ReplicaCounts]
    notes: tuple[str, ...]
    memory: Memory
    failures: Mapping[str, str] = field(default_factory=dict)
    """Component -> why its rollout was given up. Only another declaration can help."""
    stuck: bool = False
    """Nothing will change without intervention: the rest waits for a failed rollout."""
    shortages: tuple[Shortage, ...] = ()
    """Replicas that will not fit."""
    unattributed: tuple[str, ...] = ()
    """Registrations of workers that count for no task, and why."""
    unknown: Mapping[str, str] = field(default_factory=dict)
    """Component -> the part that could not be observed. Its ``replicas`` must not be shown."""
    lost: Mapping[str, int] = field(default_factory=dict)
    """Component -> number of replicas of a good revision that no longer serve."""
    serves_nobody: bool = False
    """The graph could serve requests before, and no longer can."""
    ready: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """Component -> ARNs of its ready tasks."""
    effective: Graph | None = field(default=None, metadata=INTERNAL)
    """The planned graph, with the components of all generations; None if it is as declared."""

    @property
    def generations(self) -> Generations:
        """The generations of the graph's workers."""
        return self.effective.generations if self.effective is not None else Generations()

    @property
    def converged(self) -> bool:
        """Whether there is nothing to do and nothing to wait for."""
        return not self.actions and not self.waits
