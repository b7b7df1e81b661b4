"""EventBridge events of ECS and EC2 that the daemon listens to."""

from __future__ import annotations

from dataclasses import dataclass

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


@dataclass(frozen=True, slots=True)
class Notice:
    """EC2 told of an instance at ``at``: an ``interruption`` in two minutes, or a risk of one."""

    at: float
    interruption: bool
