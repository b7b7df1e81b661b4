"""One daemon with several graphs: a graph that cannot converge does not stop the others."""

from __future__ import annotations

import shutil

import pytest
import yaml

from ecs_dynamo.demo.daemon import DemoDaemon, component
from tests.integration.stack import Stack

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]


async def test_a_graph_that_cannot_converge_stops_no_other(stack: Stack) -> None:
    other = stack.folder.parent / "other"
    shutil.copytree(stack.folder, other)
    document = yaml.safe_load((other / "ecs-dynamo.yaml").read_text())
    document |= {
        "name": "other",
        "clusters": {"infrastructure": "later-fargate", "workers": "later-GPU"},
    }
    (other / "ecs-dynamo.yaml").write_text(yaml.safe_dump(document))
    await stack.converge()
    daemon = DemoDaemon(
        other / "ecs-dynamo.yaml", stack.environ, stack.folder / "daemon.log", stack.graph_file
    )
    await daemon.start()
    try:
        status = await daemon.until(
            "the missing cluster is reported",
            lambda s: any(
                "later-fargate does not exist" in w["reason"] for w in s.get("waits", ())
            ),
            30,
        )
        assert not status["converged"]
        (task,) = stack.tasks("decode")
        cluster = stack.graph.component("decode").cluster
        await stack.aws("StopTask", cluster=cluster, task=task.arn, reason="test")

        def replaced(_: object) -> bool:
            (local,) = daemon.others
            arns = [t["arn"] for t in component(local, "decode").get("tasks", ()) if t["ready"]]
            return bool(local["converged"]) and bool(arns) and task.arn not in arns

        await daemon.until("the other graph continues", replaced, 45)
        # After the cluster is created, no restart is needed.
        await stack.aws("CreateCluster", clusterName="later-fargate")
        await daemon.until(
            "the first graph continues", lambda s: component(s, "etcd-nats")["exists"], 45
        )
    finally:
        code, seconds = await daemon.stop()
    assert code == 0
    assert seconds < 25
