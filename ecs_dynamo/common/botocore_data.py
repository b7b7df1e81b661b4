"""Data of the installed botocore: models of AWS's services, and AWS's partitions.

They need no call. A newer botocore brings new members, Regions and partitions.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import botocore
from botocore.loaders import Loader
from botocore.model import ServiceModel

VERSION: str = botocore.__version__


@cache
def service_model(service: str) -> ServiceModel:
    """Return botocore's model of a service, such as ``ecs``."""
    return ServiceModel(Loader().load_service_model(service, "service-2"))


@cache
def register_task_definition_input() -> Any:
    """Return the input shape of RegisterTaskDefinition."""
    return service_model("ecs").operation_model("RegisterTaskDefinition").input_shape


@cache
def task_definition_output_only() -> frozenset[str]:
    """Return the members that ECS adds when it describes a task definition, and does not accept.

    They are members of TaskDefinition and not of RegisterTaskDefinition's input.
    """
    described: Any = service_model("ecs").shape_for("TaskDefinition")
    return frozenset(set(described.members) - set(register_task_definition_input().members))


@cache
def partitions() -> tuple[Mapping[str, Any], ...]:
    """Return every partition, with its ``regions``, its ``regionRegex`` and its ``outputs``."""
    return tuple(Loader().load_data("partitions")["partitions"])
