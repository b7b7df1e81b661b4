"""ECS's rules for the parameters of CreateService, UpdateService, and RunTask."""

from __future__ import annotations

from ecs_dynamo.local.placement.expressions import matches
from ecs_dynamo.local.state.entities import TaskDefinition
from ecs_dynamo.local.wire.protocol import Json, invalid


def check_network(definition: TaskDefinition, launch_type: str, network: Json | None) -> None:
    """Check network mode, launch type, and network configuration. Raises EcsError."""
    vpc = (network or {}).get("awsvpcConfiguration")
    if definition.network_mode == "awsvpc" and not vpc:
        raise invalid(
            "Network Configuration must be provided when networkMode 'awsvpc' is specified."
        )
    if definition.network_mode != "awsvpc" and vpc:
        raise invalid(
            "Network Configuration is not valid for the given networkMode of this task definition."
        )
    if vpc and not vpc.get("subnets"):
        raise invalid("subnets can not be empty.")
    if vpc and len(vpc["subnets"]) > 16:
        raise invalid("subnets can have at most 16 items.")
    if vpc and len(vpc.get("securityGroups", ())) > 5:
        raise invalid("securityGroups can have at most 5 items.")
    if vpc and launch_type != "FARGATE" and vpc.get("assignPublicIp") == "ENABLED":
        raise invalid("Assign public IP is not supported for this launch type.")
    if launch_type == "FARGATE" and "FARGATE" not in definition.content.get(
        "requiresCompatibilities", ()
    ):
        raise invalid("Task definition does not support launch_type FARGATE.")


def check_execute_command(definition: TaskDefinition, request: Json, change: str) -> None:
    """Check that a service with ECS Exec has a task role. ``change`` is "created" or "updated".

    AWS's message is quoted in aws/aws-toolkit-jetbrains#3649. Raises EcsError.
    """
    if request.get("enableExecuteCommand") and not definition.content.get("taskRoleArn"):
        raise invalid(
            f"The service couldn't be {change} because a valid taskRoleArn is not being used. "
            "Specify a valid task role in your task definition and try again."
        )


def check_volumes_at_launch(definition: TaskDefinition, request: Json) -> None:
    """Check that exactly the volumes which are configured at launch have a configuration."""
    required = {
        v["name"] for v in definition.content.get("volumes", ()) if v.get("configuredAtLaunch")
    }
    configured = {c["name"] for c in request.get("volumeConfigurations") or ()}
    if configured - required:
        raise invalid(
            "Volume configuration provided but no matching configuredAtLaunch volume found in task "
            "definition."
        )
    if required - configured:
        raise invalid(
            "Volume configuration is required for the configuredAtLaunch volumes "
            f"{sorted(required - configured)} of the task definition."
        )


def check_deployment_limits(configuration: Json) -> None:
    """Check a deployment configuration. Raises EcsError."""
    minimum = configuration.get("minimumHealthyPercent", 100)
    maximum = configuration.get("maximumPercent", 200)
    if minimum > 100:
        raise invalid("minimumHealthyPercent must be at most 100.")
    if maximum < 100 or minimum > maximum or (maximum == 100 and minimum == 100):
        raise invalid(
            "The specified minimumHealthyPercent and maximumPercent leave no room for a deployment."
        )


def check_load_balancers(definition: TaskDefinition, request: Json) -> None:
    """Check that load balancers name a container of the task definition and a port that it maps."""
    containers = {c["name"]: c for c in definition.content.get("containerDefinitions", ())}
    for balancer in request.get("loadBalancers") or ():
        name, port = balancer.get("containerName"), balancer.get("containerPort")
        if name not in containers:
            raise invalid(f"The container {name} does not exist in the task definition.")
        ports = {m.get("containerPort") for m in containers[name].get("portMappings", ())}
        if port not in ports:
            raise invalid(f"The container {name} did not have a container port {port} defined.")


def check_placement(request: Json, launch_type: str, definition: TaskDefinition) -> None:
    """Check placement strategies and constraints. Raises EcsError.

    The limit counts the constraints of the task definition too (API reference, CreateService).
    """
    constraints = request.get("placementConstraints", ())
    strategy = request.get("placementStrategy", ())
    if launch_type == "FARGATE" and (constraints or strategy):
        raise invalid("Placement strategies and constraints are not supported with FARGATE.")
    if len(constraints) + len(definition.content.get("placementConstraints", ())) > 10:
        raise invalid("Maximum number of constraints is 10.")
    if len(strategy) > 5:
        raise invalid("Maximum number of strategies is 5.")
    for constraint in constraints:
        if constraint.get("type") == "memberOf":
            matches(constraint.get("expression", ""), {})
        elif constraint.get("expression"):
            raise invalid("An expression cannot be specified for distinctInstance.")
    for step in strategy:
        kind, field = step.get("type"), step.get("field", "")
        invalid_binpack = kind == "binpack" and field.lower() not in ("cpu", "memory")
        if invalid_binpack or (kind == "spread" and not field) or (kind == "random" and field):
            raise invalid(f"Invalid placement strategy: {kind} does not take the field {field!r}.")
