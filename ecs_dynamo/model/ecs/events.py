"""EventBridge events of ECS and EC2 that the daemon listens to."""

from __future__ import annotations

from ecs_dynamo.model.snapshot import Notice

NOTICE_SECONDS = 300.0
"""A notice is over by then: the instance ended two minutes after it."""


def is_over(notice: Notice, now: float) -> bool:
    """Whether the instance has ended since, or the time that the notice tells makes no sense."""
    return abs(now - notice.at) >= NOTICE_SECONDS


DETAIL_TYPES = (
    "ECS Task State Change",
    "ECS Deployment State Change",
    "ECS Container Instance State Change",
    "ECS Service Action",
)
"""Events of ECS that may mean work (EventBridge, "Amazon ECS events")."""


NOTICE_TYPES = ("EC2 Spot Instance Interruption Warning", "EC2 Instance Rebalance Recommendation")
"""Events of EC2 that tell of an instance's end: two minutes before it, or where it is likely."""
