"""Services."""

from __future__ import annotations

from ecs_dynamo.local.expressions import matches
from ecs_dynamo.local.handlers.names import NAMES, check_names, names_change
from ecs_dynamo.local.handlers.registry import Context, operation
from ecs_dynamo.local.handlers.settings import check_settings, default_rebalancing
from ecs_dynamo.local.protocol import EcsError, Json, failure, invalid, page
from ecs_dynamo.local.providers import FARGATE, check_strategy, whole
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


def check_volumes_at_launch(definition: TaskDefinition, request: Json) -> None:
    """A volume that is configured at launch has its configuration in the call, and no other has."""
    needed = {
        v["name"] for v in definition.content.get("volumes", ()) if v.get("configuredAtLaunch")
    }
    given = {one["name"] for one in request.get("volumeConfigurations") or ()}
    if given - needed:
        raise invalid(
            "Volume configuration provided but no matching configuredAtLaunch volume found in task "
            "definition."
        )
    if needed - given:
        raise invalid(
            "Volume configuration is required for the configuredAtLaunch volumes "
            f"{sorted(needed - given)} of the task definition."
        )


def _check_limits(configuration: Json) -> None:
    least = configuration.get("minimumHealthyPercent", 100)
    most = configuration.get("maximumPercent", 200)
    if least > 100:
        raise invalid("minimumHealthyPercent must be at most 100.")
    if most < 100 or least > most or (most == 100 and least == 100):
        raise invalid(
            "The specified minimumHealthyPercent and maximumPercent leave no room for a deployment."
        )


def _check_load_balancers(definition: TaskDefinition, request: Json) -> None:
    """A load balancer names a container of the task definition and a port that it maps."""
    containers = {c["name"]: c for c in definition.content.get("containerDefinitions", ())}
    for one in request.get("loadBalancers") or ():
        name, port = one.get("containerName"), one.get("containerPort")
        if name not in containers:
            raise invalid(f"The container {name} does not exist in the task definition.")
        ports = {m.get("containerPort") for m in containers[name].get("portMappings", ())}
        if port not in ports:
            raise invalid(f"The container {name} did not have a container port {port} defined.")


def _live(context: Context, request: Json) -> tuple[Cluster, Service]:
    cluster = context.state.cluster(request.get("cluster"))
    service = context.state.service(cluster, request["service"])
    if service is None:
        raise EcsError("ServiceNotFoundException", "Service not found.")
    if service.status != "ACTIVE":
        raise EcsError("ServiceNotActiveException", "Service was not ACTIVE.")
    return cluster, service


def _launch_type(context: Context, cluster: Cluster, request: Json) -> str:
    """What the service runs on; the cluster's default strategy is filled in where none is given."""
    if "launchType" in request and request.get("capacityProviderStrategy"):
        raise invalid(
            "Specifying both a launch type and capacity provider strategy is not supported. "
            "Remove one and try again."
        )
    if "launchType" not in request and "capacityProviderStrategy" not in request:
        request["capacityProviderStrategy"] = list(cluster.default_strategy)
    strategy = request.get("capacityProviderStrategy")
    if not strategy:
        return str(request.setdefault("launchType", "EC2"))
    check_strategy(strategy, cluster.capacity_providers)
    request["capacityProviderStrategy"] = whole(strategy)
    first = str(strategy[0]["capacityProvider"]).rsplit("/", 1)[-1]
    if first in context.state.providers and not context.state.providers[first].group:
        raise EcsError(
            "UnsupportedFeatureException", "the local ECS does not run Managed Instances"
        )
    return "FARGATE" if first in FARGATE else "EC2"


def check_placement(request: Json, launch_type: str, definition: TaskDefinition) -> None:
    """ECS's rules of placement strategies and constraints.

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
    for one in constraints:
        if one.get("type") == "memberOf":
            matches(one.get("expression", ""), {})
        elif one.get("expression"):
            raise invalid("An expression cannot be specified for distinctInstance.")
    for one in strategy:
        kind, field = one.get("type"), one.get("field", "")
        packs = kind == "binpack" and field.lower() not in ("cpu", "memory")
        if packs or (kind == "spread" and not field) or (kind == "random" and field):
            raise invalid(f"Invalid placement strategy: {kind} does not take the field {field!r}.")


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
    launch_type = _launch_type(context, cluster, request)
    check_placement(request, launch_type, definition)
    check_network(definition, launch_type, request.get("networkConfiguration"))
    check_names(state, context.cloud_map, definition, {**request, "cluster": cluster.name})
    check_volumes_at_launch(definition, request)
    _check_limits(request.get("deploymentConfiguration", {}))
    _check_load_balancers(definition, request)
    request.setdefault("availabilityZoneRebalancing", default_rebalancing(request))
    check_settings(request)
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


MOST_DEPLOYMENTS = 5
"""A deployment is active until all of its tasks have ended; "once five deployments are
simultaneously in a non-completed state, ECS rejects any additional deployment requests" (AWS
Support, quoted with the message in aws/containers-roadmap#2836). The error's code is not quoted
there: it is that of CreateTaskSet's like limit ("5 deployments exist on the service")."""

_UPDATABLE = (
    "deploymentConfiguration",
    "networkConfiguration",
    "placementConstraints",
    "placementStrategy",
    "healthCheckGracePeriodSeconds",
    "availabilityZoneRebalancing",
    "enableECSManagedTags",
    "enableExecuteCommand",
    "propagateTags",
    "loadBalancers",
    "volumeConfigurations",
    *NAMES,
    "capacityProviderStrategy",
)


def _updated_launch_type(context: Context, service: Service, request: Json) -> str:
    """What the service runs on after an update. A strategy only changes with a new deployment."""
    had = service.request.get("capacityProviderStrategy") or []
    asked = request.get("capacityProviderStrategy")
    strategy = had
    if asked is not None:
        strategy = request["capacityProviderStrategy"] = whole(asked)
    if strategy != had and not request.get("forceNewDeployment"):
        raise invalid(
            "When switching from launch type to capacity provider strategy on an existing service, "
            "or making a change to a capacity provider strategy on a service that is already "
            "using one, you must force a new deployment."
        )
    if not strategy:
        return str(service.request.get("launchType", "EC2"))
    cluster = context.state.clusters[service.cluster]
    return _launch_type(context, cluster, {"capacityProviderStrategy": strategy})


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
    launch_type = _updated_launch_type(context, service, request)
    check_network(definition, launch_type, network)
    check_placement({**service.request, **request}, launch_type, definition)
    _check_limits(request.get("deploymentConfiguration", {}))
    asked = {**service.request, **request, "cluster": service.cluster, "serviceName": service.name}
    check_settings(asked)
    check_names(state, context.cloud_map, definition, asked)
    check_volumes_at_launch(definition, asked)
    moved = network != service.request.get("networkConfiguration")
    moved = moved or names_change(service, request)
    # "This parameter triggers a new service deployment" (UpdateService, loadBalancers).
    balancers = service.request.get("loadBalancers", [])
    moved = moved or request.get("loadBalancers", balancers) != balancers
    _check_load_balancers(definition, asked)
    if request.get("desiredCount", 0) < 0:
        raise invalid("desiredCount can not be negative.")
    begins = definition is not service.primary.definition or moved
    begins = begins or request.get("forceNewDeployment", False)
    if begins and len(context.scheduler.active(service)) >= MOST_DEPLOYMENTS:
        raise invalid(
            f"{MOST_DEPLOYMENTS} active deployments exist, unable to create new deployment."
        )
    for key in _UPDATABLE:
        if key in request:
            service.request[key] = request[key]
    if "desiredCount" in request:
        context.scheduler.scale_out(service, max(0, request["desiredCount"] - service.desired))
        service.desired = request["desiredCount"]
        service.primary.desired = service.desired
    if begins:
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
    wanted, kind = request.get("launchType"), request.get("schedulingStrategy")
    arns = sorted(
        s.arn
        for s in context.state.services.values()
        if s.cluster == cluster.name
        and s.status != "INACTIVE"
        and wanted in (None, s.request.get("launchType"))
        and kind in (None, s.request.get("schedulingStrategy", "REPLICA"))
    )
    items, token = page(arns, request, default=10)
    return {"serviceArns": items, "nextToken": token}
