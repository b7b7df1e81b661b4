"""GPU requirements as task definitions write them.

A value is a whole number, a decimal for a share of a GPU, or ``ALL`` (Amazon ECS developer guide,
"Specifying GPUs in an Amazon ECS task definition"). A decimal is placed "on a fractional GPU
instance that provides the requested GPU capacity": such an instance has one device, so a share
counts as a whole slot. ``ALL`` takes every GPU of its instance.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

_NUMBER = re.compile(r"[0-9]{1,4}|[0-9]{0,4}\.[0-9]{1,12}")
ALL = "ALL"


@dataclass(frozen=True, slots=True)
class GpuRequest:
    """GPU slots that one replica takes. ``all``: every slot of its instance, and at least one."""

    slots: int = 0
    all: bool = False


def parse_gpus(value: object) -> GpuRequest:
    """Return the slots of a requirement's ``value``. ValueError if ECS would refuse it."""
    text = str(value)
    if text == ALL:
        return GpuRequest(1, all=True)
    if not _NUMBER.fullmatch(text) or float(text) <= 0:
        raise ValueError(f"{text!r} is not a number of GPUs")
    return GpuRequest(math.ceil(Decimal(text)))


def gpu_request(content: Mapping[str, Any]) -> GpuRequest:
    """Return the total of a task definition's containers.

    A value that cannot be read counts as one slot: it may be part of a foreign revision, and must
    not end a pass.
    """
    slots, everything = 0, False
    for container in content.get("containerDefinitions") or ():
        for requirement in container.get("resourceRequirements") or ():
            if requirement.get("type") != "GPU":
                continue
            try:
                found = parse_gpus(requirement.get("value"))
            except ValueError:
                found = GpuRequest(1)
            slots, everything = slots + found.slots, everything or found.all
    return GpuRequest(slots, everything)
