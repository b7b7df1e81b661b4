"""How many task definition revisions are kept, and which go.

ECS keeps every revision for ever (up to a million a family). Of the graph's own the newest are
kept, and whatever is still needed: what the service, a deployment or a task refers to, and what is
marked good, as it is what a bad rollout is taken back to.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from ecs_dynamo.model.plan import RetireRevisions
from ecs_dynamo.planning.wanted import Wanted

A_PASS = 10
"""Revisions retired in one action; DeleteTaskDefinitions takes as many (ECS API reference)."""


def number_of(arn: str) -> int:
    """The number of a revision; 0 where the ARN has none."""
    text = arn.rpartition(":")[2]
    return int(text) if text.isdecimal() else 0


def surplus(arns: Iterable[str], keep: int, needed: Collection[str]) -> tuple[str, ...]:
    """Those of a family's revisions that may go, oldest first.

    ``keep`` are the newest that stay, whether needed or not.
    """
    ordered = sorted(arns, key=number_of)
    return tuple(arn for arn in ordered[: max(0, len(ordered) - keep)] if arn not in needed)


def retire_revisions(wanted: Iterable[Wanted]) -> list[RetireRevisions]:
    """Once the graph is as declared: let go of what is more than is kept."""
    return [
        RetireRevisions(
            component=one.component.name,
            reason=f"{one.component.rollout.keep_revisions} revisions are kept",
            family=one.component.family,
            arns=one.seen.surplus[:A_PASS],
        )
        for one in wanted
        if one.seen.surplus and one.service is not None
    ]
