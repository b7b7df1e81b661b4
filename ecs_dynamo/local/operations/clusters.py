"""Operations on clusters, and on account settings."""

from __future__ import annotations

from ecs_dynamo.local.operations.registry import Context, operation
from ecs_dynamo.local.state.descriptions import cluster_description
from ecs_dynamo.local.state.entities import Cluster
from ecs_dynamo.local.state.store import tags_of
from ecs_dynamo.local.wire.protocol import ROOT_ARN, EcsError, Json, describe_each, invalid, page


@operation("CreateCluster")
def create_cluster(context: Context, request: Json) -> Json:
    name = request.get("clusterName", "default")
    cluster = context.state.clusters.get(name)
    if cluster is None or cluster.status != "ACTIVE":
        cluster = Cluster(name, context.state.arn(f"cluster/{name}"), tags=tags_of(request))
        cluster.settings = request.get("settings", [])
        cluster.capacity_providers = request.get("capacityProviders", [])
        cluster.default_strategy = request.get("defaultCapacityProviderStrategy", [])
        context.state.clusters[name] = cluster
    return {"cluster": cluster_description(context.state, cluster, ["TAGS"])}


@operation("DescribeClusters")
def describe_clusters(context: Context, request: Json) -> Json:
    names = request.get("clusters") or ["default"]
    if len(names) > 100:
        raise invalid("clusters can have at most 100 items.")
    clusters, failures = describe_each(
        names,
        lambda name: context.state.clusters.get(name.rsplit("/", 1)[-1]),
        lambda cluster: cluster_description(context.state, cluster, request.get("include", [])),
        lambda name: name if name.startswith("arn:") else context.state.arn(f"cluster/{name}"),
    )
    return {"clusters": clusters, "failures": failures}


@operation("ListClusters")
def list_clusters(context: Context, request: Json) -> Json:
    arns = sorted(c.arn for c in context.state.clusters.values() if c.status == "ACTIVE")
    items, token = page(arns, request)
    return {"clusterArns": items, "nextToken": token}


@operation("DeleteCluster")
def delete_cluster(context: Context, request: Json) -> Json:
    state = context.state
    cluster = state.cluster(request["cluster"])
    if any(s.cluster == cluster.name and s.status != "INACTIVE" for s in state.services.values()):
        raise EcsError(
            "ClusterContainsServicesException",
            "The Cluster cannot be deleted while Services are active.",
        )
    if any(t.cluster == cluster.name and t.holds_resources for t in state.tasks.values()):
        raise EcsError(
            "ClusterContainsTasksException", "The Cluster cannot be deleted while Tasks are active."
        )
    if any(i.cluster == cluster.name for i in state.instances.values()):
        raise EcsError(
            "ClusterContainsContainerInstancesException",
            "The Cluster cannot be deleted while Container Instances are active or draining.",
        )
    cluster.status = "INACTIVE"
    return {"cluster": cluster_description(state, cluster, [])}


@operation("ListAccountSettings")
def list_account_settings(_: Context, request: Json) -> Json:
    names = ("serviceLongArnFormat", "taskLongArnFormat", "awsvpcTrunking", "containerInsights")
    enabled = {"serviceLongArnFormat", "taskLongArnFormat"}
    return {
        "settings": [
            {
                "name": name,
                "value": "enabled" if name in enabled else "disabled",
                "principalArn": ROOT_ARN,
            }
            for name in names
            if request.get("name") in (None, name)
        ]
    }
