"""EventBridge events of ECS and EC2 that the daemon listens to."""

from __future__ import annotations

from dataclasses import dataclass

NOTICE_SECONDS = 300.0
"""Seconds after which a notice no longer counts. The instance ends two minutes after it."""


def is_over(notice: Notice, now: float) -> bool:
    """Return whether the instance has ended since, or the notice's time is implausible."""
    return abs(now - notice.at) >= NOTICE_SECONDS


DETAIL_TYPES = (
    "ECS Task State Change",
    "ECS Deployment State Change",
    "ECS Container Instance State Change",
    "ECS Service Action",
)
"""Events of ECS that may require a pass (EventBridge, "Amazon ECS events")."""


NOTICE_TYPES = ("EC2 Spot Instance Interruption Warning", "EC2 Instance Rebalance Recommendation")
"""Events of EC2 that announce an instance's end, two minutes before it or as a risk."""


@dataclass(frozen=True, slots=True)
class Notice:
    """A notice of EC2 at ``at`` (UTC seconds): an ``interruption`` in two minutes, or a risk."""

    at: float
    interruption: bool
