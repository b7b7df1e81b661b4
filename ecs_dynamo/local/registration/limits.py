"""Checks of limits: memory, timeouts, ulimits, GPUs, and Linux parameters."""

from __future__ import annotations

import re
from functools import cache

from ecs_dynamo.local.wire.protocol import Json, client_error, service_model

_IPC_KERNEL_PARAMETERS = (
    "msgmax",
    "msgmnb",
    "msgmni",
    "sem",
    "shmall",
    "shmmax",
    "shmmni",
    "shm_rmid_forced",
)
_TMPFS_OPTIONS = """
defaults ro rw suid nosuid dev nodev exec noexec sync async dirsync remount mand nomand atime
noatime diratime nodiratime bind rbind unbindable runbindable private rprivate shared rshared slave
rslave relatime norelatime strictatime nostrictatime mode uid gid nr_inodes nr_blocks mpol
"""


def check(request: Json) -> None:
    """Check the limits of all containers. Raises EcsError for the first violation."""
    task = int(request.get("memory") or 0)
    reserved = 0
    for container in request["containerDefinitions"]:
        _check_memory(container, task)
        reserved += container.get("memoryReservation", 0)
        _check_timeouts(container)
        _check_ulimits(container)
        _check_gpus(container)
        _check_linux(container.get("linuxParameters", {}))
        _check_system_controls(request, container)
        if len(container.get("credentialSpecs", ())) > 1:
            raise client_error("'credentialSpecs' can have at most 1 items.")
    if task and reserved > task:
        raise client_error(
            "The sum of all container 'memoryReservation' values cannot be greater than the value "
            "of the task 'memory'."
        )


def _check_memory(container: Json, task: int) -> None:
    name = container["name"]
    hard, soft = container.get("memory", 0), container.get("memoryReservation", 0)
    if any(size and size < 4 for size in (hard, soft)):
        raise client_error(
            f"Invalid setting for container '{name}'. 'memory' and 'memoryReservation' must be at "
            "least 4."
        )
    if not (hard or soft or task):
        raise client_error(
            f"Invalid setting for container '{name}'. At least one of 'memory' or "
            "'memoryReservation' must be specified."
        )
    if hard and soft > hard:
        raise client_error(
            f"Invalid setting for container '{name}'. 'memory' must be greater than or equal to "
            "'memoryReservation'."
        )
    if task and hard > task:
        raise client_error(
            f"The 'memory' setting for container '{name}' is greater than for the task."
        )


def _check_timeouts(container: Json) -> None:
    for key, name in (("startTimeout", "start timeout"), ("stopTimeout", "stop timeout")):
        if container.get(key, 2) < 2:
            raise client_error(
                f"Granular {name} on container '{container['name']}' must be at least 2 seconds."
            )


def _check_ulimits(container: Json) -> None:
    for limit in container.get("ulimits", ()):
        soft, hard = (
            float("inf") if limit[key] == -1 else limit[key] for key in ("softLimit", "hardLimit")
        )
        if soft > hard:
            raise client_error(f"Soft limit exceeds hard limit for ulimit {limit['name']}")


def _check_gpus(container: Json) -> None:
    """Check that GPUs are a whole number, ALL, or a fraction (guide, "Specifying GPUs")."""
    for requirement in container.get("resourceRequirements", ()):
        value = requirement["value"]
        integer, dot, fraction = value.partition(".")
        is_fraction = (
            dot
            and integer in ("", "0")
            and fraction.isdecimal()
            and len(fraction) <= 11
            and int(fraction)
        )
        is_whole = not dot and value.isdecimal() and len(value) <= 4 and value[0] != "0"
        if requirement["type"] == "GPU" and not (value == "ALL" or is_whole or is_fraction):
            raise client_error(
                f"Invalid 'resourceRequirements' setting for container '{container['name']}'. "
                f"'{value}' is not a valid value of GPU."
            )


@cache
def _known_capabilities() -> frozenset[str]:
    """Return all capabilities, from the service model's documentation, as it has no enumeration."""
    documentation: str = (
        service_model().shape_for("KernelCapabilities").members["add"].documentation
    )
    return frozenset(re.findall(r'"([A-Z_]+)"', documentation.replace("&quot;", '"')))


def _check_linux(linux: Json) -> None:
    capabilities = linux.get("capabilities", {})
    for capability in (*capabilities.get("add", ()), *capabilities.get("drop", ())):
        if capability not in _known_capabilities():
            raise client_error(f"Invalid Linux capability: {capability}")
    if linux.get("sharedMemorySize", 1) < 1 or linux.get("maxSwap", 0) < 0:
        raise client_error("'sharedMemorySize' and 'maxSwap' must be positive.")
    if not 0 <= linux.get("swappiness", 60) <= 100:
        raise client_error("'swappiness' must be between 0 and 100.")
    for device in linux.get("devices", ()):
        if not device["hostPath"]:
            raise client_error("Device hostPath should not be empty.")
    for mount in linux.get("tmpfs", ()):
        options = (option.split("=")[0] for option in mount.get("mountOptions", ()))
        path, size = mount["containerPath"], mount["size"]
        if path[:1] != "/" or size < 1 or not set(options) <= set(_TMPFS_OPTIONS.split()):
            raise client_error(f"Invalid 'tmpfs' setting for '{path}'.")


def _check_system_controls(request: Json, container: Json) -> None:
    for control in container.get("systemControls", ()):
        name = control.get("namespace", "")
        ipc = name.startswith("fs.mqueue.") or name in (
            f"kernel.{key}" for key in _IPC_KERNEL_PARAMETERS
        )
        if not ipc and not name.startswith("net."):
            raise client_error(f"Invalid namespace for systemControls: {name}")
        if ipc and request.get("ipcMode") == "host":
            raise client_error(
                "IPC namespace related systemControls are not supported with the host IPC mode."
            )
