"""What Fargate does not take (developer guide, task definition differences for Fargate)."""

from __future__ import annotations

from ecs_dynamo.local.wire.protocol import EcsError, Json, client_error

# CPU units -> least and most memory in MiB, and the steps between (developer guide, task size).
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
    """Whether a task definition that was taken could run on Fargate."""
    try:
        check(content)
    except EcsError:
        return False
    return True


def check(request: Json) -> None:
    """Raises EcsError for the first thing that Fargate does not take."""
    if request.get("networkMode") != "awsvpc":
        raise client_error("Fargate only supports network mode ‘awsvpc’.")
    _size(request)
    if request.get("pidMode", "task") != "task":
        raise client_error(
            f"Tasks using the Fargate launch type do not support pidMode '{request['pidMode']}'. "
            "The supported value for pidMode is 'task'."
        )
    _unsupported("ipcMode", request.get("ipcMode"))
    _unsupported("constraints", request.get("placementConstraints"))
    for volume in request.get("volumes", ()):
        _unsupported("sourcePath", volume.get("host", {}).get("sourcePath"))
        _unsupported("dockerVolumeConfiguration", "dockerVolumeConfiguration" in volume)
    for container in request["containerDefinitions"]:
        _container(request, container)


def _size(request: Json) -> None:
    for key in ("cpu", "memory"):
        if key not in request:
            raise client_error(f"Fargate requires that '{key}' be defined at the task level.")
    cpu, memory = int(request["cpu"]), int(request["memory"])
    least, most, step = _MEMORY.get(cpu, (0, -1, 1))
    # With 256 units 1536 MiB is missing between 1024 and 2048.
    if not least <= memory <= most or (memory - least) % step or (cpu, memory) == (256, 1536):
        raise client_error(
            f"No Fargate configuration exists for given values: {cpu} CPU, {memory} memory. See "
            "the Amazon ECS documentation for the valid values."
        )
    if sum(c.get("cpu", 0) for c in request["containerDefinitions"]) > cpu:
        raise client_error(
            "The sum of all container 'cpu' values cannot be greater than the task-level 'cpu' "
            "value."
        )


def _unsupported(name: str, present: object) -> None:
    if present:
        raise client_error(f"Fargate compatible task definitions do not support {name}")


def _container(request: Json, container: Json) -> None:
    if container.get("privileged"):
        raise client_error("Fargate requires that the 'privileged' setting be 'false'.")
    _unsupported("dockerSecurityOptions", container.get("dockerSecurityOptions"))
    linux = container.get("linuxParameters", {})
    _unsupported("devices", linux.get("devices"))
    for key in ("sharedMemorySize", "maxSwap", "swappiness"):
        _unsupported(key, key in linux)
    for word in linux.get("capabilities", {}).get("add", ()):
        if word != "SYS_PTRACE":
            raise client_error(f"{word} is not allowed on Fargate.")
    if any(need["type"] == "GPU" for need in container.get("resourceRequirements", ())):
        raise client_error(
            "Tasks using the Fargate launch type do not support GPU resource requirements."
        )
    for key in ("startTimeout", "stopTimeout"):
        if container.get(key, 2) > 120:
            raise client_error(f"{key} must be 120 or less for tasks that use Fargate.")
    _logs(request, container)
    if ".dkr.ecr." in container["image"] or ".dkr-ecr." in container["image"]:
        _needs_role(request, "ECR images")
    router = container.get("firelensConfiguration", {}).get("options", {})
    if router.get("config-file-type") == "s3":
        raise client_error("Fargate only supports the 'file' config-file-type.")


def _logs(request: Json, container: Json) -> None:
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
    _needs_role(request, "log driver awslogs")
    if not log.get("options", {}).get("awslogs-stream-prefix"):
        raise client_error(
            "Fargate requires log configuration options to include awslogs-stream-prefix to "
            "support log driver awslogs."
        )


def _needs_role(request: Json, what: str) -> None:
    if not request.get("executionRoleArn"):
        raise client_error(
            f"Fargate requires task definition to have execution role ARN to support {what}."
        )
