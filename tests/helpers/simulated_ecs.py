"""A small pure model of ECS and Dynamo: it applies actions and returns snapshots.

It keeps just the behaviour that planning relies on: deployments within the limits, GPU slots, host
ports, task protection, discovery that lives in one etcd's memory, and processes that exit once
their etcd is gone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from ecs_dynamo.model.graph import (
    TAG_GRAPH,
)
from ecs_dynamo.model.plan import (
    AnyAction,
    CreateService,
    DeleteService,
    ProtectTasks,
    RegisterTaskDefinition,
    RetireRevisions,
    RevisionRef,
    SetDesiredCapacity,
    SetInstancesState,
    StopTask,
    TagService,
    TerminateInstance,
    UpdateService,
)
from ecs_dynamo.model.service_settings import (
    Effect,
    difference,
    with_effect,
)
from ecs_dynamo.model.snapshot import (
    Revision,
)
from tests.helpers.simulated_scheduler import SimulatedScheduler
from tests.helpers.simulated_services import SimService


class SimulatedEcs(SimulatedScheduler):
    """The simulated cluster, with actions applied to it as the executor does."""

    def apply(self, action: AnyAction) -> None:
        """Do what the executor would; each action may be applied twice."""
        self.writes += 1
        match action:
            case RegisterTaskDefinition():
                self._register(action)
            case CreateService():
                self._create(action)
            case UpdateService():
                self._update(action)
            case ProtectTasks():
                self._protect(action)
            case StopTask():
                service = self.services[action.service]
                service.tasks = [t for t in service.tasks if t.arn != action.task]
            case TagService():
                service = self.services[action.service]
                service.tags = self._retagged(service.tags, action)
                if action.revision is not None:
                    known = self.revisions[action.revision]
                    tags = self._retagged(known.tags, action)
                    self.revisions[action.revision] = replace(known, tags=tags)
            case SetInstancesState(claim=False):
                self.drained |= {int(arn.rpartition("/")[2]) for arn in action.instances}
            case RetireRevisions():
                self._retire(action)
            case DeleteService():
                self.services.pop(action.service, None)
            case SetDesiredCapacity() | SetInstancesState() | TerminateInstance():
                raise AssertionError("no graph here declares an Auto Scaling group")

    def _protect(self, action: ProtectTasks) -> None:
        """A task that has ended is left out. More protected tasks than the desired count are
        refused (ECS developer guide, task scale-in protection): in `refused`, with the cause."""
        for service in self.services.values():
            for task in service.tasks if service.cluster == action.cluster else ():
                if task.arn not in action.tasks:
                    continue
                protected = {t.arn for t in service.tasks if t.protected_until > self.now} | {
                    task.arn
                }
                if action.minutes and len(protected) > service.desired:
                    self.refused.append((action, "DEPLOYMENT_BLOCKED"))
                    continue
                task.protected_until = self.now + action.minutes * 60 if action.minutes else 0.0

    def execute(self, actions: Iterable[AnyAction], *, twice: bool = True) -> None:
        """Apply the actions as the executor does: one that is refused ends those of its component.

        ``twice``: as with a call that is retried after it took effect.
        """
        broken: set[str] = set()
        for action in actions:
            for _ in range(1 + twice):
                if action.component not in broken:
                    before = len(self.refused)
                    self.apply(action)
                    if len(self.refused) > before:
                        broken.add(action.component)

    @staticmethod
    def _retagged(tags: Mapping[str, str], action: TagService) -> dict[str, str]:
        return {k: v for k, v in tags.items() if k not in action.remove_tags} | dict(
            action.set_tags
        )

    def _register(self, action: RegisterTaskDefinition) -> None:
        same = [r for r in self.revisions.values() if r.family == action.family]
        latest = max((r for r in same if r.active), key=lambda r: r.number, default=None)
        if latest is not None and latest.fingerprint == action.fingerprint:
            return
        number = max((r.number for r in same), default=0) + 1
        arn = f"arn:td/{action.family}:{number}"
        self.revisions[arn] = Revision(
            arn, action.family, number, action.content, dict(action.tags)
        )

    def _retire(self, action: RetireRevisions) -> None:
        for arn in action.arns:
            if arn not in self.revisions:
                continue
            users = [
                s for s in self.services.values() if arn in {d.revision for d in s.deployments}
            ]
            assert not users, f"{arn} is in use"
            assert arn not in {t.revision for s in self.services.values() for t in s.tasks}
            del self.revisions[arn]

    def _arn(self, ref: RevisionRef) -> str:
        """The revision that a service is set to; ECS takes ACTIVE ones only."""
        if ref.arn is not None:
            assert self.revisions[ref.arn].active, f"{ref.arn} is inactive"
            return ref.arn
        return next(
            r.arn
            for r in sorted(self.revisions.values(), key=lambda r: -r.number)
            if r.family == ref.family and r.fingerprint == ref.fingerprint and r.active
        )

    def _create(self, action: CreateService) -> None:
        if action.service in self.services:
            return
        self.services[action.service] = SimService(
            name=action.service,
            cluster=action.cluster,
            component=action.component,
            deployments=[self._deployment(self._arn(action.revision), action.settings.network)],
            desired=action.desired,
            settings=action.settings,
            tags=dict(action.tags),
        )
        self._check(self.services[action.service])

    @staticmethod
    def _check(service: SimService) -> None:
        """Check rules that ECS enforces."""
        assert not service.rebalancing or service.maximum > 100, (
            "Availability Zone Rebalancing does not support maximumPercent <= 100 %"
        )

    def _update(self, action: UpdateService) -> None:
        service = self.services[action.service]
        assert service.tags.get(TAG_GRAPH) == self.graph.name, "a foreign service was touched"
        if action.desired is not None:
            if len(service.deployments) > 1:  # "applies scale-out to both service revisions".
                service.deployments[1].keeps += max(0, action.desired - service.desired)
            service.desired = action.desired
        arn = self._arn(action.revision) if action.revision is not None else service.revision
        settings = service.settings.updated(action.settings)
        moved = with_effect(difference(service.settings, settings), Effect.NEW_DEPLOYMENT)
        if arn != service.revision or moved.members:
            service.previous, service.failed = service.primary, None
            self._deploy(service, arn, settings.network)
        service.settings = settings
        self._check(service)
