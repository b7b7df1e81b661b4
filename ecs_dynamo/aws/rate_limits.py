"""Token buckets of AWS's API families, and which operations write."""

from __future__ import annotations

from collections.abc import Mapping

READ_PREFIXES = ("Describe", "List", "Get", "Simulate")

BUCKETS: Mapping[str, tuple[float, float]] = {
    "cluster-read": (50, 20),
    "service-read": (100, 20),
    "service-modify": (50, 5),
    "task-read": (100, 40),
    "task-modify": (100, 40),
    "task-definition-read": (100, 20),
    "task-definition-modify": (20, 1),
    "container-instance-read": (100, 40),
    "tags": (20, 10),
    "ec2-read": (50, 10),
    "other": (20, 5),
}
"""(burst, sustained calls per second) by API family, as granted per account and Region (ECS API
reference, "Request throttling"; EC2 API reference, "Request throttling", for EC2's describes)."""

_FAMILIES = (
    ("TaskDefinition", "task-definition"),
    ("Service", "service"),
    ("ContainerInstance", "container-instance"),
    ("Cluster", "cluster"),
    ("Task", "task"),
)


def is_write(operation: str) -> bool:
    """Whether an operation (``UpdateService``) changes anything."""
    return not operation.startswith(READ_PREFIXES)


def bucket_of(service: str, operation: str) -> str:
    """Return the name of the bucket from which an operation takes a token."""
    if service == "ec2":
        return "ec2-read"
    if "Tag" in operation:
        return "tags"
    if service == "ecs":
        for word, family in _FAMILIES:
            if word in operation:
                name = f"{family}-{'modify' if is_write(operation) else 'read'}"
                return name if name in BUCKETS else "other"
    return "other"
