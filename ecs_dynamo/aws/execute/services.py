"""Changes of ECS services. Only services that carry the graph's tag are changed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from ecs_dynamo.aws.client import Aws
from ecs_dynamo.aws.execute.creation_tokens import CreationTokens
from ecs_dynamo.aws.execute.registration import RevisionRegistry
from ecs_dynamo.aws.execute.stop_task import stop_task
from ecs_dynamo.aws.observe.convert import tags_of
from ecs_dynamo.aws.observe.graph_cache import GraphCache
from ecs_dynamo.aws.resources.tags import remove_tags, set_tags, tags_request
from ecs_dynamo.aws.service_settings import creation_parameters, update_parameters
from ecs_dynamo.model.errors import AwsError
from ecs_dynamo.model.graph import TAG_GRAPH
from ecs_dynamo.model.plan import (
    AnyAction,
    CreateService,
    DeleteService,
    StopTask,
    TagService,
    UpdateService,
)

_ALREADY_GONE = frozenset({"ServiceNotFoundException", "ServiceNotActiveException"})


class ServiceWriter:
    """Creates, changes and deletes the services of one graph. All methods raise `AwsError`."""

    def __init__(
        self, aws: Aws, graph: str, cache: GraphCache, revisions: RevisionRegistry
    ) -> None:
        self._aws = aws
        self._graph = graph
        self._cache = cache
        self._revisions = revisions
        self._tokens = CreationTokens()

    def begin_plan(self, actions: Iterable[AnyAction]) -> None:
        """Forget the tokens of creations that a new plan does not contain."""
        self._tokens.begin(actions)

    async def create(self, action: CreateService) -> bool:
        """Create a service, or adopt the graph's own one of this name; whether it was created."""
        request: dict[str, Any] = {
            "cluster": action.cluster,
            "serviceName": action.service,
            "taskDefinition": self._revisions.arn(action.revision),
            "desiredCount": action.desired,
            "clientToken": self._tokens.of(action),
            "tags": tags_request(action.tags),
            **creation_parameters(action.settings),
        }
        try:
            await self._aws.call("ecs", "CreateService", **request)
        except AwsError as error:
            if error.code != "InvalidParameterException" or "idempotent" not in str(error):
                raise
            # The name is in use: by a call of ours that took effect and timed out, or by others.
            service = await self._describe(action.cluster, action.service)
            if service is None or not self._is_own(service):
                raise
            created = False
        else:
            # ECS may not list the service yet in the next pass.
            self._cache.sightings.confirm("service", action.cluster, action.service)
            created = True
        self._tokens.done(action)
        return created

    async def update(self, action: UpdateService) -> None:
        """Change the settings, the revision or the desired count of a service."""
        await self._require(action.cluster, action.service, "UpdateService")
        request: dict[str, Any] = {"cluster": action.cluster, "service": action.service}
        if action.revision is not None:
            request["taskDefinition"] = self._revisions.arn(action.revision)
        if action.desired is not None:
            request["desiredCount"] = action.desired
        request |= update_parameters(action.settings)
        await self._aws.call("ecs", "UpdateService", **request)

    async def tag(self, action: TagService) -> None:
        """Set, then remove, tags of the service and of its revision.

        The revision records which tags were declared once: it gets a new tag before the service
        and loses an old one after it, so that a daemon that dies in between forgets none.
        """
        service = await self._require(action.cluster, action.service, "TagResource")
        arns = [arn for arn in (action.revision, service["serviceArn"]) if arn is not None]
        if action.set_tags:
            for arn in arns:
                await set_tags(self._aws, arn, action.set_tags)
        if action.remove_tags:
            for arn in reversed(arns):
                await remove_tags(self._aws, arn, action.remove_tags)
        cached = self._cache.get(action.revision) if action.revision is not None else None
        if cached is not None:
            kept = {k: v for k, v in cached.tags.items() if k not in action.remove_tags}
            self._cache.put(replace(cached, tags={**kept, **action.set_tags}))

    async def stop_task(self, action: StopTask) -> bool:
        """Stop a task of a service; whether it was stopped."""
        if await self._own(action.cluster, action.service) is None:
            return False  # Its tasks end with it.
        return await stop_task(self._aws, action)

    async def delete(self, action: DeleteService) -> bool:
        """Delete a service with its tasks; whether it was there."""
        service = await self._own(action.cluster, action.service)
        if service is None or service.get("status") == "DRAINING":
            return False
        try:
            await self._aws.call(
                "ecs", "DeleteService", cluster=action.cluster, service=action.service, force=True
            )
        except AwsError as error:
            if error.code not in _ALREADY_GONE:
                raise
            return False
        return True

    async def _require(self, cluster: str, name: str, operation: str) -> dict[str, Any]:
        service = await self._own(cluster, name)
        if service is None:
            raise AwsError(operation, "ServiceNotFound", name)
        return service

    async def _own(self, cluster: str, name: str) -> dict[str, Any] | None:
        """Return the service, or None if there is none: the last check before a change.

        Raises `AwsError` if it does not carry the graph's tag.
        """
        service = await self._describe(cluster, name)
        if service is not None and not self._is_own(service):
            raise AwsError("DescribeServices", "Foreign", f"{name} lacks {TAG_GRAPH}={self._graph}")
        return service

    def _is_own(self, service: dict[str, Any]) -> bool:
        return tags_of(service.get("tags", [])).get(TAG_GRAPH) == self._graph

    async def _describe(self, cluster: str, name: str) -> dict[str, Any] | None:
        answer = await self._aws.call(
            "ecs", "DescribeServices", cluster=cluster, services=[name], include=["TAGS"]
        )
        live = (raw for raw in answer.get("services", []) if raw.get("status") != "INACTIVE")
        return next(live, None)
