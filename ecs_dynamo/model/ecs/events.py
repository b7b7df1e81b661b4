"""EventBridge events of ECS and EC2 that the daemon listens to."""

from __future__ import annotations

from dataclasses import dataclass

NOTICE_SECONDS = 300.0
"""Age at which a notice has expired: the instance ends two minutes after it."""


def is_over(notice: Notice, now: float) -> bool:
    """Whether the instance has ended since then, or the notice's time is invalid."""
    return abs(now - notice.at) >= NOTICE_SECONDS


DETAIL_TYPES = (
    "ECS Task State Change",
    "ECS Deployment State Change",
    "ECS Container Instance State Change",
    "ECS Service Action",
)
"""Events of ECS that may require a pass (EventBridge, "Amazon ECS events")."""


NOTICE_TYPES = ("EC2 Spot Instance Interruption Warning", "EC2 Instance Rebalance Recommendation")
"""Events of EC2 about the end of an instance: two minutes before it, or when it is likely."""


@dataclass(frozen=True, slots=True)
class Notice:
    """EC2's notice of ``at`` about an instance: an ``interruption`` in two minutes, or its risk."""

    at: float
    interruption: bool
