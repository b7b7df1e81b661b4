"""Registration and removal of task definition revisions."""

from __future__ import annotations

import structlog

from ecs_dynamo.aws.client import Aws
from ecs_dynamo.aws.failures import NO_ANSWER
from ecs_dynamo.aws.observe.convert import tags_of, to_revision
from ecs_dynamo.aws.observe.graph_cache import GraphCache
from ecs_dynamo.aws.observe.revisions import UNKNOWN_REVISION, describe_revision
from ecs_dynamo.aws.pages import batches
from ecs_dynamo.aws.resources.tags import tags_request
from ecs_dynamo.model.errors import AwsError
from ecs_dynamo.model.graph import TAG_FINGERPRINT, TAG_GRAPH
from ecs_dynamo.model.plan import RegisterTaskDefinition, RetireRevisions, RevisionRef

_log = structlog.get_logger(__name__)

REGISTER_ATTEMPTS = 3
"""RegisterTaskDefinition calls per action if no answer arrives, each after a read."""
DELETED_PER_CALL = 10
"""Revisions in one DeleteTaskDefinitions (ECS API reference)."""


class RevisionRegistry:
    """Registers and removes the revisions of one graph, and knows the ARNs of registered ones."""

    def __init__(self, aws: Aws, graph: str, cache: GraphCache) -> None:
        self._aws = aws
        self._graph = graph
        self._cache = cache
        self._registered: dict[tuple[str, str], str] = {}

    async def register(self, action: RegisterTaskDefinition) -> bool:
        """Register a revision unless the family's latest one already matches; whether it was new.

        A call without an answer may have taken effect, so the latest revision is read again before
        the next attempt. Raises `AwsError`.
        """
        key = (action.family, action.fingerprint)
        for attempt in range(REGISTER_ATTEMPTS):
            latest = await describe_revision(self._aws, action.family)
            if latest is not None and latest.tags.get(TAG_FINGERPRINT) == action.fingerprint:
                self._registered[key] = latest.arn
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
                if error.code not in NO_ANSWER or attempt + 1 == REGISTER_ATTEMPTS:
                    raise
        revision = to_revision(answer["taskDefinition"], tags_request(action.tags))
        self._cache.put(revision)
        self._registered[key] = revision.arn
        return True

    def arn(self, revision: RevisionRef) -> str:
        """Return the ARN of a revision. Raises `AwsError` if it has not been registered."""
        arn = revision.arn or self._registered.get((revision.family, revision.fingerprint))
        if arn is None:
            raise AwsError(
                "UpdateService", "NotRegistered", f"{revision.family} {revision.fingerprint}"
            )
        return arn

    def doubt(self, revision: RevisionRef) -> None:
        """Have the revision read again: ECS refused it, so it may be deregistered or deleted."""
        key = (revision.family, revision.fingerprint)
        arn = revision.arn or self._registered.pop(key, None)
        if arn is not None:
            self._cache.doubt(arn)

    async def retire(self, action: RetireRevisions) -> bool:
        """Deregister and delete revisions that carry the graph's tag; whether there were any.

        ECS deletes only deregistered revisions. Raises `AwsError`.
        """
        deletable: list[str] = []
        for arn in action.arns:
            if await self._deregister_own(arn):
                deletable.append(arn)
            self._cache.forget(arn)
        for batch in batches(deletable, DELETED_PER_CALL):
            answer = await self._aws.call("ecs", "DeleteTaskDefinitions", taskDefinitions=batch)
            for failure in answer.get("failures", []):
                _log.warning(
                    "revision not deleted", arn=failure.get("arn"), reason=failure.get("reason")
                )
        return bool(deletable)

    async def _deregister_own(self, arn: str) -> bool:
        """Deregister a revision of the graph if necessary; whether it is still to be deleted."""
        try:
            answer = await self._aws.call(
                "ecs", "DescribeTaskDefinition", taskDefinition=arn, include=["TAGS"]
            )
        except AwsError as error:
            if error.code != UNKNOWN_REVISION:
                raise
            return False
        status = answer["taskDefinition"].get("status")
        if tags_of(answer.get("tags", [])).get(TAG_GRAPH) != self._graph:
            return False
        if status == "ACTIVE":
            await self._deregister(arn)
        return bool(status != "DELETE_IN_PROGRESS")

    async def _deregister(self, arn: str) -> None:
        try:
            await self._aws.call("ecs", "DeregisterTaskDefinition", taskDefinition=arn)
        except AwsError as error:
            # A call that took effect and timed out is repeated, and then refused.
            if error.code != UNKNOWN_REVISION or "inactive" not in str(error):
                raise
