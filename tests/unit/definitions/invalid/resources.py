"""Task definitions that violate rules of CPU, memory, timeouts, GPUs, and Linux parameters."""

from __future__ import annotations

from tests.unit.definitions.builders import container, ec2
from tests.unit.definitions.invalid.base import (
    FIRST,
    InvalidDefinition,
    changed,
    linux,
    with_container,
)

RESOURCES: list[InvalidDefinition] = [
    *(
        InvalidDefinition("cpu", changed(ec2(), cpu=value), "cpu")
        for value in ("0", "-1", "127", "200000", "one vCPU", ".1001 vCPU", "")
    ),
    *(
        InvalidDefinition("memory", changed(ec2(), memory=value), "memory")
        for value in ("-5", "0", "3", "two", "0.3 GB", "GB", "1 TB")
    ),
    with_container(ec2, "memory", "container-memory", memory=-5),
    with_container(ec2, "memoryReservation", "container-memory", memoryReservation=3),
    InvalidDefinition(
        "memory-required",
        ec2({"name": "app", "image": "a"}),
        "containerDefinitions[0]",
    ),
    with_container(
        ec2, "memoryReservation", "memory-reservation", memory=256, memoryReservation=257
    ),
    InvalidDefinition(
        "container-memory-above-task", changed(ec2(), memory="255"), f"{FIRST}.memory"
    ),
    InvalidDefinition(
        "reserved-memory-above-task",
        changed(
            ec2(container(memoryReservation=200), container("b", memoryReservation=200)),
            memory="0.25 GB",
        ),
        "memory",
    ),
    with_container(ec2, "stopTimeout", "stopTimeout-least", stopTimeout=1),
    with_container(ec2, "startTimeout", "startTimeout-least", startTimeout=0),
    with_container(
        ec2,
        "linuxParameters.swappiness",
        "swappiness",
        **linux(swappiness=101, maxSwap=1),
    ),
    with_container(
        ec2,
        "ulimits[0].softLimit",
        "ulimit",
        ulimits=[{"name": "nofile", "softLimit": 4097, "hardLimit": 4096}],
    ),
    with_container(
        ec2,
        "linuxParameters.capabilities.add[0]",
        "capability",
        **linux(capabilities={"add": ["CAP_IPC_LOCK"]}),
    ),
    with_container(
        ec2,
        "linuxParameters.tmpfs[0].size",
        "tmpfs",
        **linux(tmpfs=[{"containerPath": "/t", "size": 0}]),
    ),
    with_container(
        ec2,
        "linuxParameters.tmpfs[0].mountOptions",
        "tmpfs",
        **linux(tmpfs=[{"containerPath": "/t", "size": 1, "mountOptions": ["fast"]}]),
    ),
    with_container(
        ec2, "linuxParameters.sharedMemorySize", "linux-memory", **linux(sharedMemorySize=-1)
    ),
    with_container(ec2, "linuxParameters.maxSwap", "linux-memory", **linux(maxSwap=-1)),
    with_container(
        ec2,
        "linuxParameters.devices[0].hostPath",
        "device-path",
        **linux(devices=[{"hostPath": ""}]),
    ),
    with_container(
        ec2,
        "systemControls[0]",
        "system-control",
        systemControls=[{"namespace": "vm.swappiness", "value": "1"}],
    ),
    InvalidDefinition(
        "system-control-ipc",
        changed(
            ec2(container(systemControls=[{"namespace": "kernel.shmmax", "value": "1"}])),
            ipcMode="host",
        ),
        f"{FIRST}.systemControls[0]",
    ),
    *(
        with_container(
            ec2,
            "resourceRequirements[0].value",
            "gpu-value",
            resourceRequirements=[{"type": "GPU", "value": value}],
        )
        for value in ("", "two", "all", "0", "-1", "1.5", "0.0")
    ),
]
