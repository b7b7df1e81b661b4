"""The steps of `world.World` and their arguments, which Hypothesis and `explore` draw."""

from __future__ import annotations

from typing import Any

from tests.unit.chaos.faults import Kind
from tests.unit.chaos.world import COMPONENTS, WORKERS

PREFIXES = (
    *("", "Services", "Tasks", "Instances", "Task"),
    *("ListTasks", "DescribeTasks", "ListServices", "DescribeServices", "List", "Describe"),
    *("ListContainerInstances", "DescribeContainerInstances", "DescribeInstances"),
    *("DescribeTaskDefinition", "DescribeClusters", "GetTaskProtection"),
    *("UpdateService", "CreateService", "RegisterTaskDefinition"),
    *("UpdateTaskProtection", "TagResource"),
)
"""Operations that may have a fault, by a part of their names."""
SIGHTS = ("etcd", "nats", "frontend", "registry", "pages", "frontends", "signal")
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
    "lose_sight": {"what": SIGHTS, "passes": (1, 2, 4, 8, 20)},
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
    "edit_count": {"component": ("frontend", *WORKERS), "replicas": (1, 2, 3)},
    "settle": {},
}
"""Steps, with the values of their arguments."""
CHANGES = ("edit_image", "edit_count", "demand", "kill")
"""Steps after which the daemon has something to do."""
SETUP: dict[str, tuple[Any, ...]] = {
    "prefill": (1, 2),
    "decode": (1, 2, 3),
    "frontends": (1, 2),
    "spare": (0, 1, 2, 5),
    "scaled": (False, True),
    "canary": (False, True),
    "least": (100, 50),
    "shared": (False, True),
}
"""The initial state of a world; ``spare``: GPUs beyond those that are needed."""


def begin(**told: Any) -> dict[str, Any]:
    """Return the arguments of `World` for a choice of `SETUP`."""
    made = dict(told)
    made["gpus"] = made["prefill"] + made["decode"] + made.pop("spare")
    return made
