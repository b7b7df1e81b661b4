"""Rules of Fargate. Its sizes and time limits are in `sizes`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from ecs_dynamo.config.ecs_rules.base import (
    ANSWER,
    API,
    GUIDE,
    Breach,
    Breaches,
    Content,
    Rule,
    shown,
)

_DRIVERS: Final = ("awslogs", "splunk", "awsfirelens")
_ECR: Final = re.compile(r"[0-9]{12}\.dkr[.-]ecr[.-]")
_DIFFERENCES: Final = GUIDE + "task definition differences for Fargate; "
_DO_NOT: Final = _DIFFERENCES + "Fargate compatible task definitions do not support "


def _mode(content: Content) -> Breaches:
    if content.fargate and content.mode != "awsvpc":
        yield Breach(("networkMode",), {"found": content.mode})


def _task_key(key: str, why: str) -> Rule:
    def check(content: Content) -> Breaches:
        if content.fargate and content.template.get(key):
            yield Breach((key,))

    return Rule(f"fargate-{key}", why, f"Fargate does not support {key}", f"remove {key}", check)


def _container_key(*keys: str, why: str) -> Rule:
    def check(content: Content) -> Breaches:
        for path, container in content.containers() if content.fargate else ():
            value: Any = container
            for key in keys:
                value = value.get(key) if isinstance(value, Mapping) else None
            # maxSwap 0 and swappiness 0 are values, not absences.
            if value not in (None, False, [], {}) or (value == 0 and value is not False):
                yield Breach((*path, *keys))

    name = keys[-1]
    return Rule(
        f"fargate-{name}",
        why,
        f"Fargate does not support {name}",
        f"remove {name}, or run the task on EC2",
        check,
    )


def _volume_key(*keys: str) -> Rule:
    def check(content: Content) -> Breaches:
        for index, volume in enumerate(
            content.template.get("volumes", ()) if content.fargate else ()
        ):
            value: Any = volume
            for key in keys:
                value = value.get(key) if isinstance(value, Mapping) else None
            if value is not None and value != "":
                yield Breach(("volumes", index, *keys))

    name = ".".join(keys)
    return Rule(
        f"fargate-{keys[-1]}",
        _DO_NOT + keys[-1],
        f"Fargate does not support {name}",
        "use efsVolumeConfiguration, or a volume without a source",
        check,
    )


def _pid_mode(content: Content) -> Breaches:
    mode = content.template.get("pidMode")
    if content.fargate and mode not in (None, "task"):
        yield Breach(("pidMode",), {"found": mode})


def _gpus(content: Content) -> Breaches:
    for path, need, _ in content.entries("resourceRequirements") if content.fargate else ():
        if need.get("type") == "GPU":
            yield Breach(path)


def _added_capabilities(content: Content) -> Breaches:
    for path, container in content.containers() if content.fargate else ():
        linux = container.get("linuxParameters") or {}
        for index, word in enumerate((linux.get("capabilities") or {}).get("add", ())):
            if word != "SYS_PTRACE":
                where = (*path, "linuxParameters", "capabilities", "add", index)
                yield Breach(where, {"found": shown(word)})


def _log_driver(content: Content) -> Breaches:
    for path, container in content.containers() if content.fargate else ():
        driver = (container.get("logConfiguration") or {}).get("logDriver")
        if driver is not None and driver not in _DRIVERS:
            yield Breach((*path, "logConfiguration", "logDriver"), {"found": driver})


def _without_role(
    content: Content, needs_role: Callable[[Mapping[str, Any]], object], *keys: str
) -> Breaches:
    """Yield ``keys`` of containers that need an execution role, which the task does not have."""
    for path, container in content.containers():
        if (
            content.fargate
            and not content.template.get("executionRoleArn")
            and needs_role(container)
        ):
            yield Breach((*path, *keys))


def _driver(container: Mapping[str, Any]) -> object:
    return (container.get("logConfiguration") or {}).get("logDriver")


def _log_role(content: Content) -> Breaches:
    yield from _without_role(
        content, lambda c: _driver(c) == "awslogs", "logConfiguration", "logDriver"
    )


def _image_role(content: Content) -> Breaches:
    yield from _without_role(content, lambda c: _ECR.match(str(c["image"])), "image")


def _stream_prefix(content: Content) -> Breaches:
    for path, container in content.containers() if content.fargate else ():
        options = (container.get("logConfiguration") or {}).get("options") or {}
        if _driver(container) == "awslogs" and not options.get("awslogs-stream-prefix"):
            yield Breach((*path, "logConfiguration"))


def _router_file(content: Content) -> Breaches:
    for path, container in content.containers() if content.fargate else ():
        options = (container.get("firelensConfiguration") or {}).get("options") or {}
        if options.get("config-file-type") == "s3":
            yield Breach((*path, "firelensConfiguration", "options", "config-file-type"))


RULES: Final = (
    Rule(
        "fargate-network-mode",
        ANSWER + "Fargate only supports network mode 'awsvpc'.",
        "Fargate supports networkMode awsvpc only, found {found}",
        "set networkMode to awsvpc, or leave FARGATE out of requiresCompatibilities and launchType",
        _mode,
    ),
    _task_key("placementConstraints", _DO_NOT + "constraints"),
    _task_key("ipcMode", _DO_NOT + "ipcMode"),
    Rule(
        "fargate-pid-mode",
        ANSWER + "Tasks using the Fargate launch type do not support pidMode 'host'. The supported "
        "value for pidMode is 'task'.",
        "Fargate supports pidMode task only, found {found}",
        "write task, or remove pidMode",
        _pid_mode,
    ),
    _container_key(
        "privileged",
        why=ANSWER + "Fargate requires that the 'privileged' setting be 'false'",
    ),
    _container_key("dockerSecurityOptions", why=_DO_NOT + "dockerSecurityOptions"),
    _container_key("linuxParameters", "devices", why=_DO_NOT + "devices"),
    _container_key("linuxParameters", "sharedMemorySize", why=_DO_NOT + "sharedMemorySize"),
    _container_key("linuxParameters", "maxSwap", why=_DO_NOT + "maxSwap"),
    _container_key("linuxParameters", "swappiness", why=_DO_NOT + "swappiness"),
    _volume_key("host", "sourcePath"),
    _volume_key("dockerVolumeConfiguration"),
    Rule(
        "fargate-gpu",
        ANSWER + "Tasks using the Fargate launch type do not support GPU resource requirements",
        "Fargate has no GPUs",
        "set launchType to EC2, and leave FARGATE out of requiresCompatibilities",
        _gpus,
    ),
    Rule(
        "fargate-capability",
        API + "KernelCapabilities.add: Fargate only supports adding SYS_PTRACE",
        "Fargate adds the Linux capability SYS_PTRACE only, found {found}",
        "remove it",
        _added_capabilities,
    ),
    Rule(
        "fargate-log-driver",
        API + "LogConfiguration.logDriver; ... is not a valid log driver",
        "Fargate does not support the log driver {found}",
        f"write one of {', '.join(_DRIVERS)}",
        _log_driver,
    ),
    Rule(
        "fargate-log-role",
        ANSWER + "Fargate requires task definition to have execution role ARN to support log "
        "driver awslogs.",
        "on Fargate the log driver awslogs needs an execution role",
        "add executionRoleArn (see `ecs-dynamo iam render`)",
        _log_role,
    ),
    Rule(
        "fargate-image-role",
        ANSWER + "Fargate requires task definition to have execution role ARN to support ECR "
        "images.",
        "on Fargate an image in ECR needs an execution role",
        "add executionRoleArn (see `ecs-dynamo iam render`)",
        _image_role,
    ),
    Rule(
        "fargate-stream-prefix",
        ANSWER + "Fargate requires log configuration options to include awslogs-stream-prefix to "
        "support log driver awslogs.",
        "on Fargate the log driver awslogs needs the option awslogs-stream-prefix",
        "add it under options",
        _stream_prefix,
    ),
    Rule(
        "fargate-router-file",
        API + "FirelensConfiguration.options: Fargate only supports the file configuration file "
        "type",
        "Fargate reads the configuration of a log router from a file only, not from s3",
        "put the file into the image, and write config-file-type file",
        _router_file,
    ),
)
