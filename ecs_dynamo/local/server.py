"""The local ECS as a server: one port for ECS, for the services of moto, and for test controls."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import uuid
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import parse_qsl

from aiohttp import web

from ecs_dynamo.local.events.bus import EventBus
from ecs_dynamo.local.events.source import EventSource
from ecs_dynamo.local.instances.scaling_groups import ScalingGroups
from ecs_dynamo.local.moto.cloud_map import CloudMap
from ecs_dynamo.local.moto.ec2_errors import apply_fault, truncate_answer, validation_error
from ecs_dynamo.local.moto.network_interfaces import NetworkInterfaces
from ecs_dynamo.local.moto.server import MotoServer
from ecs_dynamo.local.operations import OPERATIONS, Context
from ecs_dynamo.local.runtime import ImageTable
from ecs_dynamo.local.scheduling.scheduler import Scheduler
from ecs_dynamo.local.state.descriptions import container_metadata, task_metadata
from ecs_dynamo.local.state.entities import Cluster, Instance
from ecs_dynamo.local.state.store import State
from ecs_dynamo.local.tasks.lifecycle import TaskManager
from ecs_dynamo.local.tasks.name_resolution import NameResolver
from ecs_dynamo.local.tasks.placing import remaining_resources
from ecs_dynamo.local.wire.faults import Call, Faults, distort_answer
from ecs_dynamo.local.wire.protocol import TARGET_PREFIX, EcsError, Json, parse, serialise

_log = logging.getLogger(__name__)

DEFAULT_REGION = "us-east-1"
CLOSE_SECONDS = 40.0
"""How long tasks have to stop before they are killed, longer than the default stopTimeout."""
IDLE_SECONDS = 75.0
"""How long an idle connection is kept open; aiohttp's default is an hour."""
_CREDENTIAL_SCOPE = re.compile(r"Credential=[^/]+/\d{8}/[^/]+/([^/]+)/")


class LocalEcs:
    """A local ECS, which runs as long as its context is entered."""

    def __init__(
        self,
        images: ImageTable,
        directory: Path,
        host: str = "127.0.0.1",
        port: int = 0,
        region: str = DEFAULT_REGION,
    ) -> None:
        self._host, self._port = host, port
        self._faults = Faults()
        self._moto = MotoServer(region)
        self.state = State(region)
        cloud_map = CloudMap(region)
        self._names = NameResolver(self.state, cloud_map)
        self._tasks = TaskManager(
            self.state,
            images,
            directory.absolute(),
            self._moto.secret,
            self._names,
            NetworkInterfaces(region),
            self._on_change,
        )
        self.groups = ScalingGroups(
            self.state, self._moto, self._on_change, self._remove_container_instance
        )
        self._scheduler = Scheduler(self.state, self._tasks, self._after_round)
        self._events = EventSource(
            self.state, EventBus(region), partial(remaining_resources, self.state)
        )
        self._context = Context(self.state, self._tasks, self._scheduler, cloud_map)
        self._running: asyncio.Task[None] | None = None
        self._runner: web.AppRunner | None = None
        self.endpoint_url = ""
        self.on_call: Callable[[Call, Json], None] | None = None
        """Called with each call and its parameters, before the call takes effect."""

    @property
    def calls(self) -> list[Call]:
        """The most recent calls, oldest first."""
        return list(self._faults.calls)

    def clear_faults(self) -> None:
        """End all injected faults."""
        self._faults.pending.clear()

    def _on_change(self) -> None:
        self._events.publish_changes()
        self._scheduler.wake()

    def _after_round(self) -> None:
        self.groups.scale_out()
        self._events.publish_changes()

    async def __aenter__(self) -> Self:
        self.state.addresses.open()
        await self._moto.start()
        app = web.Application(client_max_size=8 * 1024 * 1024)
        app.add_routes(
            [
                web.get("/_local/health", self._health),
                web.get("/_local/calls", self._list_calls),
                web.post("/_local/faults", self._add_fault),
                web.post("/_local/kill", self._kill),
                web.get("/v4/{container}{task:(/task)?}", self._metadata),
                web.route("*", "/{path:.*}", self._api_call),
            ]
        )
        self._runner = web.AppRunner(
            app, access_log=None, shutdown_timeout=0.5, keepalive_timeout=IDLE_SECONDS
        )
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._host, self._port)
        try:
            await site.start()
        except OSError:
            await self._runner.cleanup()
            await self._moto.stop()
            self.state.addresses.close()
            raise
        address = self._runner.addresses[0]
        self.endpoint_url = f"http://{address[0]}:{address[1]}"
        self.state.metadata_url = f"{self.endpoint_url}/v4"
        self._running = asyncio.create_task(self._scheduler.run())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        if self._running is not None:
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)
        await self.groups.close()
        await self._tasks.close(CLOSE_SECONDS)
        await self._names.close()
        if self._runner is not None:
            await self._runner.cleanup()
        await self._moto.stop()
        self.state.addresses.close()

    def create_cluster(self, name: str) -> None:
        """Create a cluster. Does nothing if it exists."""
        self.state.clusters.setdefault(name, Cluster(name, self.state.arn(f"cluster/{name}")))

    async def add_instance(
        self,
        cluster: str,
        instance_type: str = "g5.xlarge",
        gpus: int = 1,
        cpu: int = 4096,
        memory: int = 15_000,
        availability_zone: str | None = None,
    ) -> str:
        """Launch an EC2 instance and register it with ``cluster``, which is created if necessary.

        ``cpu`` is in CPU units, ``memory`` in MiB. Returns the ARN of the container instance.
        """
        state = self.state
        self.create_cluster(cluster)
        address = state.addresses.instance()
        ec2_id = await self._moto.run_instance(address, instance_type)
        instance = state.register_instance(
            cluster,
            ec2_id=ec2_id,
            address=address,
            instance_type=instance_type,
            zone=availability_zone or f"{state.region}a",
            cpu=cpu,
            memory=memory,
            gpus=gpus,
        )
        self._scheduler.wake()
        return instance.arn

    async def remove_instance(self, arn: str) -> None:
        """Terminate an instance. It is deregistered at once, and its tasks are killed."""
        instance = self._instance(arn)
        await self._remove_container_instance(arn)
        await self._moto.terminate_instance(instance.ec2_id)

    def lose_host(self, arn: str, ec2_id: str | None = None) -> None:
        """Remove an instance from EC2 and disconnect its agent, while ECS still lists it.

        If ``ec2_id`` is set, the instance gets that id instead, and its agent remains connected.
        This simulates an instance that EC2 does not know, such as ``mi-...`` of Systems Manager.
        """
        instance = self._instance(arn)
        self._moto.forget_instance(instance.ec2_id)
        instance.ec2_id = ec2_id or instance.ec2_id
        instance.agent_connected = ec2_id is not None

    def warn_of_interruption(self, arn: str) -> None:
        """Publish EC2's interruption warning, which `remove_instance` should follow."""
        self._events.publish_interruption_warning(self._instance(arn))

    def _instance(self, arn: str) -> Instance:
        return self.state.instances[arn.rsplit("/", 1)[-1]]

    async def _remove_container_instance(self, arn: str) -> None:
        instance = self.state.instances.pop(arn.rsplit("/", 1)[-1])
        for task in self.state.tasks_on_instance(instance):
            if task.process is not None:
                await task.process.kill(9)
            self._tasks.stop(task, "TerminationNotice", "Host EC2 (instance) terminated.")
        self._scheduler.wake()

    async def _health(self, _: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def _metadata(self, request: web.Request) -> web.Response:
        """Answer a container's request for its own metadata, or for that of its task."""
        for task in self.state.tasks.values():
            for container in task.containers:
                if container.id == request.match_info["container"]:
                    whole = bool(request.match_info["task"])
                    return web.json_response(
                        task_metadata(task) if whole else container_metadata(container)
                    )
        return web.Response(status=404, text="there is no such container")

    async def _list_calls(self, _: web.Request) -> web.Response:
        return web.json_response(
            [{"service": c.service, "operation": c.operation, "at": c.at} for c in self.calls]
        )

    async def _add_fault(self, request: web.Request) -> web.Response:
        try:
            fault = self._faults.add(await request.json())
        except EcsError as error:
            return web.Response(status=400, text=str(error))
        return web.json_response({"operation": fault.operation, "kind": fault.kind})

    async def _kill(self, request: web.Request) -> web.Response:
        parameters = await request.json()
        task = self.state.tasks.get(str(parameters.get("task", "")).rsplit("/", 1)[-1])
        if task is None or task.process is None:
            return web.Response(status=404, text="the task does not exist or does not run")
        await task.process.kill(int(parameters.get("signal", 9)), parameters.get("container"))
        return web.json_response({"task": task.arn})

    def _record(self, service: str, operation: str, request: web.Request, body: bytes) -> None:
        call = self._faults.record(service, operation, request.headers.get("User-Agent", ""))
        if self.on_call is not None:
            self.on_call(call, _parameters(body))

    async def _api_call(self, request: web.Request) -> web.Response:
        target = request.headers.get("X-Amz-Target", "")
        body = await request.read()
        if target.startswith(TARGET_PREFIX):
            return await self._ecs_call(request, target.removeprefix(TARGET_PREFIX), body)
        return await self._moto_call(request, body)

    async def _moto_call(self, request: web.Request, body: bytes) -> web.Response:
        scope = _CREDENTIAL_SCOPE.search(request.headers.get("Authorization", ""))
        action = re.search(rb"(?:^|&)Action=(\w+)", body)
        target = request.headers.get("X-Amz-Target", "")
        operation = action[1].decode() if action else target.rpartition(".")[2]
        service = scope[1] if scope else "unknown"
        self._record(service, operation, request, body)
        if service == "iam":
            self._moto.load_managed_policies(operation, body)
        fault = self._faults.take(operation, service)
        error = await apply_fault(fault)
        if error is None and service == "ec2":
            error = validation_error(operation, body)
        if error is not None:
            return error
        answer = truncate_answer(fault, await self._moto.forward(request, body))
        if operation == "TerminateInstances" or (
            service == "autoscaling" and not operation.startswith("Describe")
        ):
            self.groups.request_sync()
        return answer

    async def _ecs_call(self, request: web.Request, operation: str, body: bytes) -> web.Response:
        self._record("ecs", operation, request, body)
        try:
            fault = await self._faults.before(operation)
            text = distort_answer(fault, operation, body, self.handle(operation, body))
            await self._faults.after(fault)
        except EcsError as error:
            return _answer(error.body(), error.status)
        except ConnectionAbortedError:
            if request.transport is not None:
                request.transport.abort()
            return web.Response(status=500)
        except Exception:
            _log.exception("%s failed", operation)
            failure = EcsError("ServerException", f"{operation} has failed.", 500)
            return _answer(failure.body(), failure.status)
        return _answer(text, 200)

    def handle(self, operation: str, body: bytes) -> str:
        """Handle an ECS call, and return its answer as JSON. Raises EcsError."""
        parameters: Json = parse(operation, body)
        function = OPERATIONS.get(operation)
        if function is None:
            raise EcsError(
                "UnsupportedFeatureException", f"the local ECS does not support {operation}"
            )
        answer = serialise(operation, function(self._context, parameters))
        self._events.publish_changes()
        return answer


def _parameters(body: bytes) -> Json:
    """Return the parameters of a request whose body is JSON or a form; empty if it is neither."""
    text = body.decode(errors="replace")
    if not text.startswith("{"):
        return dict(parse_qsl(text))
    try:
        return dict(json.loads(text))
    except ValueError:
        return {}


def _answer(text: str, status: int) -> web.Response:
    return web.Response(
        status=status,
        body=text.encode(),
        headers={
            "Content-Type": "application/x-amz-json-1.1",
            "x-amzn-RequestId": str(uuid.uuid4()),
        },
    )


async def serve(
    images: Path,
    directory: Path,
    host: str,
    port: int,
    gpu_instances: int,
    gpus_per_instance: int,
    ready: Callable[[LocalEcs], None] = lambda _: None,
) -> None:
    """Run a local ECS with the clusters of Dynamo's public ECS example until cancelled.

    ``images`` is the path of the image table. ``ready`` is called once the local ECS runs.
    """
    await asyncio.to_thread(directory.mkdir, parents=True, exist_ok=True)
    table = ImageTable.load(images)
    async with LocalEcs(table, directory, host, port) as local:
        for cluster in ("dynamo-fargate", "dynamo-GPU"):
            local.create_cluster(cluster)
        for _ in range(gpu_instances):
            await local.add_instance("dynamo-GPU", gpus=gpus_per_instance)
        ready(local)
        await asyncio.Event().wait()
