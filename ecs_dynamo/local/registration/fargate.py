"""Restrictions of Fargate (developer guide, "Task definition differences for Fargate")."""

from __future__ import annotations

from ecs_dynamo.local.wire.protocol import EcsError, Json, client_error

# CPU units -> minimum and maximum memory, and its increment, in MiB (developer guide, task size).
_MEMORY: dict[int, tuple[int, int, int]] = {
    256: (512, 2048, 512),
    512: (1024, 4096, 1024),
    1024: (2048, 8192, 1024),
    2048: (4096, 16384, 1024),
    4096: (8192, 30720, 1024),
    8192: (16384, 61440, 4096),
    16384: (32768, 122880, 8192),
}
_DRIVERS = ("awslogs", "splunk", "awsfirelens")


def fits(content: Json) -> bool:
    """Whether a registered task definition can run on Fargate."""
    try:
        check(content)
    except EcsError:
        return False
    return True


def check(request: Json) -> None:
    """Check the restrictions of Fargate. Raises EcsError for the first violation."""
    if request.get("networkMode") != "awsvpc":
        raise client_error("Fargate only supports network mode ‘awsvpc’.")
    _check_size(request)
    if request.get("pidMode", "task") != "task":
        raise client_error(
            f"Tasks using the Fargate launch type do not support pidMode '{request['pidMode']}'. "
            "The supported value for pidMode is 'task'."
        )
    _check_absent("ipcMode", request.get("ipcMode"))
    _check_absent("constraints", request.get("placementConstraints"))
    for volume in request.get("volumes", ()):
        _check_absent("sourcePath", volume.get("host", {}).get("sourcePath"))
        _check_absent("dockerVolumeConfiguration", "dockerVolumeConfiguration" in volume)
    for container in request["containerDefinitions"]:
        _check_container(request, container)


def _check_size(request: Json) -> None:
    for key in ("cpu", "memory"):
        if key not in request:
            raise client_error(f"Fargate requires that '{key}' be defined at the task level.")
    cpu, memory = int(request["cpu"]), int(request["memory"])
    minimum, maximum, step = _MEMORY.get(cpu, (0, -1, 1))
    # With 256 CPU units, 1536 MiB is not offered.
    if (
        not minimum <= memory <= maximum
        or (memory - minimum) % step
        or (cpu, memory) == (256, 1536)
    ):
        raise client_error(
            f"No Fargate configuration exists for given values: {cpu} CPU, {memory} memory. See "
            "the Amazon ECS documentation for the valid values."
        )
    if sum(c.get("cpu", 0) for c in request["containerDefinitions"]) > cpu:
        raise client_error(
            "The sum of all container 'cpu' values cannot be greater than the task-level 'cpu' "
            "value."
        )


def _check_absent(name: str, present: object) -> None:
    if present:
        raise client_error(f"Fargate compatible task definitions do not support {name}")


def _check_container(request: Json, container: Json) -> None:
    if container.get("privileged"):
        raise client_error("Fargate requires that the 'privileged' setting be 'false'.")
    _check_absent("dockerSecurityOptions", container.get("dockerSecurityOptions"))
    linux = container.get("linuxParameters", {})
    _check_absent("devices", linux.get("devices"))
    for key in ("sharedMemorySize", "maxSwap", "swappiness"):
        _check_absent(key, key in linux)
    for capability in linux.get("capabilities", {}).get("add", ()):
        if capability != "SYS_PTRACE":
            raise client_error(f"{capability} is not allowed on Fargate.")
    if any(r["type"] == "GPU" for r in container.get("resourceRequirements", ())):
        raise client_error(
            "Tasks using the Fargate launch type do not support GPU resource requirements."
        )
    for key in ("startTimeout", "stopTimeout"):
        if container.get(key, 2) > 120:
            raise client_error(f"{key} must be 120 or less for tasks that use Fargate.")
    _check_logs(request, container)
    if ".dkr.ecr." in container["image"] or ".dkr-ecr." in container["image"]:
        _check_execution_role(request, "ECR images")
    options = container.get("firelensConfiguration", {}).get("options", {})
    if options.get("config-file-type") == "s3":
        raise client_error("Fargate only supports the 'file' config-file-type.")


def _check_logs(request: Json, container: Json) -> None:
    log = container.get("logConfiguration")
    if log is None:
        return
    driver = log["logDriver"]
    if driver not in _DRIVERS:
        raise client_error(
            f"{driver} is not a valid log driver. Must be one of [{', '.join(_DRIVERS)}]"
        )
    if driver != "awslogs":
        return
    _check_execution_role(request, "log driver awslogs")
    if not log.get("options", {}).get("awslogs-stream-prefix"):
        raise client_error(
            "Fargate requires log configuration options to include awslogs-stream-prefix to "
            "support log driver awslogs."
        )


def _check_execution_role(request: Json, feature: str) -> None:
    if not request.get("executionRoleArn"):
        raise client_error(
            f"Fargate requires task definition to have execution role ARN to support {feature}."
        )
