"""Tags of ECS resources."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ecs_dynamo.aws.client import Aws


def tags_request(tags: Mapping[str, str]) -> list[dict[str, str]]:
    """Return tags as a request contains them, sorted by key."""
    return [{"key": key, "value": tags[key]} for key in sorted(tags)]


async def set_tags(aws: Aws, arn: str, tags: Mapping[str, str]) -> None:
    """Add tags to a resource, or replace their values. Raises `AwsError`."""
    await aws.call("ecs", "TagResource", resourceArn=arn, tags=tags_request(tags))


async def remove_tags(aws: Aws, arn: str, keys: Iterable[str]) -> None:
    """Remove the tags with these keys from a resource. Raises `AwsError`."""
    await aws.call("ecs", "UntagResource", resourceArn=arn, tagKeys=list(keys))
