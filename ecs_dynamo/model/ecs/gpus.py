"""GPU requirements of task definitions.

A value is a whole number, a decimal for a share of a GPU, or ``ALL`` (Amazon ECS developer guide,
"Specifying GPUs in an Amazon ECS task definition"). A decimal is placed "on a fractional GPU
instance that provides the requested GPU capacity": such an instance has one device, so a share
counts as one slot. ``ALL`` takes every GPU of its instance.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from ecs_dynamo.model.ecs.task_definition import containers_in
from ecs_dynamo.model.graph import Component

_NUMBER = re.compile(r"[0-9]{1,4}|[0-9]{0,4}\.[0-9]{1,12}")
ALL = "ALL"


@dataclass(frozen=True, slots=True)
class GpuRequest:
    """GPU slots of one replica. ``all``: every slot of its instance, and at least ``slots``."""

    slots: int = 0
    all: bool = False


def parse_gpus(value: object) -> GpuRequest:
    """Return the slots of a requirement's ``value``. Raises ValueError if ECS would refuse it."""
    text = str(value)
    if text == ALL:
        return GpuRequest(1, all=True)
    if not _NUMBER.fullmatch(text) or float(text) <= 0:
        raise ValueError(f"{text!r} is not a number of GPUs")
    return GpuRequest(math.ceil(Decimal(text)))


def gpu_request(content: Mapping[str, Any]) -> GpuRequest:
    """Return the GPU slots of all containers of a task definition together.

    An unreadable value counts as one slot: it may be in a revision that somebody else registered,
    and must not end a pass.
    """
    slots, takes_all = 0, False
    for container in containers_in(content):
        for requirement in container.get("resourceRequirements") or ():
            if requirement.get("type") != "GPU":
                continue
            try:
                request = parse_gpus(requirement.get("value"))
            except ValueError:
                request = GpuRequest(1)
            slots, takes_all = slots + request.slots, takes_all or request.all
    return GpuRequest(slots, takes_all)


def gpus_of(component: Component, per_instance: int = 1) -> int:
    """Return the GPU slots of one replica.

    A replica that requests ``ALL`` takes those of its instance, which has ``per_instance``.
    """
    request = gpu_request(component.template)
    return max(request.slots, per_instance) if request.all else request.slots
