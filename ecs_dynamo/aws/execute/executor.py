"""Execution of a plan: its actions run in order, and each is logged with its reason.

A call may time out after it took effect, and the daemon may die between any two calls. So every
action first checks that it is still to be done, or may be done twice: registering looks for the
fingerprint, creating adopts only a service that carries the graph's tag, and updates and deletions
have the same effect when they are repeated.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import structlog

from ecs_dynamo.aws.client import Aws
from ecs_dynamo.aws.execute.capacity import (
    set_desired_capacity,
    set_instances_state,
    terminate_instance,
)
from ecs_dynamo.aws.execute.protection import protect_tasks
from ecs_dynamo.aws.execute.registration import RevisionRegistry
from ecs_dynamo.aws.execute.services import ServiceWriter
from ecs_dynamo.aws.failures import NO_ANSWER, THROTTLES, TRANSIENT
from ecs_dynamo.aws.observe.graph_cache import GraphCache
from ecs_dynamo.aws.write_guard import SecondsLeft, unlimited, writes_guarded
from ecs_dynamo.model.errors import AwsError
from ecs_dynamo.model.plan import (
    AnyAction,
    ChangeMembership,
    CreateService,
    DeleteService,
    Plan,
    ProtectTasks,
    RegisterTaskDefinition,
    RetireRevisions,
    SetDesiredCapacity,
    SetInstancesState,
    StopTask,
    TagService,
    TerminateInstance,
    UpdateService,
)

_log = structlog.get_logger(__name__)

NO_REJECTION = THROTTLES | TRANSIENT | NO_ANSWER | {"NoCredentials"}
"""Error codes that do not depend on the action itself."""
MAX_ERROR_LENGTH = 200
"""Characters of an unexpected exception's text in a result; the log has all of it."""


@dataclass(frozen=True, slots=True)
class ActionResult:
    """The outcome of one action. ``skipped``: an earlier action of its component failed."""

    action: AnyAction
    ok: bool
    changed: bool
    seconds: float
    error: str | None = None
    skipped: bool = False
    rejected: bool = False
    """AWS answered and does not accept the action as it is."""


class Executor:
    """Executes the plans of one graph. ``clock`` returns monotonic seconds, for durations.

    ``change_membership`` changes etcd's membership, which is not part of AWS. It raises
    ConnectionError.
    """

    def __init__(
        self,
        aws: Aws,
        graph_name: str,
        cache: GraphCache,
        clock: Callable[[], float],
        change_membership: Callable[[ChangeMembership], Awaitable[bool]],
    ) -> None:
        self._aws = aws
        self._graph = graph_name
        self._cache = cache
        self._clock = clock
        self._change_membership = change_membership
        self._revisions = RevisionRegistry(aws, graph_name, cache)
        self._services = ServiceWriter(aws, graph_name, cache, self._revisions)

    async def execute(
        self,
        plan: Plan,
        should_stop: Callable[[], bool] = lambda: False,
        seconds_left: SecondsLeft = unlimited,
    ) -> tuple[ActionResult, ...]:
        """Run the actions in order and return their results; never raises `AwsError`.

        A failure stops the later actions of its component only. ``should_stop`` is called before
        each action. ``seconds_left`` is called before each attempt at a write, because a retry
        must not outlive the lease under which the plan was made.
        """
        self._services.begin_plan(plan.actions)
        results: list[ActionResult] = []
        failed: set[str] = set()
        for action in plan.actions:
            if should_stop():
                break
            if action.component in failed:
                results.append(
                    ActionResult(action, ok=False, changed=False, seconds=0.0, skipped=True)
                )
                continue
            with writes_guarded(seconds_left):
                result = await self._run(action)
            if not result.ok:
                failed.add(action.component)
            results.append(result)
        return tuple(results)

    async def _run(self, action: AnyAction) -> ActionResult:
        started = self._clock()
        log = _log.bind(component=action.component, action=type(action).__name__)
        rejected = False
        try:
            changed = await self._perform(action)
        except (AwsError, ConnectionError) as error:
            if isinstance(action, CreateService | UpdateService) and action.revision is not None:
                self._revisions.doubt(action.revision)
            log.error("action failed", reason=action.reason, error=str(error))
            message = str(error)
            rejected = isinstance(error, AwsError) and error.code not in NO_REJECTION
        except Exception as error:
            # An incomplete answer ends this action, and not those of other components.
            log.exception("action failed", reason=action.reason)
            message = f"unexpected {type(error).__name__}: {str(error)[:MAX_ERROR_LENGTH]}"
        else:
            seconds = self._clock() - started
            log.info(
                "action done", reason=action.reason, changed=changed, seconds=round(seconds, 3)
            )
            return ActionResult(action, ok=True, changed=changed, seconds=seconds)
        return ActionResult(
            action,
            ok=False,
            changed=False,
            seconds=self._clock() - started,
            error=message,
            rejected=rejected,
        )

    async def _perform(self, action: AnyAction) -> bool:
        """Perform one action; whether anything changed."""
        match action:
            case RegisterTaskDefinition():
                return await self._revisions.register(action)
            case RetireRevisions():
                return await self._revisions.retire(action)
            case CreateService():
                return await self._services.create(action)
            case UpdateService():
                await self._services.update(action)
                return True
            case TagService():
                await self._services.tag(action)
                return True
            case StopTask():
                return await self._services.stop_task(action)
            case DeleteService():
                return await self._services.delete(action)
            case ProtectTasks():
                await protect_tasks(self._aws, action)
                return True
            case SetDesiredCapacity():
                return await set_desired_capacity(self._aws, action)
            case SetInstancesState():
                return await set_instances_state(self._aws, action, self._graph)
            case TerminateInstance():
                return await terminate_instance(self._aws, action)
            case ChangeMembership():
                return await self._change_membership(action)
