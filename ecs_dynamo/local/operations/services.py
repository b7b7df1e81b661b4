"""Operations on services."""

from __future__ import annotations

from ecs_dynamo.local.operations.registry import Context, operation
from ecs_dynamo.local.operations.service_checks import (
    check_deployment_limits,
    check_execute_command,
    check_load_balancers,
    check_network,
    check_placement,
    check_volumes_at_launch,
)
from ecs_dynamo.local.operations.service_names import NAME_PARAMETERS, check_names, names_changed
from ecs_dynamo.local.operations.service_settings import check_settings, default_rebalancing
from ecs_dynamo.local.placement.provider_strategy import FARGATE, check_strategy, with_defaults
from ecs_dynamo.local.scheduling.deployments import active_deployments, deploy, scale_out
from ecs_dynamo.local.state.descriptions import service_description
from ecs_dynamo.local.state.entities import Cluster, Service
from ecs_dynamo.local.state.store import tags_of
from ecs_dynamo.local.wire.protocol import EcsError, Json, describe_each, invalid, page

MAX_DEPLOYMENTS = 5
"""A deployment is active until all of its tasks have stopped, and "once five deployments are
simultaneously in a non-completed state, ECS rejects any additional deployment requests" (AWS
Support, quoted with the message in aws/containers-roadmap#2836). The error's code is not quoted
there; the code of CreateTaskSet's similar limit is used ("5 deployments exist on the service")."""

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
    *NAME_PARAMETERS,
    "capacityProviderStrategy",
)


def _active_service(context: Context, request: Json) -> Service:
    cluster = context.state.cluster(request.get("cluster"))
    service = context.state.service(cluster, request["service"])
    if service is None:
        raise EcsError("ServiceNotFoundException", "Service not found.")
    if service.status != "ACTIVE":
        raise EcsError("ServiceNotActiveException", "Service was not ACTIVE.")
    return service


def _launch_type(context: Context, cluster: Cluster, request: Json) -> str:
    """Return the launch type, and complete the request.

    A request without launch type and strategy gets the cluster's default strategy. Raises EcsError.
    """
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
    request["capacityProviderStrategy"] = with_defaults(strategy)
    first = str(strategy[0]["capacityProvider"]).rsplit("/", 1)[-1]
    if first in context.state.providers and not context.state.providers[first].scaling_group:
        raise EcsError(
            "UnsupportedFeatureException", "the local ECS does not run Managed Instances"
        )
    return "FARGATE" if first in FARGATE else "EC2"


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
            return {"service": service_description(state, existing, ["TAGS"])}
        if existing.status == "DRAINING":
            raise invalid("Unable to Start a service that is still Draining.")
        raise invalid("Creation of service was not idempotent.")
    launch_type = _launch_type(context, cluster, request)
    check_placement(request, launch_type, definition)
    check_network(definition, launch_type, request.get("networkConfiguration"))
    check_names(state, context.cloud_map, definition, {**request, "cluster": cluster.name})
    check_volumes_at_launch(definition, request)
    check_execute_command(definition, request, "created")
    check_deployment_limits(request.get("deploymentConfiguration", {}))
    check_load_balancers(definition, request)
    request.setdefault("availabilityZoneRebalancing", default_rebalancing(request))
    check_settings(request)
    desired = request.get("desiredCount", 0)
    if desired < 0:
        raise invalid("desiredCount cannot be negative.")
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
            task.service = None  # It belongs to a deleted service of the same name.
    deploy(state, service, definition)
    state.services[(cluster.name, name)] = service
    context.scheduler.wake()
    return {"service": service_description(state, service, ["TAGS"])}


def _updated_launch_type(context: Context, service: Service, request: Json) -> str:
    """Return the launch type after an update, and complete its strategy. Raises EcsError.

    A strategy can only change with a new deployment.
    """
    current = service.request.get("capacityProviderStrategy") or []
    requested = request.get("capacityProviderStrategy")
    strategy = current
    if requested is not None:
        strategy = request["capacityProviderStrategy"] = with_defaults(requested)
    if strategy != current and not request.get("forceNewDeployment"):
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
    service = _active_service(context, request)
    definition = service.primary.definition
    if "taskDefinition" in request:
        definition = state.definition(request["taskDefinition"])
        if definition.status != "ACTIVE":
            raise EcsError("ClientException", "TaskDefinition is inactive")
    network = request.get("networkConfiguration", service.request.get("networkConfiguration"))
    launch_type = _updated_launch_type(context, service, request)
    check_network(definition, launch_type, network)
    check_placement({**service.request, **request}, launch_type, definition)
    check_deployment_limits(request.get("deploymentConfiguration", {}))
    updated = {
        **service.request,
        **request,
        "cluster": service.cluster,
        "serviceName": service.name,
    }
    check_settings(updated)
    check_names(state, context.cloud_map, definition, updated)
    check_volumes_at_launch(definition, updated)
    check_execute_command(definition, updated, "updated")
    # "This parameter triggers a new service deployment" (UpdateService, loadBalancers).
    balancers = service.request.get("loadBalancers", [])
    deploys = (
        definition is not service.primary.definition
        or network != service.request.get("networkConfiguration")
        or names_changed(service, request)
        or request.get("loadBalancers", balancers) != balancers
        or request.get("forceNewDeployment", False)
    )
    check_load_balancers(definition, updated)
    if request.get("desiredCount", 0) < 0:
        raise invalid("desiredCount cannot be negative.")
    if deploys and len(active_deployments(state, service)) >= MAX_DEPLOYMENTS:
        raise invalid(
            f"{MAX_DEPLOYMENTS} active deployments exist, unable to create new deployment."
        )
    for key in _UPDATABLE:
        if key in request:
            service.request[key] = request[key]
    if "desiredCount" in request:
        scale_out(service, max(0, request["desiredCount"] - service.desired))
        service.desired = request["desiredCount"]
        service.primary.desired = service.desired
    if deploys:
        deploy(state, service, definition)
    context.scheduler.wake()
    return {"service": service_description(state, service, ["TAGS"])}


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
    return {"service": service_description(context.state, service, ["TAGS"])}


@operation("DescribeServices")
def describe_services(context: Context, request: Json) -> Json:
    names = request["services"]
    if not names:
        raise invalid("Services cannot be empty.")
    if len(names) > 10:
        raise invalid("services can have at most 10 items.")
    cluster = context.state.cluster(request.get("cluster"))
    descriptions, failures = describe_each(
        names,
        lambda name: context.state.service(cluster, name),
        lambda service: service_description(context.state, service, request.get("include", [])),
        lambda name: context.state.arn(f"service/{cluster.name}/{name.rsplit('/', 1)[-1]}"),
    )
    return {"services": descriptions, "failures": failures}


@operation("ListServices")
def list_services(context: Context, request: Json) -> Json:
    cluster = context.state.cluster(request.get("cluster"))
    launch_type, strategy = request.get("launchType"), request.get("schedulingStrategy")
    arns = sorted(
        s.arn
        for s in context.state.services.values()
        if s.cluster == cluster.name
        and s.status != "INACTIVE"
        and launch_type in (None, s.request.get("launchType"))
        and strategy in (None, s.request.get("schedulingStrategy", "REPLICA"))
    )
    items, token = page(arns, request, default=10)
    return {"serviceArns": items, "nextToken": token}
