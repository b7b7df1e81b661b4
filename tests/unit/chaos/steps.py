"""The events of `world.World` and their arguments, from which Hypothesis and `explore` draw."""

from __future__ import annotations

from typing import Any

from tests.unit.chaos.setup import COMPONENTS, WORKERS, Setup
from tests.unit.chaos.simulation.faults import Kind

PREFIXES = (
    *("", "Services", "Tasks", "Instances", "Task"),
    *("ListTasks", "DescribeTasks", "ListServices", "DescribeServices", "List", "Describe"),
    *("ListContainerInstances", "DescribeContainerInstances", "DescribeInstances"),
    *("DescribeTaskDefinition", "DescribeClusters", "GetTaskProtection"),
    *("UpdateService", "CreateService", "RegisterTaskDefinition"),
    *("UpdateTaskProtection", "TagResource"),
)
"""Parts of the names of operations that a fault may affect."""
REQUESTS = ("etcd", "nats", "frontend", "registry", "pages", "frontends", "signal")
PARAMETERS: dict[str, dict[str, tuple[Any, ...]]] = {
    "run": {"passes": (1, 2, 3, 6)},
    "die": {"call": tuple(range(1, 41)), "after": (False, True)},
    "die_at_write": {"write": (1, 2, 3, 4, 6), "after": (False, True)},
    "lose_lease": {"write": (1, 2, 3, 4), "during": (False, True)},
    "race": {"call": tuple(range(1, 31)), "kill": ("", "", *COMPONENTS)},
    "absent": {"steps": (1, 2, 5)},
    "jump": {"seconds": (-3600.0, 3600.0)},
    "fault": {
        "kind": tuple(k.value for k in Kind),
        "prefix": PREFIXES,
        "times": (1, 2, 3, 6, 12),
    },
    "lose_sight": {"what": REQUESTS, "passes": (1, 2, 4, 8, 20)},
    "silence": {"component": WORKERS, "index": (0, 1, 2)},
    "hang": {"component": WORKERS, "index": (0, 1, 2)},
    "forget": {"component": WORKERS, "index": (0, 1, 2)},
    "kill": {"component": COMPONENTS, "index": (0, 1, 2)},
    "lose_instance": {"number": tuple(range(8))},
    "drain_instance": {"number": tuple(range(8))},
    "shortage": {},
    "add_instances": {"count": (1, 2, 3)},
    "spot": {"number": tuple(range(8)), "interruption": (False, True)},
    "work": {"component": WORKERS, "index": (0, 1, 2)},
    "demand": {"value": (0.0, 3.0, 9.0, 40.0)},
    "slow": {"steps": (0, 1, 4)},
    "stranger": {"component": COMPONENTS},
    "edit_image": {"component": COMPONENTS, "how": ("good", "good", "good", "mute", "bad")},
    "edit_in_place": {"component": COMPONENTS},
    "revert": {"steps": (1, 1, 2)},
    "edit_count": {"component": ("frontend", *WORKERS), "replicas": (1, 2, 3)},
    "settle": {},
}
"""Events, with the values of their arguments."""
CHANGES = ("edit_image", "edit_in_place", "revert", "edit_count", "demand", "kill")
"""Events after which the daemon has something to do."""
SETUP: dict[str, tuple[Any, ...]] = {
    "prefill": (1, 2),
    "decode": (1, 2, 3),
    "frontends": (1, 2),
    "spare": (0, 1, 2, 5),
    "scaled": (False, True),
    "canary": (False, True),
    "minimum_healthy_percent": (100, 50),
    "shared": (False, True),
    "plain": (False, False, True),
}
"""The values of the fields of `Setup`; ``spare``: GPUs beyond those that workers need."""


def setup_of(spare: int, **fields: Any) -> Setup:
    """Return the setup for a choice from `SETUP`."""
    return Setup(gpus=fields["prefill"] + fields["decode"] + spare, **fields)
