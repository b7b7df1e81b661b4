"""Whole instances: how many hold a fleet's replicas, and what they cost.

AWS bills an EC2 instance from its launch to its end, whether all of its GPUs are used or not (EC2
User Guide, "Instance purchasing options").
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache


@dataclass(frozen=True, slots=True)
class InstanceType:
    """The GPUs of an instance, and its price in dollars per hour."""

    name: str
    gpus: int
    dollars: float


INSTANCE_TYPES = {
    t.name: t
    for t in (
        InstanceType("g6.xlarge", 1, 0.8048),
        InstanceType("g6.12xlarge", 4, 4.6016),
        InstanceType("p5.48xlarge", 8, 55.04),
    )
}
"""Prices: on demand, Linux, us-east-1, as of March 2026 (aws.amazon.com/ec2/pricing/on-demand)."""

INSTANCE_SIZES = tuple(t.gpus for t in INSTANCE_TYPES.values())


@lru_cache(maxsize=65_536)
def instances_needed(
    prefill: int, prefill_gpus: int, decode: int, decode_gpus: int, instance_gpus: int
) -> int:
    """Return the instances that hold the replicas of both pools, by first-fit decreasing packing.

    A replica larger than an instance takes several whole ones.
    """
    whole = 0
    fitting = []
    for gpus, replicas in ((prefill_gpus, prefill), (decode_gpus, decode)):
        if gpus > instance_gpus:
            whole += math.ceil(gpus / instance_gpus) * replicas
        else:
            fitting.append((gpus, replicas))
    free: list[tuple[int, int]] = []
    """(free GPUs, instances) beside the larger replicas."""
    for gpus, replicas in sorted(fitting, reverse=True):
        left = max(0, replicas - sum(count * (rest // gpus) for rest, count in free))
        each = instance_gpus // gpus
        full, last = divmod(left, each)
        whole += full + (last > 0)
        free = [(instance_gpus - each * gpus, full), (instance_gpus - last * gpus, int(last > 0))]
    return whole
