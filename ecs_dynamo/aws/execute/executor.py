"""Doing what the plan says: one idempotent AWS call an action, in order, each logged with why.

A call may time out after it took effect and the daemon may die between any two, so every action
first makes sure, or can bear, that it was done already: registering looks for the fingerprint,
creating adopts only what carries the graph's tag, updating and deleting are the same twice.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import structlog

from ecs_dynamo.aws.client import THROTTLES, TRANSIENT, UNHEARD, Aws
from ecs_dynamo.aws.execute.capacity import (
    set_desired_capacity,
    set_instances_state,
    terminate_instance,
)
from ecs_dynamo.aws.execute.creation_tokens import CreationTokens
from ecs_dynamo.aws.execute.stop_task import stop_task
from ecs_dynamo.aws.observe.convert import (
    tags_of,
    to_revision,
)
from ecs_dynamo.aws.observe.graph_cache import GraphCache
from ecs_dynamo.aws.observe.revisions import describe_revision
from ecs_dynamo.aws.resources.tags import remove_tags, set_tags, tags_request
from ecs_dynamo.aws.service_settings import creation_parameters, update_parameters
from ecs_dynamo.aws.write_guard import SecondsLeft, unlimited, writes_guarded
from ecs_dynamo.common.arns import resource_name
from ecs_dynamo.model.errors import AwsError
from ecs_dynamo.model.graph import (
    TAG_FINGERPRINT,
    TAG_GRAPH,
)
from ecs_dynamo.model.plan import (
    AnyAction,
    ChangeMembership,
    CreateService,
    DeleteService,
    Plan,
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

_log = structlog.get_logger(__name__)

REGISTER_ATTEMPTS = 3
"""RegisterTaskDefinition calls per action if no answer arrives, each after a read."""
PROTECT_PER_CALL = 10
"""Tasks in one UpdateTaskProtection (ECS API reference)."""
NO_REJECTION = THROTTLES | TRANSIENT | UNHEARD | {"NoCredentials"}
"""Codes that tell nothing of the action itself."""
DELETE_PER_CALL = 10
"""Revisions in one DeleteTaskDefinitions (ECS API reference)."""


@dataclass(frozen=True, slots=True)
class ActionResult:
    """What became of one action. ``skipped``: an earlier one of its component failed."""

    action: AnyAction
    ok: bool
    changed: bool
    seconds: float
    error: str | None = None
    skipped: bool = False
    rejected: bool = False
    """AWS answered, and does not accept the action as it is."""


class Executor:
    """Executes plans of one graph. ``clock`` is monotonic seconds, for durations.

    ``change_membership`` is what reaches etcd, which is no part of AWS; it raises ConnectionError.
    """

    def __init__(
        self,
        aws: Aws,
        graph_name: str,
        cache: GraphCache,
        clock: Callable[[], float],
        change_membership: Callable[[ChangeMembership], Awaitable[bool]],
    ) -> None:
        self._change_membership = change_membership
        self._aws = aws
        self._graph = graph_name
        self._cache = cache
        self._clock = clock
        self._registered: dict[tuple[str, str], str] = {}
        self._tokens = CreationTokens()

    async def execute(
        self,
        plan: Plan,
        should_stop: Callable[[], bool] = lambda: False,
        seconds_left: SecondsLeft = unlimited,
    ) -> tuple[ActionResult, ...]:
        """Run the actions in order; ``should_stop`` is asked before each.

        ``seconds_left`` is asked before each attempt at a write: a retry must not outlive the
        lease under which the plan was made.

        A failure stops the later actions of its component only. Never raises `AwsError`.
        """
        self._tokens.begin(plan.actions)
        results: list[ActionResult] = []
        broken: set[str] = set()
        for action in plan.actions:
            if should_stop():
                break
            if action.component in broken:
                results.append(ActionResult(action, False, False, 0.0, skipped=True))
                continue
            with writes_guarded(seconds_left):
                result = await self._run(action)
            if not result.ok:
                broken.add(action.component)
            results.append(result)
        return tuple(results)

    async def _run(self, action: AnyAction) -> ActionResult:
        started = self._clock()
        log = _log.bind(component=action.component, action=type(action).__name__)
        try:
            changed = await self._do(action)
        except (AwsError, ConnectionError) as error:
            self._doubt_revision(action)
            log.error("action failed", reason=action.reason, error=str(error))
            rejected = isinstance(error, AwsError) and error.code not in NO_REJECTION
            seconds = self._clock() - started
            return ActionResult(action, False, False, seconds, str(error), rejected=rejected)
        except Exception as error:
            # An answer that lacks what it must hold ends this action, not those of others.
            log.exception("action failed", reason=action.reason)
            told = f"it ended in {type(error).__name__}: {str(error)[:200]}"
            return ActionResult(action, False, False, self._clock() - started, told)
        seconds = self._clock() - started
        log.info("action done", reason=action.reason, changed=changed, seconds=round(seconds, 3))
        return ActionResult(action, True, changed, seconds)

    def _doubt_revision(self, action: AnyAction) -> None:
        """A service was refused a revision: somebody may have deregistered or deleted it."""
        if isinstance(action, CreateService | UpdateService) and action.revision is not None:
            used = action.revision
            arn = used.arn or self._registered.pop((used.family, used.fingerprint), None)
            if arn is not None:
                self._cache.doubt(arn)

    async def _do(self, action: AnyAction) -> bool:
        match action:
            case RegisterTaskDefinition():
                return await self._register(action)
            case CreateService():
                return await self._create(action)
            case UpdateService():
                return await self._update(action)
            case ProtectTasks():
                return await self._protect(action)
            case StopTask():
                return await self._stop(action)
            case DeleteService():
                return await self._delete(action)
            case TagService():
                return await self._tag(action)
            case RetireRevisions():
                return await self._retire(action)
            case SetDesiredCapacity():
                return await set_desired_capacity(self._aws, action)
            case SetInstancesState():
                return await set_instances_state(self._aws, action, self._graph)
            case TerminateInstance():
                return await terminate_instance(self._aws, action)
            case ChangeMembership():
                return await self._change_membership(action)

    async def _register(self, action: RegisterTaskDefinition) -> bool:
        """Register a revision unless the family's latest already matches.

        A call without an answer may have taken effect, so the latest revision is read again before
        the next attempt.
        """
        key = (action.family, action.fingerprint)
        for attempt in range(REGISTER_ATTEMPTS):
            latest = await self._latest(action.family)
            if latest is not None and latest[1] == action.fingerprint:
                self._registered[key] = latest[0]
                return attempt > 0
            try:
                answer = await self._aws.call(
                    "ecs",
                    "RegisterTaskDefinition",
                    **action.content,
                    tags=tags_request(action.tags),
                )
                break
            except AwsError as error:
                if error.code not in UNHEARD or attempt + 1 == REGISTER_ATTEMPTS:
                    raise
        revision = to_revision(answer["taskDefinition"], tags_request(action.tags))
        self._cache.put(revision)
        self._registered[key] = revision.arn
        return True

    async def _latest(self, family: str) -> tuple[str, str | None] | None:
        """ARN and fingerprint of the family's latest revision, asked afresh."""
        revision = await describe_revision(self._aws, family)
        return (revision.arn, revision.tags.get(TAG_FINGERPRINT)) if revision is not None else None

    def _arn(self, revision: RevisionRef) -> str:
        arn = revision.arn or self._registered.get((revision.family, revision.fingerprint))
        if arn is None:
            raise AwsError(
                "UpdateService", "NotRegistered", f"{revision.family} {revision.fingerprint}"
            )
        return arn

    async def _describe(self, cluster: str, service: str) -> dict[str, Any] | None:
        answer = await self._aws.call(
            "ecs", "DescribeServices", cluster=cluster, services=[service], include=["TAGS"]
        )
        for raw in answer.get("services", []):
            if raw.get("status") != "INACTIVE":
                found: dict[str, Any] = raw
                return found
        return None

    async def _create(self, action: CreateService) -> bool:
        arn = self._arn(action.revision)
        request: dict[str, Any] = {
            "cluster": action.cluster,
            "serviceName": action.service,
            "taskDefinition": arn,
            "desiredCount": action.desired,
            "clientToken": self._tokens.of(action),
            "tags": tags_request(action.tags),
            **creation_parameters(action.settings),
        }
        try:
            await self._aws.call("ecs", "CreateService", **request)
            # The next look may not show it yet.
            self._cache.sightings.confirm("service", action.cluster, action.service)
        except AwsError as error:
            if error.code != "InvalidParameterException" or "idempotent" not in str(error):
                raise
            # It is there already: ours from a call that timed out after it took effect, or not.
            found = await self._describe(action.cluster, action.service)
            if found is None or tags_of(found.get("tags", [])).get(TAG_GRAPH) != self._graph:
                raise
            self._tokens.done(action)
            return False
        self._tokens.done(action)
        return True

    async def _owned(self, cluster: str, service: str) -> dict[str, Any] | None:
        """The service where it carries the graph's tag; the last check before a change."""
        found = await self._describe(cluster, service)
        if found is not None and tags_of(found.get("tags", [])).get(TAG_GRAPH) != self._graph:
            raise AwsError(
                "DescribeServices", "Foreign", f"{service} lacks {TAG_GRAPH}={self._graph}"
            )
        return found

    async def _update(self, action: UpdateService) -> bool:
        if await self._owned(action.cluster, action.service) is None:
            raise AwsError("UpdateService", "ServiceNotFound", action.service)
        request: dict[str, Any] = {"cluster": action.cluster, "service": action.service}
        if action.revision is not None:
            request["taskDefinition"] = self._arn(action.revision)
        if action.desired is not None:
            request["desiredCount"] = action.desired
        request |= update_parameters(action.settings)
        await self._aws.call("ecs", "UpdateService", **request)
        return True

    async def _protect(self, action: ProtectTasks) -> bool:
        more = {"expiresInMinutes": action.minutes} if action.minutes is not None else {}
        for start in range(0, len(action.tasks), PROTECT_PER_CALL):
            batch = action.tasks[start : start + PROTECT_PER_CALL]
            answer = await self._aws.call(
                "ecs",
                "UpdateTaskProtection",
                cluster=action.cluster,
                tasks=list(batch),
                protectionEnabled=action.minutes is not None,
                **more,
            )
            failures = {str(f.get("arn")): f for f in answer.get("failures", [])}
            for arn in await self._alive(action.cluster, failures) if failures else ():
                failure = failures[arn]
                code, detail = str(failure.get("reason")), failure.get("detail") or ""
                raise AwsError("UpdateTaskProtection", code, f"{arn}: {detail}".rstrip(": "))
        return True

    async def _alive(self, cluster: str, arns: Iterable[str]) -> list[str]:
        """Those of ``arns`` that are tasks which run or start.

        UpdateTaskProtection answers with HTTP 200 and ``failures``: MISSING and TASK_NOT_VALID for
        tasks that have ended meanwhile, which need no protection any more; but also
        DEPLOYMENT_BLOCKED where the service has more protected tasks than its desired count (ECS
        developer guide, task scale-in protection; "API failure reasons"). Whether a task has ended
        is asked, not read from the reason, which may be one that is not known here.
        """
        asked = list(arns)
        answer = await self._aws.call("ecs", "DescribeTasks", cluster=cluster, tasks=asked)
        ended = {
            resource_name(t["taskArn"])
            for t in answer["tasks"]
            if "STOPPED" in (t.get("desiredStatus"), t.get("lastStatus"))
        }
        ended |= {
            str(f.get("arn")).rpartition("/")[2]
            for f in answer.get("failures", [])
            if f.get("reason") == "MISSING"
        }
        alive = [arn for arn in asked if resource_name(arn) not in ended]
        _log.info("tasks have ended and need no protection", count=len(asked) - len(alive))
        return alive

    async def _stop(self, action: StopTask) -> bool:
        if await self._owned(action.cluster, action.service) is None:
            return False  # Its tasks end with it.
        return await stop_task(self._aws, action)

    async def _tag(self, action: TagService) -> bool:
        """Set, then remove, tags of the service and of its revision.

        The revision records which tags were declared once: it gets a new tag before the service
        and loses an old one after it, so that a daemon that dies in between forgets none.
        """
        found = await self._owned(action.cluster, action.service)
        if found is None:
            raise AwsError("TagResource", "ServiceNotFound", action.service)
        service: str = found["serviceArn"]
        both = [arn for arn in (action.revision, service) if arn is not None]
        if action.set_tags:
            for arn in both:
                await set_tags(self._aws, arn, action.set_tags)
        if action.remove_tags:
            for arn in reversed(both):
                await remove_tags(self._aws, arn, action.remove_tags)
        known = self._cache.get(action.revision) if action.revision is not None else None
        if known is not None:
            kept = {k: v for k, v in known.tags.items() if k not in action.remove_tags}
            self._cache.put(replace(known, tags={**kept, **action.set_tags}))
        return True

    async def _retire(self, action: RetireRevisions) -> bool:
        """Only what carries the graph's tag; a revision must be deregistered to be deleted."""
        mine: list[str] = []
        for arn in action.arns:
            try:
                answer = await self._aws.call(
                    "ecs", "DescribeTaskDefinition", taskDefinition=arn, include=["TAGS"]
                )
            except AwsError as error:
                if error.code != "ClientException":  # ECS's word for "no such task definition"
                    raise
                self._cache.forget(arn)
                continue
            status = answer["taskDefinition"].get("status")
            if tags_of(answer.get("tags", [])).get(TAG_GRAPH) == self._graph:
                if status == "ACTIVE":
                    await self._deregister(arn)
                if status != "DELETE_IN_PROGRESS":
                    mine.append(arn)
            self._cache.forget(arn)
        for start in range(0, len(mine), DELETE_PER_CALL):
            batch = mine[start : start + DELETE_PER_CALL]
            answer = await self._aws.call("ecs", "DeleteTaskDefinitions", taskDefinitions=batch)
            for failure in answer.get("failures", []):
                _log.warning(
                    "revision not deleted", arn=failure.get("arn"), why=failure.get("reason")
                )
        return bool(mine)

    async def _deregister(self, arn: str) -> None:
        try:
            await self._aws.call("ecs", "DeregisterTaskDefinition", taskDefinition=arn)
        except AwsError as error:
            # A call that timed out after it took effect is repeated, and then refused.
            if error.code != "ClientException" or "inactive" not in str(error):
                raise

    async def _delete(self, action: DeleteService) -> bool:
        found = await self._owned(action.cluster, action.service)
        if found is None or found.get("status") == "DRAINING":
            return False
        try:
            await self._aws.call(
                "ecs", "DeleteService", cluster=action.cluster, service=action.service, force=True
            )
        except AwsError as error:
            if error.code not in {"ServiceNotFoundException", "ServiceNotActiveException"}:
                raise
            return False
        return True
