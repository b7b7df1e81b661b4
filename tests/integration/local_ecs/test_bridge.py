"""Bridge networking: a container's own address can be reached from its own instance only."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ecs_dynamo.config import load_graph, load_settings
from ecs_dynamo.controller import open_reconciler
from ecs_dynamo.local.runtime import fence
from ecs_dynamo.model.errors import InputError
from ecs_dynamo.model.spec.capacity import PlacementSpec
from tests.helpers.ecs_client import EcsClient, container, ecs_client
from tests.helpers.graphs import redeclared
from tests.integration.stack import Stack, component_of, placed_on, until

pytestmark = [
    pytest.mark.integration,
    pytest.mark.timeout(90),
    pytest.mark.skipif(
        not fence.available(), reason="this kernel lets no process refuse another's connections"
    ),
]

PORT = 18080
TABLE = 'images: [{match: "busybox", env: {ADDRESS: "{ip}"}}]'
OWN, MAPPED = "own", "mapped"


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[EcsClient]:
    async with ecs_client(tmp_path, instances=2, images=TABLE) as client:
        yield client


async def run(
    client: EcsClient, mode: str, command: str, ec2_id: str | None, **members: Any
) -> str:
    """Run a task on that EC2 instance, or on Fargate; return its ARN."""
    fargate = {"requiresCompatibilities": ["FARGATE"], "cpu": "256", "memory": "512"}
    registered = await client.call(
        "register_task_definition",
        family="f",
        networkMode=mode,
        containerDefinitions=[container(command=command, **members)],
        **({} if ec2_id else fargate),
    )
    request: dict[str, Any] = (
        {"placementConstraints": placed_on(ec2_id)["constraints"]} if ec2_id else {}
    )
    if mode == "awsvpc":
        network = {"subnets": ["subnet-1"], "securityGroups": ["sg-1"]}
        request["networkConfiguration"] = {"awsvpcConfiguration": network}
    started = await client.call(
        "run_task",
        cluster="main",
        taskDefinition=registered["taskDefinition"]["taskDefinitionArn"],
        launchType="EC2" if ec2_id else "FARGATE",
        **request,
    )
    assert not started["failures"], started["failures"]
    return str(started["tasks"][0]["taskArn"])


async def describe(client: EcsClient, arn: str) -> dict[str, Any]:
    answer = await client.call("describe_tasks", cluster="main", tasks=[arn])
    task: dict[str, Any] = answer["tasks"][0]
    return task


async def test_a_bridge_container_can_be_reached_from_its_own_instance_only(
    client: EcsClient,
) -> None:
    first, second = (i.ec2_id for i in client.local.state.instances.values())
    server = f"exec python -m http.server {PORT} --bind $ADDRESS"
    arn = await run(client, "bridge", server, first, portMappings=[{"containerPort": PORT}])
    task = client.local.state.tasks[arn.rsplit("/", 1)[-1]]
    assert task.instance is not None

    async def listens() -> bool:
        try:  # The test itself does not run in a container, so its connections are not refused.
            _, writer = await asyncio.open_connection(task.address, PORT)
        except OSError:
            return False
        writer.close()
        return True

    await until("it listens", listens)
    (binding,) = (await describe(client, arn))["containers"][0]["networkBindings"]
    targets = {OWN: (task.address, PORT), MAPPED: (task.instance.address, binding["hostPort"])}
    cases = {
        ("host", first, OWN): True,
        ("bridge", first, OWN): True,
        ("awsvpc", first, OWN): False,
        ("host", second, OWN): False,
        ("bridge", second, OWN): False,
        ("awsvpc", None, OWN): False,
        ("host", second, MAPPED): True,
        ("awsvpc", None, MAPPED): True,
    }
    clients: dict[tuple[str, str | None, str], str] = {}
    for mode, instance, target in cases:
        command = f'exec python -c "import socket; socket.create_connection({targets[target]}, 5)"'
        clients[mode, instance, target] = await run(client, mode, command, instance)
    await client.wait("tasks_stopped", cluster="main", tasks=list(clients.values()))
    reached = {
        case: (await describe(client, arn))["containers"][0]["exitCode"] == 0
        for case, arn in clients.items()
    }
    assert reached == cases


async def test_a_graph_that_validate_rejects_does_not_work_on_two_instances(
    stack: Stack, tiny_model: Path
) -> None:
    """ECS reports all tasks as healthy, the workers are registered and the model is listed."""
    arn = await stack.local.add_instance("dynamo-GPU", gpus=2, cpu=8192, memory=64_000)
    frontends, *_, workers = (i.ec2_id for i in stack.local.state.instances.values())
    assert stack.local.state.instances[arn.rsplit("/", 1)[-1]].ec2_id == workers

    def place_frontend(frontend: str) -> None:
        def edit(document: dict[str, Any]) -> None:
            for name, instance in (
                ("frontend", frontend),
                ("decode", workers),
                ("prefill", workers),
            ):
                component_of(document, name)["placement"] = placed_on(instance)

        stack.edit(edit)

    for name in ("decode", "prefill"):
        stack.edit_task_definition(name, lambda d: d.update(networkMode="bridge"))
    place_frontend(frontends)
    with pytest.raises(InputError, match="networkMode host or awsvpc"):
        load_graph(stack.graph_file, stack.environ)
    place_frontend(workers)
    valid = stack.graph
    elsewhere = PlacementSpec.model_validate(placed_on(frontends))
    graph = replace(
        valid,
        components=tuple(
            redeclared(c, placement=elsewhere) if c.name == "frontend" else c
            for c in valid.components
        ),
    )
    async with open_reconciler(graph, load_settings(stack.environ)) as reconciler:
        stack.last = await reconciler.until_converged(60)
    assert stack.last.converged, stack.last.plan.waits
    assert stack.frontends()
    async with stack.traffic() as traffic:
        request, _ = await traffic.chat("Say hello.", stream=True)
    assert "HTTP 50" in (request.error or "")
