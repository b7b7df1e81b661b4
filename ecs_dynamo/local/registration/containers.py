"""Checks of containers: variables, secrets, dependencies, health checks, and logs."""

from __future__ import annotations

from collections.abc import Callable

from ecs_dynamo.local.wire.protocol import Json, client_error

_HEALTH_CHECK_RANGES = {
    "interval": (5, 300),
    "timeout": (2, 60),
    "retries": (1, 10),
    "startPeriod": (0, 300),
}
"""Allowed ranges, from the API reference, HealthCheck. Times are in seconds."""


def check(request: Json) -> None:
    """Check containers. Raises EcsError for the first violation."""
    containers: list[Json] = request["containerDefinitions"]
    if all(c.get("essential") is False for c in containers):
        raise client_error("Task definition doesn't have any essential container.")
    if request.get("inferenceAccelerators"):
        raise client_error("Unsupported field 'inferenceAccelerators'.")
    for container in containers:
        _check_variables(container)
        _check_execution_role(request, container)
        _check_health_check(container)
        _check_restart_policy(container)
        _check_logs(container, containers)
    if sum(1 for c in containers if c.get("firelensConfiguration")) > 1:
        raise client_error("Only one container can have a 'firelensConfiguration'.")
    _check_dependencies(containers)
    _check_links(containers)
    _check_constraints(request)


def _check_variables(container: Json) -> None:
    taken: set[str] = set()
    for variable in container.get("environment", ()):
        name = variable.get("name") or ""
        if not name or "=" in name:
            raise client_error(
                f"Invalid environment variable name '{name}' of container '{container['name']}'."
            )
        taken.add(name)
    for secret in container.get("secrets", ()):
        if not secret["name"] or not secret["valueFrom"]:
            raise client_error("The secret name and its 'valueFrom' should not be empty.")
        if secret["name"] in taken:
            raise client_error(
                "The secret name must be unique and not shared with any new or existing "
                f"environment variables set on the container, such as '{secret['name']}'."
            )
        taken.add(secret["name"])
    files = container.get("environmentFiles", ())
    if len(files) > 10:
        raise client_error(
            "The maximum number of environment files was exceeded. Specify ten or less and try "
            "again."
        )
    for file in files:
        arn = file["value"].split(":", 5)
        bucket, _, key = arn[-1].partition("/")
        if arn[:1] != ["arn"] or arn[2:5] != ["s3", "", ""] or not bucket:
            raise client_error("Invalid arn syntax.")
        if len(key) <= len(".env") or not key.endswith(".env"):
            raise client_error("An environment file must have a .env file extension.")


def _check_execution_role(request: Json, container: Json) -> None:
    if request.get("executionRoleArn"):
        return
    log = container.get("logConfiguration", {})
    for member, value in (
        ("secrets", container.get("secrets") or log.get("secretOptions")),
        ("repositoryCredentials", container.get("repositoryCredentials")),
    ):
        if value:
            raise client_error(
                f"When you are specifying container {member}, you must also specify a value for "
                "'executionRoleArn'."
            )


def _check_health_check(container: Json) -> None:
    health = container.get("healthCheck")
    if health is None:
        return
    if health["command"][:1] not in (["CMD"], ["CMD-SHELL"]) or len(health["command"]) == 1:
        raise client_error("Health check command must start with CMD or CMD-SHELL.")
    for key, (minimum, maximum) in _HEALTH_CHECK_RANGES.items():
        if not minimum <= health.get(key, minimum) <= maximum:
            raise client_error(
                f"Invalid value for healthCheck '{key}' of container '{container['name']}': it "
                f"must be between {minimum} and {maximum}."
            )


def _check_restart_policy(container: Json) -> None:
    policy = container.get("restartPolicy", {})
    if not 60 <= policy.get("restartAttemptPeriod", 300) <= 1800:
        raise client_error(
            f"the 'restartAttemptPeriod' setting for container '{container['name']}' must be "
            "between 60 and 1800."
        )
    if len(policy.get("ignoredExitCodes", ())) > 50:
        raise client_error("'ignoredExitCodes' can have at most 50 items.")


def _check_logs(container: Json, containers: list[Json]) -> None:
    log = container.get("logConfiguration", {})
    options = log.get("options", {})
    if log.get("logDriver") == "awslogs" and not all(
        options.get(f"awslogs-{key}") for key in ("region", "group")
    ):
        raise client_error("Log driver awslogs requires options: awslogs-region, awslogs-group")
    if log.get("logDriver") == "awsfirelens" and not any(
        c.get("firelensConfiguration") for c in containers
    ):
        raise client_error(
            "When awsfirelens log driver is specified in log configuration, a firelens "
            "configuration object must be specified"
        )


def _check_dependencies(containers: list[Json]) -> None:
    by_name = {c["name"]: c for c in containers}
    for container in containers:
        for dependency in container.get("dependsOn", ()):
            other = by_name.get(dependency["containerName"])
            if other is None:
                raise client_error(
                    f"Cannot depend on container + '{dependency['containerName']}' because it "
                    "does not exist"
                )
            condition = dependency["condition"]
            if condition in ("SUCCESS", "COMPLETE") and other.get("essential", True):
                raise client_error(
                    "A dependency container with SUCCESS or COMPLETE condition cannot be an "
                    "essential container"
                )
            if condition == "HEALTHY" and "healthCheck" not in other:
                raise client_error(
                    "A dependency container with HEALTHY condition must have health check "
                    "configured"
                )
    _check_no_cycle(
        containers,
        lambda c: [d["containerName"] for d in c.get("dependsOn", ())],
        "Container dependencies should not have a cycle",
    )


def _check_links(containers: list[Json]) -> None:
    def targets(container: Json) -> list[str]:
        return [link.split(":")[0] for link in container.get("links", ())]

    names = {c["name"] for c in containers}
    for target in (t for c in containers for t in targets(c)):
        if target not in names:
            raise client_error(f"Invalid 'links' setting. Unknown container: '{target}'")
    _check_no_cycle(containers, targets, "Container links should not have a cycle")


def _check_no_cycle(
    containers: list[Json], targets_of: Callable[[Json], list[str]], message: str
) -> None:
    """Raise EcsError with ``message`` if following targets leads back to the same container.

    Containers without remaining targets are removed until none is left; a cycle cannot be removed.
    """
    remaining = {c["name"]: set(targets_of(c)) for c in containers}
    while remaining:
        free = [name for name, targets in remaining.items() if not targets & remaining.keys()]
        if not free:
            raise client_error(message)
        for name in free:
            del remaining[name]


def _check_constraints(request: Json) -> None:
    constraints = request.get("placementConstraints", ())
    if len(constraints) > 10:
        raise client_error("Maximum number of constraints is 10.")
    if any(not c.get("expression") for c in constraints):
        raise client_error("Constraint expression should not be empty.")
