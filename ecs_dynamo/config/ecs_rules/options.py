"""Rules of logs, limits, kernel parameters and GPUs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from ecs_dynamo.config.ecs_rules.base import ANSWER, API, Breach, Breaches, Content, Rule, shown


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


CAPABILITIES: Final = _words(
    "ALL AUDIT_CONTROL AUDIT_WRITE BLOCK_SUSPEND CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID "
    "IPC_LOCK IPC_OWNER KILL LEASE LINUX_IMMUTABLE MAC_ADMIN MAC_OVERRIDE MKNOD NET_ADMIN "
    "NET_BIND_SERVICE NET_BROADCAST NET_RAW SETFCAP SETGID SETPCAP SETUID SYS_ADMIN SYS_BOOT "
    "SYS_CHROOT SYS_MODULE SYS_NICE SYS_PACCT SYS_PTRACE SYS_RAWIO SYS_RESOURCE SYS_TIME "
    "SYS_TTY_CONFIG SYSLOG WAKE_ALARM"
)
_MOUNT_OPTIONS: Final = _words(
    "defaults ro rw suid nosuid dev nodev exec noexec sync async dirsync remount mand nomand atime "
    "noatime diratime nodiratime bind rbind unbindable runbindable private rprivate shared rshared "
    "slave rslave relatime norelatime strictatime nostrictatime mode uid gid nr_inodes nr_blocks "
    "mpol"
)
_IPC_CONTROLS: Final = _words(
    "kernel.msgmax kernel.msgmnb kernel.msgmni kernel.sem kernel.shmall kernel.shmmax "
    "kernel.shmmni kernel.shm_rmid_forced"
)


_GPUS: Final = re.compile(r"[1-9][0-9]{0,3}|ALL|0?\.[0-9]{0,5}[1-9][0-9]{0,5}")
"""A number of GPUs, all GPUs of the instance, or a part of one GPU."""


def _log(container: Mapping[str, Any]) -> Mapping[str, Any]:
    configuration: Mapping[str, Any] = container.get("logConfiguration") or {}
    return configuration


def _awslogs_options(content: Content) -> Breaches:
    for path, container in content.containers():
        log = _log(container)
        if log.get("logDriver") != "awslogs":
            continue
        missing = [
            key
            for key in ("awslogs-group", "awslogs-region")
            if not (log.get("options") or {}).get(key)
        ]
        if missing:
            yield Breach((*path, "logConfiguration"), {"missing": " and ".join(missing)})


def _no_router(content: Content) -> Breaches:
    routers = [c for _, c in content.containers() if c.get("firelensConfiguration")]
    for path, container in content.containers() if not routers else ():
        if _log(container).get("logDriver") == "awsfirelens":
            yield Breach((*path, "logConfiguration", "logDriver"))


def _many_routers(content: Content) -> Breaches:
    routers = [path for path, c in content.containers() if c.get("firelensConfiguration")]
    for path in routers[1:]:
        yield Breach((*path, "firelensConfiguration"))


def _ulimits(content: Content) -> Breaches:
    for path, limit, _ in content.entries("ulimits"):
        soft, hard = limit["softLimit"], limit["hardLimit"]
        # -1 stands for no limit.
        if hard != -1 and (soft > hard or soft == -1):
            yield Breach((*path, "softLimit"), {"name": limit["name"], "found": soft, "hard": hard})


def _linux(content: Content) -> Any:
    for path, container in content.containers():
        linux = container.get("linuxParameters")
        if linux:
            yield (*path, "linuxParameters"), linux


def _capabilities(content: Content) -> Breaches:
    for path, linux in _linux(content):
        for key in ("add", "drop"):
            words = (linux.get("capabilities") or {}).get(key, ())
            for index, word in enumerate(words):
                if word not in CAPABILITIES:
                    yield Breach((*path, "capabilities", key, index), {"found": shown(word)})


def _tmpfs(content: Content) -> Breaches:
    for path, linux in _linux(content):
        for index, tmpfs in enumerate(linux.get("tmpfs", ())):
            where = (*path, "tmpfs", index)
            if not tmpfs["containerPath"].startswith("/"):
                yield Breach((*where, "containerPath"), {"found": shown(tmpfs["containerPath"])})
            if tmpfs["size"] < 1:
                yield Breach((*where, "size"), {"found": f"size {tmpfs['size']}"})
            for word in tmpfs.get("mountOptions", ()):
                if word.partition("=")[0] not in _MOUNT_OPTIONS:
                    yield Breach((*where, "mountOptions"), {"found": shown(word)})


def _memory_options(content: Content) -> Breaches:
    for path, linux in _linux(content):
        for key, least in (("sharedMemorySize", 1), ("maxSwap", 0)):
            value = linux.get(key)
            if value is not None and value < least:
                yield Breach((*path, key), {"key": key, "least": least, "found": value})


def _devices(content: Content) -> Breaches:
    for path, linux in _linux(content):
        for index, device in enumerate(linux.get("devices", ())):
            if not device["hostPath"]:
                yield Breach((*path, "devices", index, "hostPath"))


def _system_controls(content: Content) -> Breaches:
    for path, control, _ in content.entries("systemControls"):
        name = str(control.get("namespace") or "")
        ipc = name in _IPC_CONTROLS or name.startswith("fs.mqueue.")
        if not ipc and not name.startswith("net."):
            yield Breach(path, {"found": shown(name)})


def _ipc_controls(content: Content) -> Breaches:
    if content.template.get("ipcMode") != "host":
        return
    for path, control, _ in content.entries("systemControls"):
        name = str(control.get("namespace") or "")
        if name in _IPC_CONTROLS or name.startswith("fs.mqueue."):
            yield Breach(path, {"found": name})


def _credential_specs(content: Content) -> Breaches:
    for path, container in content.containers():
        if len(container.get("credentialSpecs", ())) > 1:
            yield Breach((*path, "credentialSpecs"), {"found": len(container["credentialSpecs"])})


def _gpus(content: Content) -> Breaches:
    for path, need, _ in content.entries("resourceRequirements"):
        if need["type"] == "GPU" and not _GPUS.fullmatch(need["value"]):
            yield Breach((*path, "value"), {"found": shown(need["value"])})


def _accelerators(content: Content) -> Breaches:
    if content.template.get("inferenceAccelerators"):
        yield Breach(("inferenceAccelerators",))


RULES: Final = (
    Rule(
        "awslogs-options",
        ANSWER + "Log driver awslogs requires options: awslogs-region, awslogs-group",
        "the log driver awslogs needs the options {missing}",
        "add them under options",
        _awslogs_options,
    ),
    Rule(
        "firelens-router",
        API + "FirelensConfiguration",
        "the log driver awsfirelens needs a container with firelensConfiguration in the task",
        "add the log router, or use another log driver",
        _no_router,
    ),
    Rule(
        "firelens-one-router",
        API + "FirelensConfiguration",
        "a task has at most one log router, and this is a second one",
        "remove firelensConfiguration from one of them",
        _many_routers,
    ),
    Rule(
        "ulimit",
        ANSWER + "Soft limit exceeds hard limit for ulimit ...",
        "the soft limit {found} of {name} is above its hard limit {hard}",
        "lower softLimit, or raise hardLimit",
        _ulimits,
    ),
    Rule(
        "capability",
        API + "KernelCapabilities",
        "ECS does not know the Linux capability {found}",
        "write one such as IPC_LOCK or SYS_PTRACE, without CAP_",
        _capabilities,
    ),
    Rule(
        "tmpfs",
        API + "Tmpfs",
        "a tmpfs has an absolute containerPath, a size of 1 MiB or more, and known mountOptions; "
        "found {found}",
        "correct it",
        _tmpfs,
    ),
    Rule(
        "linux-memory",
        API + "LinuxParameters",
        "ECS accepts a {key} of {least} MiB or more, found {found}",
        "correct it, or remove {key}",
        _memory_options,
    ),
    Rule(
        "device-path",
        API + "Device.hostPath",
        "a device needs the path on its host",
        "add hostPath",
        _devices,
    ),
    Rule(
        "system-control",
        API + "SystemControl",
        "ECS accepts kernel parameters of the IPC and network namespaces, found {found}",
        "write net.*, fs.mqueue.*, or one such as kernel.shmmax",
        _system_controls,
    ),
    Rule(
        "system-control-ipc",
        API + "RegisterTaskDefinition.ipcMode",
        "with ipcMode host the kernel parameter {found} cannot be set",
        "remove it, or change ipcMode",
        _ipc_controls,
    ),
    Rule(
        "credential-specs",
        API + "ContainerDefinition.credentialSpecs: the maximum number of ARNs is 1",
        "{found} credentialSpecs are more than the one that ECS accepts",
        "keep one",
        _credential_specs,
    ),
    Rule(
        "gpu-value",
        API + "ResourceRequirement.value; developer guide, specifying GPUs in a task definition",
        "this is not a number of GPUs: {found}",
        "write a whole number from 1, ALL, or a part of one GPU such as 0.25",
        _gpus,
    ),
    Rule(
        "inference-accelerators",
        ANSWER + "Unsupported field 'inferenceAccelerators'",
        "AWS has ended Elastic Inference, and ECS rejects inferenceAccelerators",
        "remove it",
        _accelerators,
    ),
)
