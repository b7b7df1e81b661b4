"""Services."""

from __future__ import annotations

from ecs_dynamo.local.handlers.registry import Context, operation
from ecs_dynamo.local.protocol import EcsError, Json, failure, invalid, page
from ecs_dynamo.local.shapes import service_shape
from ecs_dynamo.local.state import Cluster, Service, TaskDefinition, tags_of


def check_network(definition: TaskDefinition, launch_type: str, network: Json | None) -> None:
    """ECS's rules of network mode, launch type and network configuration."""
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
    if launch_type == "FARGATE" and "FARGATE" not in definition.content.get(
        "requiresCompatibilities", ()
    ):
        raise invalid("Task definition does not support launch_type FARGATE.")


def _check_limits(configuration: Json) -> None:
    least = configuration.get("minimumHealthyPercent", 100)
    most = configuration.get("maximumPercent", 200)
    if most < 100 or least > most or (most == 100 and least == 100):
        raise invalid(
            "The specified minimumHealthyPercent and maximumPercent leave no room for a deployment."
        )


def _live(context: Context, request: Json) -> tuple[Cluster, Service]:
    cluster = context.state.cluster(request.get("cluster"))
    service = context.state.service(cluster, request["service"])
    if service is None:
        raise EcsError("ServiceNotFoundException", "Service not found.")
    if service.status != "ACTIVE":
        raise EcsError("ServiceNotActiveException", "Service was not ACTIVE.")
    return cluster, service


@operation("CreateService")
def create_service(context: Context, request: Json) -> Json:
    state = context.state
    cluster = state.cluster(request.get("cluster"))
    name = request["serviceName"]
    if "taskDefinition" not in request:
        raise invalid("TaskDefinition can not be blank.")
    definition = state.definition(request["taskDefinition"])
    if definition.status != "ACTIVE":
        raise EcsError("ClientException", "TaskDefinition is inactive")
    existing = state.service(cluster, name)
    if existing is not None and existing.status != "INACTIVE":
        token = request.get("clientToken")
        if token is not None and token == existing.client_token:
            return {"service": service_shape(state, existing, ["TAGS"])}
        if existing.status == "DRAINING":
            raise invalid("Unable to Start a service that is still Draining.")
        raise invalid("Creation of service was not idempotent.")
    launch_type = request.setdefault("launchType", "EC2")
    check_network(definition, launch_type, request.get("networkConfiguration"))
    _check_limits(request.get("deploymentConfiguration", {}))
    desired = request.get("desiredCount", 0)
    if desired < 0:
        raise invalid("desiredCount can not be negative.")
    service = Service(
        arn=state.arn(f"service/{cluster.name}/{name}"),
        name=name,
        cluster=cluster.name,
        request=dict(request),
        desired=desired,
        created_at=state.now(),
        deployments=[],
        client_token=request.get("clientToken"),
        tags=tags_of(request),
    )
    for task in state.tasks.values():
        if task.service == name and task.cluster == cluster.name:
            task.service = None  # Tasks of a deleted service of the same name.
    context.scheduler.deploy(service, definition)
    state.services[(cluster.name, name)] = service
    return {"service": service_shape(state, service, ["TAGS"])}


_UPDATABLE = (
    "deploymentConfiguration",
    "networkConfiguration",
    "placementConstraints",
    "placementStrategy",
    "healthCheckGracePeriodSeconds",
    "enableECSManagedTags",
    "enableExecuteCommand",
    "propagateTags",
    "loadBalancers",
    "serviceRegistries",
    "capacityProviderStrategy",
)


@operation("UpdateService")
def update_service(context: Context, request: Json) -> Json:
    state = context.state
    _, service = _live(context, request)
    definition = service.primary.definition
    if "taskDefinition" in request:
        definition = state.definition(request["taskDefinition"])
        if definition.status != "ACTIVE":
            raise EcsError("ClientException", "TaskDefinition is inactive")
    network = request.get("networkConfiguration", service.request.get("networkConfiguration"))
    check_network(definition, service.request["launchType"], network)
    _check_limits(request.get("deploymentConfiguration", {}))
    moved = network != service.request.get("networkConfiguration")
    for key in _UPDATABLE:
        if key in request:
            service.request[key] = request[key]
    if "desiredCount" in request:
        if request["desiredCount"] < 0:
            raise invalid("desiredCount can not be negative.")
        service.desired = request["desiredCount"]
        service.primary.desired = service.desired
    other = definition is not service.primary.definition
    if other or moved or request.get("forceNewDeployment"):
        context.scheduler.deploy(service, definition)
    context.scheduler.wake()
    return {"service": service_shape(state, service, ["TAGS"])}


@operation("DeleteService")
def delete_service(context: Context, request: Json) -> Json:
    cluster = context.state.cluster(request.get("cluster"))
    service = context.state.service(cluster, request["service"])
    if service is None:
        raise EcsError("ServiceNotFoundException", "Service not found.")
    if service.status == "ACTIVE":
        if service.desired > 0 and not request.get("force"):
            raise invalid("The service cannot be stopped while it is scaled above 0.")
        service.desired = 0
        service.status = "DRAINING"
        context.scheduler.wake()
    return {"service": service_shape(context.state, service, ["TAGS"])}


@operation("DescribeServices")
def describe_services(context: Context, request: Json) -> Json:
    names = request["services"]
    if not names:
        raise invalid("Services cannot be empty.")
    if len(names) > 10:
        raise invalid("services can have at most 10 items.")
    cluster = context.state.cluster(request.get("cluster"))
    found, missing = [], []
    for name in names:
        service = context.state.service(cluster, name)
        if service is None:
            full = context.state.arn(f"service/{cluster.name}/{name.rsplit('/', 1)[-1]}")
            missing.append(failure(full))
        else:
            found.append(service_shape(context.state, service, request.get("include", [])))
    return {"services": found, "failures": missing}


@operation("ListServices")
def list_services(context: Context, request: Json) -> Json:
    cluster = context.state.cluster(request.get("cluster"))
    wanted = request.get("launchType")
    arns = sorted(
        s.arn
        for s in context.state.services.values()
        if s.cluster == cluster.name
        and s.status != "INACTIVE"
        and wanted in (None, s.request["launchType"])
    )
    items, token = page(arns, request, default=10)
    return {"serviceArns": items, "nextToken": token}
