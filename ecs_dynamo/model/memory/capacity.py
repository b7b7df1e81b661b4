"""Memory of how long container instances have been empty or have not joined their cluster."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class CapacityMemory:
    """Since when each instance has been seen empty (by ARN), or in its group and not in the cluster
    (by EC2 id), in monotonic seconds."""

    empty_since: Mapping[str, float] = field(default_factory=dict)
    unjoined_since: Mapping[str, float] = field(default_factory=dict)
