"""Launches of containers: environment, secrets, and command, with the overrides of the task."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from ecs_dynamo.local.runtime import METADATA_VARIABLE, ContainerLaunch, HealthCheck
from ecs_dynamo.local.state.entities import Task
from ecs_dynamo.local.tasks.name_resolution import NameResolver
from ecs_dynamo.local.tasks.volumes import mounts_of
from ecs_dynamo.local.wire.protocol import Json

SecretReader = Callable[[str], Awaitable[str]]
"""Returns the value of a ``valueFrom``. Raises LookupError if it does not exist."""


async def container_launch(
    task: Task,
    declared: Json,
    folders: Mapping[str, Path],
    *,
    read_secret: SecretReader,
    names: NameResolver,
    metadata_url: str,
) -> ContainerLaunch:
    """Return the launch of the container that ``declared``, a container definition, describes.

    ``folders`` has the folder of each volume of the task, and ``metadata_url`` is where the
    container reads ECS's task metadata. Raises LookupError if a secret does not exist, and OSError
    if a name in the environment or command cannot be forwarded.
    """
    overrides: Mapping[str, Json] = {
        o["name"]: o for o in task.overrides.get("containerOverrides", ())
    }
    override = overrides.get(declared["name"], {})
    environment = {
        variable["name"]: variable.get("value", "")
        for variable in (*declared.get("environment", ()), *override.get("environment", ()))
    }
    for secret in declared.get("secrets", ()):
        environment[secret["name"]] = await read_secret(secret["valueFrom"])
    resolvable = names.resolvable_by(task)
    for name, value in environment.items():
        environment[name] = await names.rewrite(value, resolvable)
    environment["ECS_LOCAL_TASK_ARN"] = task.arn
    environment[METADATA_VARIABLE] = metadata_url
    command = override.get("command") or declared.get("command", ())
    return ContainerLaunch(
        name=declared["name"],
        image=declared["image"],
        entry_point=tuple(declared.get("entryPoint", ())),
        command=tuple([await names.rewrite(word, resolvable) for word in command]),
        environment=environment,
        essential=declared.get("essential", True),
        stop_timeout=float(declared.get("stopTimeout", 30)),
        health_check=_health_check(declared.get("healthCheck")),
        depends_on=tuple(
            (d["containerName"], d["condition"]) for d in declared.get("dependsOn", ())
        ),
        mounts=mounts_of(declared, folders),
    )


def _health_check(declared: Json | None) -> HealthCheck | None:
    """Convert a health check; its defaults are those of ECS (API reference, HealthCheck)."""
    if not declared or declared["command"] == ["NONE"]:
        return None
    return HealthCheck(
        command=tuple(declared["command"]),
        interval=float(declared.get("interval", 30)),
        timeout=float(declared.get("timeout", 5)),
        retries=int(declared.get("retries", 3)),
        start_period=float(declared.get("startPeriod", 0)),
    )
