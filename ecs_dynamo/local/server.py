"""The local ECS as a server: one port for ECS, for moto's services, and for tests' own wishes."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import uuid
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import parse_qsl

from aiohttp import web

from ecs_dynamo.local.events.bus import EventBus
from ecs_dynamo.local.events.source import EventSource
from ecs_dynamo.local.instances.scaling_groups import Groups
from ecs_dynamo.local.moto.cloud_map import CloudMap
from ecs_dynamo.local.moto.ec2_errors import cut, refusal_of, refused
from ecs_dynamo.local.moto.network_interfaces import MotoInterfaces
from ecs_dynamo.local.moto.server import Moto
from ecs_dynamo.local.operations import OPERATIONS, Context
from ecs_dynamo.local.runtime import ImageTable
from ecs_dynamo.local.scheduling.scheduler import Scheduler
from ecs_dynamo.local.state.entities import Cluster, Instance
from ecs_dynamo.local.state.store import State
from ecs_dynamo.local.tasks.lifecycle import Tasks
from ecs_dynamo.local.tasks.names import Names
from ecs_dynamo.local.wire.faults import Call, Faults, distorted
from ecs_dynamo.local.wire.protocol import TARGET_PREFIX, EcsError, Json, parse, serialise

_log = logging.getLogger(__name__)

DEFAULT_REGION = "us-east-1"
CLOSE_SECONDS = 40.0
IDLE_SECONDS = 75.0
"""How long a connection without a request is kept; aiohttp's own default is an hour."""
_SCOPE = re.compile(r"Credential=[^/]+/\d{8}/[^/]+/([^/]+)/")


class LocalEcs:
    """Runs while the context is entered. ``calls`` are all that came in."""

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
        self._moto = Moto(region)
        self.state = State(region)
        cloud_map = CloudMap(region)
        self._names = Names(self.state, cloud_map)
        self._tasks = Tasks(
            self.state,
            images,
            directory.absolute(),
            self._moto.secret,
            self._names,
            MotoInterfaces(region),
            self._changed,
        )
        self.groups = Groups(self.state, self._moto, self._changed, self._gone)
        self._scheduler = Scheduler(self.state, self._tasks, self._after_round)
        self._events = EventSource(self.state, EventBus(region), self._tasks.room)
        self._context = Context(self.state, self._tasks, self._scheduler, cloud_map)
        self._running: asyncio.Task[None] | None = None
        self._runner: web.AppRunner | None = None
        self.endpoint_url = ""
        self.on_call: Callable[[Call, Json], None] | None = None
        """Told of every call and its parameters, before it takes effect."""

    @property
    def calls(self) -> list[Call]:
        """Every call so far, oldest first."""
        return list(self._faults.calls)

    def clear_faults(self) -> None:
        """No fault is in force any more."""
        self._faults.pending.clear()

    def _changed(self) -> None:
        self._events.look()
        self._scheduler.wake()

    def _after_round(self) -> None:
        self.groups.scale()
        self._events.look()

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
                web.route("*", "/{path:.*}", self._any),
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
        """Make a cluster; harmless where it is there."""
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
        """Register an EC2 instance with ``cluster`` (made where there is none); its ARN."""
        state = self.state
        self.create_cluster(cluster)
        address = state.addresses.instance()
        ec2_id = await self._moto.run_instance(address, instance_type)
        identity = state.new_id()
        instance = Instance(
            arn=state.arn(f"container-instance/{cluster}/{identity}"),
            cluster=cluster,
            ec2_id=ec2_id,
            address=address,
            instance_type=instance_type,
            zone=availability_zone or f"{state.region}a",
            cpu=cpu,
            memory=memory,
            gpus=gpus,
            registered_at=state.now(),
        )
        state.instances[identity] = instance
        self._scheduler.wake()
        return instance.arn

    async def remove_instance(self, arn: str) -> None:
        """The instance is gone at once, as a terminated one is: its tasks are killed."""
        instance = self.state.instances[arn.rsplit("/", 1)[-1]]
        await self._gone(arn)
        await self._moto.terminate_instance(instance.ec2_id)

    def lose_host(self, arn: str, ec2_id: str | None = None) -> None:
        """EC2 forgets the instance, and its agent is disconnected: ECS still lists it.

        With ``ec2_id`` given it has been another's all along, such as Systems Manager's ``mi-...``.
        """
        instance = self.state.instances[arn.rsplit("/", 1)[-1]]
        self._moto.forget_instance(instance.ec2_id)
        instance.ec2_id = ec2_id or instance.ec2_id
        instance.agent_connected = ec2_id is not None

    def warn_of_interruption(self, arn: str) -> None:
        """EC2 tells that it will take the instance back; `remove_instance` is what follows."""
        self._events.interruption(self.state.instances[arn.rsplit("/", 1)[-1]])

    async def _gone(self, arn: str) -> None:
        instance = self.state.instances.pop(arn.rsplit("/", 1)[-1])
        for task in self.state.tasks_on_instance(instance):
            if task.process is not None:
                await task.process.kill(9)
            self._tasks.stop(task, "TerminationNotice", "Host EC2 (instance) terminated.")
        self._scheduler.wake()

    async def _health(self, _: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

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
        wanted = await request.json()
        task = self.state.tasks.get(str(wanted.get("task", "")).rsplit("/", 1)[-1])
        if task is None or task.process is None:
            return web.Response(status=404, text="no such task")
        await task.process.kill(int(wanted.get("signal", 9)), wanted.get("container"))
        return web.json_response({"task": task.arn})

    def _record(self, service: str, operation: str, agent: str, body: bytes) -> None:
        call = self._faults.record(service, operation, agent)
        if self.on_call is not None:
            self.on_call(call, _parameters(body))

    async def _any(self, request: web.Request) -> web.Response:
        target = request.headers.get("X-Amz-Target", "")
        body = await request.read()
        agent = request.headers.get("User-Agent", "")
        if not target.startswith(TARGET_PREFIX):
            scope = _SCOPE.search(request.headers.get("Authorization", ""))
            form = re.search(rb"(?:^|&)Action=(\w+)", body)
            operation = form[1].decode() if form else target.rpartition(".")[2]
            service = scope[1] if scope else "unknown"
            self._record(service, operation, agent, body)
            if service == "iam":
                self._moto.offer_managed_policies(operation, body)
            fault = self._faults.take(operation, service)
            refusal = await refusal_of(fault)
            if refusal is None and service == "ec2":
                refusal = refused(operation, body)
            if refusal is not None:
                return refusal
            answer = cut(fault, await self._moto.forward(request, body))
            # What may have added or ended instances: the groups', and those of a terminated one.
            if (service, operation[:8]) != ("autoscaling", "Describe") and (
                service == "autoscaling" or operation == "TerminateInstances"
            ):
                self.groups.look()
            return answer
        operation = target.removeprefix(TARGET_PREFIX)
        self._record("ecs", operation, agent, body)
        try:
            fault = await self._faults.before(operation)
            text = distorted(fault, operation, body, self.handle(operation, body))
            await self._faults.after(fault)
        except EcsError as error:
            return _answer(error.body(), error.status)
        except ConnectionAbortedError:
            if request.transport is not None:
                request.transport.abort()
            return web.Response(status=500)
        except Exception:
            _log.exception("%s has failed", operation)
            failed = EcsError("ServerException", f"{operation} has failed.", 500)
            return _answer(failed.body(), failed.status)
        return _answer(text, 200)

    def handle(self, operation: str, body: bytes) -> str:
        """One ECS call, atomically. Raises EcsError."""
        parameters: Json = parse(operation, body)
        handler = OPERATIONS.get(operation)
        if handler is None:
            raise EcsError(
                "UnsupportedFeatureException", f"the local ECS does not serve {operation}"
            )
        answer = serialise(operation, handler(self._context, parameters))
        self._events.look()
        return answer


def _parameters(body: bytes) -> Json:
    """A request's parameters, as far as its body is JSON or a form."""
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
    """Serve until cancelled, with the clusters of Dynamo's public ECS example."""
    await asyncio.to_thread(directory.mkdir, parents=True, exist_ok=True)
    table = ImageTable.load(images)
    async with LocalEcs(table, directory, host, port) as local:
        for cluster in ("dynamo-fargate", "dynamo-GPU"):
            local.create_cluster(cluster)
        for _ in range(gpu_instances):
            await local.add_instance("dynamo-GPU", gpus=gpus_per_instance)
        ready(local)
        await asyncio.Event().wait()
