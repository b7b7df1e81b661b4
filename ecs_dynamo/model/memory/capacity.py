"""Memory of how long container instances have been empty or have not joined their cluster."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class CapacityMemory:
    """When the current states of instances began, in monotonic seconds."""

    empty_since: Mapping[str, float] = field(default_factory=dict)
    """ARN of a container instance -> since when it has been observed without a task."""
    unjoined_since: Mapping[str, float] = field(default_factory=dict)
    """EC2 instance id -> since when it has been in its group but not in the cluster."""
