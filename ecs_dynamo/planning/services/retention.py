"""How many task definition revisions are kept, and which go.

ECS keeps every revision for ever (up to a million a family). Of the graph's own the newest are
kept, and whatever is still needed: what the service, a deployment or a task refers to, and what is
marked good, as it is what a bad rollout is taken back to.
"""

from __future__ import annotations

from collections.abc import Iterable

from ecs_dynamo.model.ecs.task_definition import RETIRED_PER_PASS
from ecs_dynamo.model.plan import RetireRevisions
from ecs_dynamo.planning.desired.component import ComponentState


def retire_revisions(wanted: Iterable[ComponentState]) -> list[RetireRevisions]:
    """Once the graph is as declared: let go of what is more than is kept."""
    return [
        RetireRevisions(
            component=one.component.name,
            reason=f"{one.component.rollout.keep_revisions} revisions are kept",
            family=one.component.family,
            arns=one.observed.surplus[:RETIRED_PER_PASS],
        )
        for one in wanted
        if one.observed.surplus and one.service is not None
    ]
