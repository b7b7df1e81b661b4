"""Permissions to run the graph's tasks, for ECS (execution role) and for the agent on the instances
(instance role). Pure.

They follow the ECS developer guide, "task execution IAM role" and "container instance IAM role". If
a task on EC2 has no execution role, the instance role must allow pulling its images and logging.
"""

from __future__ import annotations

from collections.abc import Iterable

from ecs_dynamo.common.arns import resource_name
from ecs_dynamo.iam.secrets import read_statements
from ecs_dynamo.iam.statements import (
    Arns,
    Json,
    Scope,
    document,
    statement,
)
from ecs_dynamo.model.dynamo.credentials import task_references
from ecs_dynamo.model.ecs.task_definition import (
    containers_of,
    ecr_images_of,
    graph_roles,
    log_groups_of,
)
from ecs_dynamo.model.graph import Component
from ecs_dynamo.model.spec.security import SecuritySpec


def role_arns(scope: Scope) -> list[str]:
    """Return the ARNs of the roles of the graphs' tasks."""
    return sorted({scope.arns.role(name) for graph in scope.graphs for name in graph_roles(graph)})


def _pulling(components: Iterable[Component], arns: Arns) -> list[Json]:
    repositories = {arns.repository(image) for image in ecr_images_of(components)}
    if not repositories:
        return []
    return [
        statement("PullToken", ["ecr:GetAuthorizationToken"], ["*"]),
        statement(
            "PullImages",
            ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"],
            repositories,
        ),
    ]


def _logging(components: Iterable[Component], arns: Arns) -> list[Json]:
    groups: set[str] = set()
    created: set[str] = set()
    for group in log_groups_of(components):
        region = arns.region if group.region is None else group.region
        arn = f"arn:{arns.partition}:logs:{region}:{arns.account}:log-group:{group.name}"
        groups.add(arn)
        if group.created:
            created.add(arn)
    statements = []
    if created:
        named = [f"{group}{part}" for group in created for part in ("", ":*")]
        statements.append(statement("CreateLogGroups", ["logs:CreateLogGroup"], named))
    if groups:
        streams = [f"{group}:log-stream:*" for group in groups]
        statements.append(
            statement("WriteLogs", ["logs:CreateLogStream", "logs:PutLogEvents"], streams)
        )
    return statements


def task_references_of(scope: Scope) -> set[str]:
    """Return the references that ECS resolves for the tasks of all graphs."""
    return {r for g in scope.graphs for r in task_references(g.components, g.security)}


def _reading_files(components: Iterable[Component]) -> list[Json]:
    """`environmentFiles` are objects in S3."""
    objects = {
        str(file["value"])
        for component in components
        for container in containers_of(component)
        for file in container.get("environmentFiles", ())
    }
    if not objects:
        return []
    return [
        statement("ReadEnvironmentFiles", ["s3:GetObject"], objects),
        statement("FindBuckets", ["s3:GetBucketLocation"], {o.split("/", 1)[0] for o in objects}),
    ]


def execution_policy(users: Iterable[tuple[Component, SecuritySpec]], arns: Arns) -> Json:
    """Return the policy to start the tasks: exactly their images, log groups, secrets and files.

    ``users`` are components with the security settings of their graph.
    """
    users = list(users)
    components = [component for component, _ in users]
    references = {
        reference
        for component, security in users
        for reference in task_references([component], security)
    }
    return document(
        [
            *_pulling(components, arns),
            *_logging(components, arns),
            *read_statements(references, arns),
            *_reading_files(components),
        ]
    )


def execution_policies(scope: Scope) -> dict[str, Json]:
    """Return the execution roles' documents by file name: one each if the graphs have several."""
    by_role: dict[str, list[tuple[Component, SecuritySpec]]] = {}
    for graph in scope.graphs:
        for component in graph.components:
            role = component.template.get("executionRoleArn")
            if role:
                by_role.setdefault(scope.arns.role(str(role)), []).append(
                    (component, graph.security)
                )
    if len(by_role) < 2:
        users = [user for role_users in by_role.values() for user in role_users]
        return {"execution-role.json": execution_policy(users, scope.arns)}
    return {
        f"execution-role-{resource_name(role)}.json": execution_policy(users, scope.arns)
        for role, users in sorted(by_role.items())
    }


def instance_policy(scope: Scope) -> Json:
    """Return the policy of the ECS agent on GPU instances, bound to the graphs' EC2 clusters."""
    arns = scope.arns
    on_instances = [c for c in scope.components if c.launch_type == "EC2"]
    clusters = sorted({c.cluster for c in on_instances})
    without_role = [c for c in on_instances if not c.template.get("executionRoleArn")]
    # Service Connect's proxies poll for a task set (ECS developer guide, "considerations").
    connected = sorted({c.cluster for c in on_instances if c.settings.service_connect is not None})
    if not clusters:
        return document([])
    return document(
        [
            statement(
                "Register",
                [
                    "ecs:DeregisterContainerInstance",
                    "ecs:RegisterContainerInstance",
                    "ecs:SubmitAttachmentStateChanges",
                    "ecs:SubmitContainerStateChange",
                    "ecs:SubmitTaskStateChange",
                ],
                [arns.cluster(name) for name in clusters],
            ),
            statement("FindEndpoint", ["ecs:DiscoverPollEndpoint"], ["*"]),
            statement(
                "Report",
                [
                    "ecs:Poll",
                    "ecs:StartTelemetrySession",
                    "ecs:UpdateContainerInstancesState",
                ],
                [
                    *(arns.within("container-instance", name) for name in clusters),
                    *(arns.within("task-set", name) for name in connected),
                ],
            ),
            *_pulling(without_role, arns),
            *_logging(without_role, arns),
        ]
    )
