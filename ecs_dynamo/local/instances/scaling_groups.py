"""Auto Scaling groups: their instances join the cluster that their user data names, as on AWS.

The groups live in moto. After each call that may have changed one, the instances there are compared
with the container instances here: new ones boot and register, those that were terminated are gone.
Sizes are those of the instance type. An instance is told an address of the loopback network, so
that what runs there in host mode can be reached.
"""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from ecs_dynamo.local.moto.server import Moto
from ecs_dynamo.local.placement.provider_strategy import instances_needed
from ecs_dynamo.local.placement.resources import Room, need_of
from ecs_dynamo.local.state.entities import Instance, Provider
from ecs_dynamo.local.state.store import State

_log = logging.getLogger(__name__)

_CLUSTER = re.compile(r"ECS_CLUSTER=['\"]?([\w-]+)")
_ATTRIBUTES = re.compile(r"ECS_INSTANCE_ATTRIBUTES='?(\{[^}]*\})")
REGISTERED_SHARE = 0.95
"""Of an instance's memory; the kernel keeps some."""


@dataclass(frozen=True, slots=True)
class Member:
    """An instance of a group as moto has it."""

    ec2_id: str
    group: str
    instance_type: str
    zone: str
    user_data: str


@dataclass(frozen=True, slots=True)
class Size:
    """What instances of a type register."""

    cpu: int
    memory: int
    gpus: int


class Groups:
    """Keeps container instances in step with the groups. ``remove`` takes one away at once."""

    def __init__(
        self,
        state: State,
        moto: Moto,
        changed: Callable[[], None],
        remove: Callable[[str], Awaitable[None]],
    ) -> None:
        self._state = state
        self._moto = moto
        self._changed = changed
        self._remove = remove
        self._sizes: dict[str, Size] = {}
        self._lock = asyncio.Lock()
        self._jobs: set[asyncio.Task[None]] = set()
        self._asked: dict[str, int] = {}
        self.boot_seconds = 0.0
        """How long a new instance takes to register."""

    def look(self) -> None:
        """Something may have changed: compare soon."""
        job = asyncio.create_task(self._guarded())
        self._jobs.add(job)
        job.add_done_callback(self._jobs.discard)

    async def close(self) -> None:
        for job in list(self._jobs):
            job.cancel()
        await asyncio.gather(*self._jobs, return_exceptions=True)

    async def _guarded(self) -> None:
        try:
            async with self._lock:
                await self._sync()
        except Exception:
            _log.exception("Auto Scaling groups could not be read")

    async def _sync(self) -> None:
        known = {i.ec2_id for i in self._state.instances.values()}
        members = await asyncio.to_thread(self._members, known)
        alive = {m.ec2_id for m in members}
        for instance in list(self._state.instances.values()):
            if instance.scaling_group is not None and instance.ec2_id not in alive:
                await self._remove(instance.arn)
        fresh = [m for m in members if m.ec2_id not in known and _CLUSTER.search(m.user_data)]
        if fresh and self.boot_seconds:
            await asyncio.sleep(self.boot_seconds)
        for member in fresh:
            await self._register(member)
        if fresh:
            self._changed()

    async def _register(self, member: Member) -> None:
        state = self._state
        found = _CLUSTER.search(member.user_data)
        cluster = found[1] if found else ""
        if cluster not in state.clusters:
            return
        size = await self.size(member.instance_type)
        address = state.addresses.instance()
        await asyncio.to_thread(self._moto.readdress, member.ec2_id, address)
        identity = state.new_id()
        declared = _ATTRIBUTES.search(member.user_data)
        state.instances[identity] = Instance(
            arn=state.arn(f"container-instance/{cluster}/{identity}"),
            cluster=cluster,
            ec2_id=member.ec2_id,
            address=address,
            instance_type=member.instance_type,
            zone=member.zone,
            cpu=size.cpu,
            memory=size.memory,
            gpus=size.gpus,
            registered_at=state.now(),
            attributes=json.loads(declared[1]) if declared else {},
            scaling_group=member.group,
        )

    def _members(self, known: set[str]) -> list[Member]:
        scaling, ec2 = self._moto.client("autoscaling"), self._moto.client("ec2")
        found: list[Member] = []
        for group in scaling.describe_auto_scaling_groups()["AutoScalingGroups"]:
            for raw in group.get("Instances", ()):
                name = raw["InstanceId"]
                data = "" if name in known else self._user_data(ec2, name)
                zone = raw["AvailabilityZone"]
                found.append(
                    Member(name, group["AutoScalingGroupName"], raw["InstanceType"], zone, data)
                )
        return found

    @staticmethod
    def _user_data(ec2: Any, name: str) -> str:
        answer = ec2.describe_instance_attribute(InstanceId=name, Attribute="userData")
        return base64.b64decode(answer.get("UserData", {}).get("Value", "")).decode()

    async def size(self, instance_type: str) -> Size:
        """What an instance of this type registers."""
        if instance_type not in self._sizes:
            ec2 = self._moto.client("ec2")
            answer = await asyncio.to_thread(
                lambda: ec2.describe_instance_types(InstanceTypes=[instance_type])
            )
            raw = answer["InstanceTypes"][0]
            self._sizes[instance_type] = Size(
                raw["VCpuInfo"]["DefaultVCpus"] * 1024,
                int(raw["MemoryInfo"]["SizeInMiB"] * REGISTERED_SHARE),
                sum(g["Count"] for g in raw.get("GpuInfo", {}).get("Gpus", ())),
            )
        return self._sizes[instance_type]

    # Managed scaling ----------------------------------------------------------------------------

    def scale(self) -> None:
        """Have every provider with managed scaling add what its waiting tasks need."""
        for provider in self._state.providers.values():
            waiting = [
                t
                for t in self._state.tasks.values()
                if t.waits and t.provider == provider.name and t.alive
            ]
            if provider.managed and provider.scaling_group and waiting and not self._lock.locked():
                job = asyncio.create_task(self._raise(provider))
                self._jobs.add(job)
                job.add_done_callback(self._jobs.discard)

    async def _raise(self, provider: Provider) -> None:
        async with self._lock:
            needs = [
                need_of(t.definition.content, t.definition.network_mode)
                for t in self._state.tasks.values()
                if t.waits and t.provider == provider.name and t.alive
            ]
            group = await asyncio.to_thread(self._group, provider.scaling_group or "")
            joined = sum(
                i.scaling_group == provider.scaling_group for i in self._state.instances.values()
            )
            if group is None or not needs or joined < group["DesiredCapacity"]:
                return
            size = await self.size(await asyncio.to_thread(self._launched_type, group))
            fresh = Room("", size.cpu, size.memory, size.gpus, frozenset(), gpus_in_all=size.gpus)
            spare = group["MaxSize"] - group["DesiredCapacity"]
            more = instances_needed(needs, fresh, spare)
            if more <= 0:
                return
            client = self._moto.client("autoscaling")
            await asyncio.to_thread(
                lambda: client.set_desired_capacity(
                    AutoScalingGroupName=provider.scaling_group,
                    DesiredCapacity=group["DesiredCapacity"] + more,
                )
            )
        self.look()

    def _group(self, name: str) -> Any:
        client = self._moto.client("autoscaling")
        answer = client.describe_auto_scaling_groups(AutoScalingGroupNames=[name])
        return next(iter(answer["AutoScalingGroups"]), None)

    def _launched_type(self, group: Any) -> str:
        template = group["LaunchTemplate"]
        answer = self._moto.client("ec2").describe_launch_template_versions(
            LaunchTemplateId=template["LaunchTemplateId"],
            Versions=[template.get("Version", "$Default")],
        )
        return str(answer["LaunchTemplateVersions"][0]["LaunchTemplateData"]["InstanceType"])
