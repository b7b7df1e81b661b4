"""Operations on capacity providers."""

from __future__ import annotations

from ecs_dynamo.local.operations.registry import Context, operation
from ecs_dynamo.local.placement.provider_strategy import FARGATE, check_strategy
from ecs_dynamo.local.state.descriptions import cluster_description
from ecs_dynamo.local.state.entities import Provider
from ecs_dynamo.local.state.store import State, tags_of
from ecs_dynamo.local.wire.protocol import EcsError, Json, failure, invalid, page

_MANAGED_SCALING_DEFAULTS = {
    "status": "DISABLED",
    "targetCapacity": 100,
    "minimumScalingStepSize": 1,
    "maximumScalingStepSize": 10000,
    "instanceWarmupPeriod": 300,
}


def provider_description(provider: Provider, include: list[str]) -> Json:
    description: Json = {
        "capacityProviderArn": provider.arn,
        "name": provider.name,
        "cluster": provider.cluster,
        "status": provider.status,
        "type": provider.type,
        "tags": provider.tags if "TAGS" in include else [],
    }
    group_provider = provider.request.get("autoScalingGroupProvider")
    if group_provider is not None:
        description["autoScalingGroupProvider"] = {
            "managedTerminationProtection": "DISABLED",
            "managedDraining": "ENABLED",
            **group_provider,
            "managedScaling": {
                **_MANAGED_SCALING_DEFAULTS,
                **group_provider.get("managedScaling", {}),
            },
        }
    if "managedInstancesProvider" in provider.request:
        description["managedInstancesProvider"] = provider.request["managedInstancesProvider"]
    return description


def fargate_provider(state: State, name: str) -> Provider:
    """Return FARGATE or FARGATE_SPOT, which exist in every account."""
    return Provider(name, state.arn(f"capacity-provider/{name}"), {})


@operation("CreateCapacityProvider")
def create_capacity_provider(context: Context, request: Json) -> Json:
    state, name = context.state, request["name"]
    if name.lower().startswith(("aws", "ecs", "fargate")):
        raise invalid("The name cannot be prefixed with aws, ecs, or fargate.")
    kinds = {"autoScalingGroupProvider", "managedInstancesProvider"} & request.keys()
    if len(kinds) != 1:
        raise invalid("Specify one of autoScalingGroupProvider and managedInstancesProvider.")
    if name in state.providers:
        raise invalid(f"A capacity provider {name} already exists.")
    cluster = None
    if "managedInstancesProvider" in request:
        if "cluster" not in request:
            raise invalid("A cluster is required for Managed Instances capacity providers.")
        cluster = state.cluster(request["cluster"])
        cluster.capacity_providers.append(name)
    provider = Provider(
        name,
        state.arn(f"capacity-provider/{name}"),
        {k: v for k, v in request.items() if k != "tags"},
        cluster.name if cluster else None,
        tags=tags_of(request),
    )
    state.providers[name] = provider
    return {"capacityProvider": provider_description(provider, ["TAGS"])}


@operation("DescribeCapacityProviders")
def describe_capacity_providers(context: Context, request: Json) -> Json:
    state = context.state
    names = [n.rsplit("/", 1)[-1] for n in request.get("capacityProviders", ())]
    if len(names) > 100:
        raise invalid("capacityProviders can have at most 100 items.")
    providers = {
        **{name: fargate_provider(state, name) for name in FARGATE},
        **state.providers,
    }
    if "cluster" in request:
        attached = {*state.cluster(request["cluster"]).capacity_providers, *FARGATE}
        providers = {n: p for n, p in providers.items() if n in attached}
    items, token = page(names or sorted(providers), request, default=10, limit=10)
    include = request.get("include", [])
    return {
        "capacityProviders": [
            provider_description(providers[n], include) for n in items if n in providers
        ],
        "failures": [
            failure(state.arn(f"capacity-provider/{n}")) for n in items if n not in providers
        ],
        "nextToken": token,
    }


@operation("UpdateCapacityProvider")
def update_capacity_provider(context: Context, request: Json) -> Json:
    provider = _existing(context, request["name"])
    changes = request.get("autoScalingGroupProvider")
    if changes is not None:
        merged = {**provider.request.get("autoScalingGroupProvider", {}), **changes}
        provider.request["autoScalingGroupProvider"] = merged
    context.scheduler.wake()
    return {"capacityProvider": provider_description(provider, [])}


@operation("DeleteCapacityProvider")
def delete_capacity_provider(context: Context, request: Json) -> Json:
    provider = _existing(context, request["capacityProvider"].rsplit("/", 1)[-1])
    for cluster in context.state.clusters.values():
        if provider.name in cluster.capacity_providers:
            if provider.type != "MANAGED_INSTANCES":
                raise invalid("The capacity provider is in use by a cluster.")
            cluster.capacity_providers.remove(provider.name)
    del context.state.providers[provider.name]
    provider.status = "INACTIVE"
    return {"capacityProvider": provider_description(provider, [])}


def _existing(context: Context, name: str) -> Provider:
    provider = context.state.providers.get(name)
    if provider is None:
        raise invalid("The specified capacity provider does not exist.")
    return provider


@operation("PutClusterCapacityProviders")
def put_capacity_providers(context: Context, request: Json) -> Json:
    state = context.state
    cluster = state.cluster(request["cluster"])
    names = [n.rsplit("/", 1)[-1] for n in request["capacityProviders"]]
    for name in names:
        if name not in state.providers and name not in FARGATE:
            raise invalid(f"The specified capacity provider {name} does not exist.")
    # Managed Instances providers belong to the cluster and remain attached.
    permanent = [
        n
        for n in cluster.capacity_providers
        if n in state.providers and state.providers[n].cluster is not None
    ]
    removed = set(cluster.capacity_providers) - set(names) - set(permanent)
    if any(
        t.capacity_provider in removed and t.cluster == cluster.name and t.holds_resources
        for t in state.tasks.values()
    ):
        raise EcsError(
            "ResourceInUseException", "The capacity provider is in use by tasks of the cluster."
        )
    if request["defaultCapacityProviderStrategy"]:
        check_strategy(request["defaultCapacityProviderStrategy"], names)
    cluster.capacity_providers = list(dict.fromkeys([*names, *permanent]))
    cluster.default_strategy = request["defaultCapacityProviderStrategy"]
    context.scheduler.wake()
    return {"cluster": cluster_description(state, cluster, [])}
