"""Clusters and account settings."""

from __future__ import annotations

from ecs_dynamo.local.operations.registry import Context, operation
from ecs_dynamo.local.state.descriptions import cluster_shape
from ecs_dynamo.local.state.entities import Cluster
from ecs_dynamo.local.state.store import tags_of
from ecs_dynamo.local.wire.protocol import EcsError, Json, failure, invalid, page


@operation("CreateCluster")
def create_cluster(context: Context, request: Json) -> Json:
    name = request.get("clusterName", "default")
    found = context.state.clusters.get(name)
    if found is None or found.status != "ACTIVE":
        found = Cluster(name, context.state.arn(f"cluster/{name}"), tags=tags_of(request))
        found.settings = request.get("settings", [])
        found.capacity_providers = request.get("capacityProviders", [])
        found.default_strategy = request.get("defaultCapacityProviderStrategy", [])
        context.state.clusters[name] = found
    return {"cluster": cluster_shape(context.state, found, ["TAGS"])}


@operation("DescribeClusters")
def describe_clusters(context: Context, request: Json) -> Json:
    names = request.get("clusters") or ["default"]
    if len(names) > 100:
        raise invalid("clusters can not be more than 100")
    found, missing = [], []
    for name in names:
        cluster = context.state.clusters.get(name.rsplit("/", 1)[-1])
        if cluster is None:
            full = name if name.startswith("arn:") else context.state.arn(f"cluster/{name}")
            missing.append(failure(full))
        else:
            found.append(cluster_shape(context.state, cluster, request.get("include", [])))
    return {"clusters": found, "failures": missing}


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
    return {"cluster": cluster_shape(state, cluster, [])}


@operation("ListAccountSettings")
def list_account_settings(_: Context, request: Json) -> Json:
    names = ("serviceLongArnFormat", "taskLongArnFormat", "awsvpcTrunking", "containerInsights")
    on = {"serviceLongArnFormat", "taskLongArnFormat"}
    return {
        "settings": [
            {
                "name": name,
                "value": "enabled" if name in on else "disabled",
                "principalArn": "arn:aws:iam::123456789012:root",
            }
            for name in names
            if request.get("name") in (None, name)
        ]
    }
