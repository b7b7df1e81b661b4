"""Rules of CPU, memory and time limits, and how ECS writes sizes."""

from __future__ import annotations

import re
from typing import Final

from ecs_dynamo.config.ecs_rules.base import (
    ANSWER,
    API,
    GUIDE,
    Breach,
    Breaches,
    Content,
    Rule,
    numeric,
    shown,
    within,
)

_UNITS: Final = re.compile(r"\s*([0-9]{1,9})\s*")
_CPU_WORDS: Final = re.compile(r"\s*([0-9]{0,6}(?:\.[0-9]{1,6})?)\s*vcpus?\s*", re.IGNORECASE)
_MEMORY_WORDS: Final = re.compile(r"\s*([0-9]{0,6}(?:\.[0-9]{1,6})?)\s*gb\s*", re.IGNORECASE)
LEAST_CPU: Final = 128
MOST_CPU: Final = 196_608
LEAST_MEMORY: Final = 4
"""MiB that Docker reserves for a container at least."""
FARGATE_SIZES: Final = {
    256: (512, 1024, 2048),
    512: range(1024, 4096 + 1, 1024),
    1024: range(2048, 8192 + 1, 1024),
    2048: range(4096, 16384 + 1, 1024),
    4096: range(8192, 30720 + 1, 1024),
    8192: range(16384, 61440 + 1, 4096),
    16384: range(32768, 122880 + 1, 8192),
}
"""Memory sizes (MiB) of Fargate for each value of cpu (Linux)."""


def _number(text: object, words: re.Pattern[str]) -> int | None:
    if number := _UNITS.fullmatch(str(text)):
        return int(number[1])
    match = words.fullmatch(str(text))
    if match is None or match[1] in ("", "."):
        return None
    value = float(match[1]) * 1024
    return int(value) if value.is_integer() else None


def cpu_units(text: object) -> int | None:
    """Return the CPU units of a task's ``cpu`` (``256``, ``.25 vCPU``); None if it is invalid."""
    return _number(text, _CPU_WORDS)


def memory_mib(text: object) -> int | None:
    """Return the MiB of a task's ``memory`` (``512``, ``0.5 GB``); None if it is invalid."""
    return _number(text, _MEMORY_WORDS)


def _cpu(content: Content) -> Breaches:
    cpu = content.template.get("cpu")
    if cpu is None:
        return
    units = cpu_units(cpu)
    if units is None or not LEAST_CPU <= units <= MOST_CPU:
        yield Breach(("cpu",), {"found": shown(cpu)})


def _memory(content: Content) -> Breaches:
    memory = content.template.get("memory")
    if memory is not None and (memory_mib(memory) or 0) < LEAST_MEMORY:
        yield Breach(("memory",), {"found": shown(memory)})


def _container_memory(content: Content) -> Breaches:
    for path, container in content.containers():
        for key in ("memory", "memoryReservation"):
            value = container.get(key)
            # 0 counts as absent: "you must specify a non-zero integer for one or both".
            if value and value < LEAST_MEMORY:
                yield Breach((*path, key), {"key": key, "found": value})


def _some_memory(content: Content) -> Breaches:
    if content.template.get("memory") is not None:
        return
    for path, container in content.containers():
        if not container.get("memory") and not container.get("memoryReservation"):
            yield Breach(path)


def _reservation(content: Content) -> Breaches:
    for path, container in content.containers():
        memory, reserved = container.get("memory"), container.get("memoryReservation")
        if memory and reserved and reserved > memory:
            yield Breach((*path, "memoryReservation"), {"found": reserved, "memory": memory})


def _above_task(content: Content) -> Breaches:
    task = memory_mib(content.template.get("memory")) or 0
    for path, container in content.containers():
        if task >= LEAST_MEMORY and (container.get("memory") or 0) > task:
            yield Breach((*path, "memory"), {"found": container["memory"], "task": task})


def _reserved_above_task(content: Content) -> Breaches:
    task = memory_mib(content.template.get("memory")) or 0
    total = sum(c.get("memoryReservation") or 0 for _, c in content.containers())
    if task >= LEAST_MEMORY and total > task:
        yield Breach(("memory",), {"found": total, "task": task})


def _fargate_missing(content: Content) -> Breaches:
    for key in ("cpu", "memory") if content.fargate else ():
        if content.template.get(key) is None:
            yield Breach((key,), {"key": key})


def _fargate_cpu(content: Content) -> Breaches:
    cpu = cpu_units(content.template.get("cpu"))
    if content.fargate and cpu is not None and cpu not in FARGATE_SIZES:
        sizes = ", ".join(str(size) for size in FARGATE_SIZES)
        yield Breach(("cpu",), {"found": content.template["cpu"], "sizes": sizes})


def _fargate_memory(content: Content) -> Breaches:
    cpu, memory = content.template.get("cpu"), content.template.get("memory")
    fitting = FARGATE_SIZES.get(cpu_units(cpu) or 0)
    mib = memory_mib(memory)
    if content.fargate and fitting is not None and mib is not None and mib not in fitting:
        step = fitting[1] - fitting[0]
        yield Breach(
            ("memory",),
            {
                "found": memory,
                "cpu": cpu,
                "fitting": f"{fitting[0]} to {fitting[-1]} in steps of {step}"
                if isinstance(fitting, range)
                else ", ".join(str(size) for size in fitting),
            },
        )


def _fargate_cpu_sum(content: Content) -> Breaches:
    task = cpu_units(content.template.get("cpu"))
    total = sum(c.get("cpu") or 0 for _, c in content.containers())
    if content.fargate and task in FARGATE_SIZES and total > task:
        yield Breach(("cpu",), {"found": total, "task": task})


def _fargate_only(keys: tuple[str, ...], most: int) -> Rule:
    limit = within(*keys, least=2, most=most)

    def check(content: Content) -> Breaches:
        if content.fargate:
            yield from limit(content)

    return Rule(
        f"fargate-{keys[-1]}",
        API + f"ContainerDefinition.{keys[-1]}: the valid values for Fargate are 2 to {most}",
        f"Fargate accepts a {keys[-1]} of 2 to {most} seconds, found {{found}}",
        f"write 2 to {most}",
        check,
    )


def _least_timeout(key: str) -> Rule:
    return Rule(
        f"{key}-least",
        ANSWER + f"Granular {key} on container must be at least 2 seconds.",
        f"ECS accepts a {key} of 2 seconds or more, found {{found}}",
        "write 2 or more",
        lambda content: iter(()) if content.fargate else within(key, least=2)(content),
    )


RULES: Final = (
    Rule(
        "cpu",
        API + "RegisterTaskDefinition.cpu; Invalid 'cpu' setting for task.",
        "this is not a task's cpu: {found}",
        f'write CPU units from {LEAST_CPU} to {MOST_CPU} ("1024") or vCPUs ("1 vCPU")',
        _cpu,
    ),
    Rule(
        "memory",
        API + "RegisterTaskDefinition.memory; Invalid 'memory' setting for task.",
        "this is not a task's memory: {found}",
        'write MiB ("2048") or GB ("2 GB")',
        _memory,
    ),
    Rule(
        "container-memory",
        API + "ContainerDefinition.memory: Docker reserves a minimum of 4 MiB for a container",
        "ECS accepts a {key} of 4 MiB or more, found {found}",
        "write MiB, 6 or more",
        _container_memory,
    ),
    Rule(
        "memory-required",
        ANSWER + "At least one of 'memory' or 'memoryReservation' must be specified.",
        "ECS requires memory or memoryReservation here, because the task has none",
        "add memory (MiB)",
        _some_memory,
    ),
    Rule(
        "memory-reservation",
        ANSWER + "'memory' must be greater than or equal to 'memoryReservation'",
        "memoryReservation {found} is above memory {memory}",
        "lower memoryReservation, or raise memory",
        _reservation,
    ),
    Rule(
        "container-memory-above-task",
        ANSWER + "The 'memory' setting for container '...' is greater than for the task.",
        "the container's memory {found} is above the task's memory {task} (MiB)",
        "lower it, or raise the task's memory",
        _above_task,
    ),
    Rule(
        "reserved-memory-above-task",
        ANSWER + "The sum of all container 'memoryReservation' values cannot be greater than the "
        "value of the task 'memory'.",
        "the containers reserve {found} MiB together, more than the task's memory {task}",
        "lower their memoryReservation, or raise memory",
        _reserved_above_task,
    ),
    _least_timeout("stopTimeout"),
    _least_timeout("startTimeout"),
    _fargate_only(("stopTimeout",), 120),
    _fargate_only(("startTimeout",), 120),
    Rule(
        "fargate-size-required",
        ANSWER + "Fargate requires that 'cpu' be defined at the task level.",
        "Fargate needs the task's {key}",
        "add {key} beside containerDefinitions",
        _fargate_missing,
    ),
    Rule(
        "fargate-cpu",
        GUIDE + "Fargate task size; No Fargate configuration exists for given values",
        "Fargate does not support cpu {found}",
        "write one of {sizes}",
        _fargate_cpu,
    ),
    Rule(
        "fargate-memory",
        GUIDE + "Fargate task size; No Fargate configuration exists for given values",
        "Fargate does not support memory {found} with cpu {cpu}",
        "write {fitting}",
        _fargate_memory,
    ),
    Rule(
        "fargate-cpu-sum",
        ANSWER + "The sum of all container 'cpu' values cannot be greater than the task-level "
        "'cpu' value",
        "the containers take {found} CPU units together, more than the task's cpu {task}",
        "lower their cpu, or raise the task's",
        _fargate_cpu_sum,
    ),
    numeric(
        "swappiness",
        "LinuxParameters.swappiness",
        "linuxParameters",
        "swappiness",
        least=0,
        most=100,
    ),
)
