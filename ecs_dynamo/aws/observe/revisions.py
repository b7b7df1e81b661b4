"""Task definition revisions, one at a time."""

from __future__ import annotations

from typing import Any

from ecs_dynamo.aws.client import Aws
from ecs_dynamo.aws.observe.convert import to_revision
from ecs_dynamo.common.arns import resource_name, revision_number
from ecs_dynamo.model.errors import AwsError
from ecs_dynamo.model.snapshot import Revision

UNKNOWN_REVISION = "ClientException"
"""ECS's error code for "no such task definition"."""


def deleted_revision(arn: str) -> Revision:
    """Return a revision that was deleted before it was read: only its name and number are known."""
    family = resource_name(arn).partition(":")[0]
    return Revision(arn, family, revision_number(arn), content={}, active=False)


async def describe_revision(aws: Aws, name: str, *, tags: bool = True) -> Revision | None:
    """Return a revision by ARN or ``family:number``, or the latest ACTIVE one of a family.

    None if ECS does not know it. Raises `AwsError`.
    """
    more: dict[str, Any] = {"include": ["TAGS"]} if tags else {}
    try:
        answer = await aws.call("ecs", "DescribeTaskDefinition", taskDefinition=name, **more)
    except AwsError as error:
        if error.code != UNKNOWN_REVISION:
            raise
        return None
    return to_revision(answer["taskDefinition"], answer.get("tags", []))
