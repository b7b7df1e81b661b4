"""Tags of any resource, by ARN."""

from __future__ import annotations

from ecs_dynamo.local.operations.registry import Context, operation
from ecs_dynamo.local.state.store import tags_of
from ecs_dynamo.local.wire.protocol import EcsError, Json, invalid


def _holder(context: Context, arn: str) -> list[Json]:
    state = context.state
    holders = (
        *((c.arn, c.tags) for c in state.clusters.values()),
        *((s.arn, s.tags) for s in state.services.values()),
        *((t.arn, t.tags) for t in state.tasks.values()),
        *((i.arn, i.tags) for i in state.instances.values()),
        *((d.arn, d.tags) for known in state.definitions.values() for d in known),
    )
    for own, tags in holders:
        if own == arn:
            return tags
    if not arn.startswith("arn:"):
        raise invalid("Invalid resource ARN.")
    raise EcsError("ResourceNotFoundException", "The specified resource could not be found.")


@operation("TagResource")
def tag_resource(context: Context, request: Json) -> Json:
    tags = _holder(context, request["resourceArn"])
    new = tags_of(request)
    kept = [t for t in tags if t["key"] not in {n["key"] for n in new}]
    tags[:] = [*kept, *new]
    return {}


@operation("UntagResource")
def untag_resource(context: Context, request: Json) -> Json:
    tags = _holder(context, request["resourceArn"])
    tags[:] = [t for t in tags if t["key"] not in set(request["tagKeys"])]
    return {}


@operation("ListTagsForResource")
def list_tags(context: Context, request: Json) -> Json:
    return {"tags": _holder(context, request["resourceArn"])}
