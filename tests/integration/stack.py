"""The stack of an integration test: edit the graph, reconcile, query the model, inject faults."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml
from aiobotocore.session import AioSession
from botocore import xform_name

from ecs_dynamo.config import load_graph, load_settings
from ecs_dynamo.controller import Pass, Reconciler, open_reconciler
from ecs_dynamo.demo.traffic import Request, Traffic
from ecs_dynamo.iam.render import render_iam
from ecs_dynamo.local import LocalEcs
from ecs_dynamo.local.wire.protocol import ACCOUNT
from ecs_dynamo.model.errors import EcsDynamoError
from ecs_dynamo.model.graph import TAG_COMPONENT, Graph, Role
from ecs_dynamo.planning.observed.endpoints import ready_urls
from ecs_dynamo.planning.observed.lookup import known_tasks
from tests.rights.record import Documents, Session

EXAMPLE = Path(__file__).parents[2] / "examples" / "local"
REGION = "us-east-1"
LEASE_SECONDS = 5


async def until(
    description: str, condition: Callable[[], Awaitable[bool]], timeout: float = 60.0
) -> None:
    """Wait for a condition, and fail the test if it does not hold within ``timeout`` seconds."""
    deadline = time.monotonic() + timeout
    while not await condition():
        assert time.monotonic() < deadline, f"{description}: not within {timeout:.0f} s"
        await asyncio.sleep(0.1)


def placed_on(ec2_id: str) -> dict[str, Any]:
    """Return a component's `placement` on that EC2 instance only."""
    return {"constraints": [{"type": "memberOf", "expression": f"ec2InstanceId == {ec2_id}"}]}


def component_of(document: dict[str, Any], name: str) -> dict[str, Any]:
    """Return a component of a graph file."""
    component: dict[str, Any] = next(c for c in document["components"] if c["name"] == name)
    return component


@dataclass
class Stack:
    """One test's stack and its graph files in ``folder``.

    ``lease_table`` and ``event_queue`` are passed to `iam render`.
    """

    url: str
    folder: Path
    local_ecs: LocalEcs | None
    environ: dict[str, str]
    lease_table: str | None = None
    event_queue: str | None = None
    last: Pass | None = None
    passes: list[Pass] = field(default_factory=list)

    @classmethod
    def on(cls, url: str, tmp_path: Path, local: LocalEcs | None = None) -> Stack:
        folder = tmp_path / "graph"
        shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("model"))
        # Tests often wait for one lease: it marks a revision good and completes a replacement.
        file = folder / "ecs-dynamo.yaml"
        document = yaml.safe_load(file.read_text())
        document["runtime"]["leaseSeconds"] = LEASE_SECONDS
        file.write_text(yaml.safe_dump(document))
        environ = {
            "PATH": os.environ["PATH"],
            "ECS_DYNAMO_ENDPOINT_URL": url,
            "ECS_DYNAMO_REGION": REGION,
            "ECS_DYNAMO_SIGNAL_SECONDS": "1",
        }
        return cls(url, folder, local, environ)

    @property
    def local(self) -> LocalEcs:
        """The controls of the local ECS; a test that needs them is skipped on LocalStack."""
        if self.local_ecs is None:
            pytest.skip("needs the controls of the local ECS")
        return self.local_ecs

    @property
    def graph_file(self) -> Path:
        return self.folder / "ecs-dynamo.yaml"

    @property
    def graph(self) -> Graph:
        return load_graph(self.graph_file, self.environ).graph

    def edit(self, change: Callable[[dict[str, Any]], None]) -> None:
        """Change the graph file."""
        document = yaml.safe_load(self.graph_file.read_text())
        change(document)
        self.graph_file.write_text(yaml.safe_dump(document))

    def edit_task_definition(self, name: str, change: Callable[[dict[str, Any]], None]) -> None:
        """Change one of the task definition files."""
        path = self.folder / "taskdefs" / f"{name}.json"
        document = json.loads(path.read_text())
        change(document)
        path.write_text(json.dumps(document))

    @asynccontextmanager
    async def reconciler(self) -> AsyncIterator[Reconciler]:
        async with open_reconciler(self.graph, load_settings(self.environ)) as reconciler:
            yield reconciler

    async def converge(self, timeout: float = 60.0) -> Pass:
        """Reconcile as the CLI does; fail the test if the graph does not converge."""
        self.passes.clear()
        async with self.reconciler() as reconciler:
            self.last = await reconciler.until_converged(timeout, self.passes.append)
        waits = [f"{w.component}: {w.reason}" for w in self.last.plan.waits]
        failed = [r.error for r in self.last.failed]
        assert self.last.converged, f"not converged: {waits} {failed} {self.last.unknown}"
        return self.last

    async def observe(self) -> Pass:
        """Run a pass that changes nothing."""
        async with self.reconciler() as reconciler:
            self.last = await reconciler.run_pass(act=False)
        return self.last

    def client(self, service: str) -> Any:
        """Return a client of the test's own, as an async context manager."""
        return AioSession().create_client(
            service,
            endpoint_url=self.url,
            region_name=REGION,
            aws_access_key_id="x",
            aws_secret_access_key="x",
        )

    async def aws(self, operation: str, /, **parameters: Any) -> dict[str, Any]:
        """Make an ECS call with the test's own client."""
        async with self.client("ecs") as client:
            answer: dict[str, Any] = await getattr(client, xform_name(operation))(**parameters)
            return answer

    def frontends(self) -> tuple[str, ...]:
        """Return the ready frontends of the last pass."""
        if self.last is None or self.last.plan.effective is None:
            return ()
        return ready_urls(self.last.plan.effective, self.last.snapshot, Role.FRONTEND)

    @asynccontextmanager
    async def traffic(self) -> AsyncIterator[Traffic]:
        async with Traffic(self.frontends, "tiny") as traffic:
            yield traffic

    async def chat(self, *, stream: bool = False) -> Request:
        """Request one completion, which must succeed."""
        async with self.traffic() as traffic:
            request, _ = await traffic.chat("Say hello.", stream=stream)
        assert request.error is None, request.error
        return request

    def tasks(self, component: str) -> tuple[Any, ...]:
        """Return the component's tasks of the last pass."""
        assert self.last is not None
        return known_tasks(self.last.snapshot.components[component])

    def services(self, component: str) -> list[Any]:
        """Return a component's services of all generations in the local ECS, the oldest first."""
        tag = {"key": TAG_COMPONENT, "value": component}
        return [s for s in self.local.state.services.values() if tag in s.tags]

    def service(self, component: str) -> Any:
        """Return the component's only service that has replicas."""
        (service,) = (s for s in self.services(component) if s.status == "ACTIVE" and s.desired > 0)
        return service

    def component_of(self, service: Any) -> str:
        """Return the component to which a service in the local ECS belongs."""
        return next(str(t["value"]) for t in service.tags if t["key"] == TAG_COMPONENT)

    def running(self) -> Counter[str]:
        """Return the number of running tasks by component, of all generations."""
        return Counter(
            self.component_of(self.local.state.services[t.cluster, t.service])
            for t in self.local.state.tasks.values()
            if t.alive and t.service is not None
        )

    async def stop_tasks(self, component: str) -> None:
        """Stop every task of a component, like the loss of its host."""
        cluster = self.graph.component(component).cluster
        for task in self.tasks(component):
            await self.aws("StopTask", cluster=cluster, task=task.arn, reason="test")

    def change_in_place(self, name: str, value: str) -> None:
        """Change a part of a worker that leaves its generation alone, so that it rolls in place."""

        def change(document: dict[str, Any]) -> None:
            document["containerDefinitions"][0]["dockerLabels"] = {"round": value}

        self.edit_task_definition(name, change)

    async def fault(
        self, operation: str, kind: str, count: int = 1, seconds: float = 1.0, **fields: Any
    ) -> None:
        """Inject a fault into the local ECS (`ecs_dynamo.local.wire.faults`)."""
        url = self.local.endpoint_url
        body = {"operation": operation, "kind": kind, "count": count, "seconds": seconds, **fields}
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"{url}/_local/faults", json=body) as answer,
        ):
            assert answer.status == 200, await answer.text()

    async def cli(self, *arguments: str, **environ: str) -> tuple[int, str, str]:
        """Run the command line as a user does; return exit code, output and errors."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "ecs_dynamo",
            *arguments,
            env={**self.environ, **environ},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await asyncio.wait_for(process.communicate(), 90)
        return process.returncode or 0, out.decode(), err.decode()


class RenderedRights:
    """The policies rendered for the current and the earlier versions of the test's graph files.

    After an edit they are rendered again, and either version may be in use.
    """

    def __init__(self, stack: Stack, session: Session) -> None:
        self._stack = stack
        self._session = session
        self._versions: dict[str, Documents] = {}
        self._stamp: tuple[object, ...] = ()

    def __call__(self) -> Iterable[Documents]:
        """Return the policies of each version, newest first."""
        stack = self._stack
        files = sorted(stack.folder.parent.glob("*/ecs-dynamo.yaml"))
        parts = [p for f in files for p in (f, *f.parent.glob("taskdefs/*"))]
        stamp = (stack.lease_table, stack.event_queue, *((p, p.stat().st_mtime_ns) for p in parts))
        if stamp != self._stamp:
            self._stamp = stamp
            for file in files:
                self._render(file)
        return reversed(self._versions.values())

    def _render(self, file: Path) -> None:
        stack = self._stack
        try:
            graph = load_graph(file, stack.environ).graph
        except EcsDynamoError:
            return  # The daemon keeps the last good version too.
        documents = render_iam(graph, REGION, ACCOUNT, stack.lease_table, stack.event_queue)
        self._versions.setdefault(json.dumps(documents, sort_keys=True), documents)
        self._session.grant(documents)


def running_tasks(stack: Stack, component: str) -> list[Any]:
    """Return a component's running tasks of all generations in the local ECS."""
    names = {s.name for s in stack.services(component)}
    return [t for t in stack.local.state.tasks.values() if t.alive and t.service in names]


def worker_apart_from_the_frontend(stack: Stack) -> tuple[str, Any]:
    """Return a worker on an instance without a frontend; the test's client uses one frontend."""
    (frontend,) = running_tasks(stack, "frontend")
    for name in ("decode", "prefill"):
        (task,) = running_tasks(stack, name)
        if task.instance is not frontend.instance:
            return name, task
    raise AssertionError("every worker shares the frontend's instance")
