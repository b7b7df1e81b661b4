"""Operations on tags, which all kinds of resources have."""

from __future__ import annotations

from ecs_dynamo.local.operations.registry import Context, operation
from ecs_dynamo.local.state.store import tags_of
from ecs_dynamo.local.wire.protocol import EcsError, Json, invalid


def _tags_of_resource(context: Context, arn: str) -> list[Json]:
    state = context.state
    resources = (
        *((c.arn, c.tags) for c in state.clusters.values()),
        *((s.arn, s.tags) for s in state.services.values()),
        *((t.arn, t.tags) for t in state.tasks.values()),
        *((i.arn, i.tags) for i in state.instances.values()),
        *((d.arn, d.tags) for revisions in state.definitions.values() for d in revisions),
    )
    for resource_arn, tags in resources:
        if resource_arn == arn:
            return tags
    if not arn.startswith("arn:"):
        raise invalid("Invalid resource ARN.")
    raise EcsError("ResourceNotFoundException", "The specified resource could not be found.")


@operation("TagResource")
def tag_resource(context: Context, request: Json) -> Json:
    tags = _tags_of_resource(context, request["resourceArn"])
    new = tags_of(request)
    new_keys = {t["key"] for t in new}
    tags[:] = [*(t for t in tags if t["key"] not in new_keys), *new]
    return {}


@operation("UntagResource")
def untag_resource(context: Context, request: Json) -> Json:
    tags = _tags_of_resource(context, request["resourceArn"])
    tags[:] = [t for t in tags if t["key"] not in set(request["tagKeys"])]
    return {}


@operation("ListTagsForResource")
def list_tags_for_resource(context: Context, request: Json) -> Json:
    return {"tags": _tags_of_resource(context, request["resourceArn"])}
