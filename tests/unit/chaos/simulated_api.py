"""AWS's APIs for the simulated account, with faults, as `ecs_dynamo.aws` calls them.

Responses have AWS's shapes, so that the real client, observation and executor run. Requests become
actions of the simulated ECS, which implements the behaviour of ECS.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable
from email.utils import formatdate
from types import SimpleNamespace
from typing import Any

from botocore import xform_name

from ecs_dynamo.aws.client import Aws, AwsOptions, is_write
from ecs_dynamo.aws.server_clock import ServerClock
from ecs_dynamo.aws.service_settings import CODECS, to_settings
from ecs_dynamo.common.backoff import Backoff
from ecs_dynamo.model.graph import NetworkMode
from ecs_dynamo.model.plan import (
    CreateService,
    ProtectTasks,
    RevisionRef,
    UpdateService,
)
from ecs_dynamo.model.service_settings import ServiceSettings
from ecs_dynamo.model.snapshot import Revision
from tests.unit.aws.fake_aws import service_model
from tests.unit.chaos import wire
from tests.unit.chaos.faults import (
    Fault,
    Kind,
    ProcessDeathError,
    raise_for,
    refusal,
    spoil,
    timed_out,
)
from tests.unit.chaos.simulated_account import SimulatedAccount
from tests.unit.planning.simulated_ecs import SimService, SimTask

Json = dict[str, Any]
TIME_OUT_SECONDS = 5.0
_INACTIVE = "TaskDefinition is inactive"


class Client:
    """The client of a service, as `Aws` calls it."""

    def __init__(self, service: str, api: SimulatedApi) -> None:
        self.meta = SimpleNamespace(service_model=service_model(service))
        for operation in self.meta.service_model.operation_names:
            setattr(self, xform_name(operation), self._method(api, operation))

    @staticmethod
    def _method(api: SimulatedApi, operation: str) -> Callable[..., Any]:
        async def method(**parameters: Any) -> Json:
            return await api.answer(operation, parameters)

        return method


class SimulatedApi:
    """The API of an account. ``clock`` returns the server's time in UTC seconds.

    ``before_write`` is called with each write that reaches AWS, before it takes effect. ``events``
    happen just before the call of their number, counted from `begin`; one may raise.
    """

    def __init__(self, ecs: SimulatedAccount, clock: Callable[[], float]) -> None:
        self.ecs = ecs
        self.clock = clock
        self.faults: list[Fault] = []
        self.before_write: Callable[[str, Json], None] = lambda *_: None
        self.events: dict[int, Callable[[], None]] = {}
        self.after: dict[int, Callable[[], None]] = {}
        self.number = 0
        self.at_write: dict[int, Callable[[], None]] = {}
        """Like ``events``, before the write with that number."""
        self.after_write: dict[int, Callable[[], None]] = {}
        self.writes: list[tuple[str, Json]] = []
        self.calls: Counter[str] = Counter()
        self.spoiled: set[str] = set()
        """Operations whose response was changed by a fault since `begin`."""
        self._former: dict[str, Json] = {}
        self._tokens: dict[str, str] = {}

    def begin(self) -> None:
        """Begin a pass."""
        self.number = 0
        self.forget_events()
        self.writes = []
        self.spoiled = set()

    def forget_events(self) -> None:
        """End a pass: pending events of the pass are dropped."""
        self.events, self.after, self.at_write, self.after_write = {}, {}, {}, {}

    def open(self, monotonic: Callable[[], float], wall: Callable[[], float]) -> Aws:
        """Return a process's access to this account."""
        clients = {name: Client(name, self) for name in ("ecs", "ec2")}
        aws = Aws(clients, AwsOptions(attempts=3, backoff=Backoff(0.2, 5.0)), lambda: 0.0)
        aws.clock = ServerClock(monotonic, wall)
        return aws

    async def answer(self, operation: str, asked: Json) -> Json:
        self.number += 1
        number = self.number
        self.calls[operation] += 1
        self.ecs.now = self.clock()
        if (event := self.events.get(number)) is not None:
            event()
        fault = next((f for f in self.faults if f.hits(operation)), None)
        if fault is not None:
            fault.left -= 1
            self.spoiled.add(operation)
            if fault.kind is Kind.LOST_REQUEST:
                await asyncio.sleep(TIME_OUT_SECONDS)
            raise_for(fault.kind, operation)
        question = json.dumps([operation, asked], sort_keys=True, default=str)
        written = 0
        if is_write(operation):
            written = len(self.writes) + 1
            if (event := self.at_write.get(written)) is not None:
                event()
            self.before_write(operation, asked)
            self.writes.append((operation, asked))
        made: Json = getattr(self, f"_{xform_name(operation)}")(asked)
        for event in (self.after.get(number), self.after_write.get(written)):
            if event is not None:
                event()
        former = self._former.get(question, made)
        self._former[question] = made
        if fault is not None and not is_write(operation):
            if fault.kind is Kind.STALE:
                made = self._former[question] = former
            elif fault.kind in (Kind.EMPTY, Kind.TRUNCATED, Kind.MALFORMED):
                made = spoil(fault.kind, operation, asked, made)
        if fault is not None and fault.kind is Kind.LOST_ANSWER:
            await asyncio.sleep(TIME_OUT_SECONDS)
            raise timed_out()
        date = formatdate(self.clock(), usegmt=True)
        return {**made, "ResponseMetadata": {"HTTPStatusCode": 200, "HTTPHeaders": {"date": date}}}

    def die(self) -> None:
        raise ProcessDeathError

    # Reading ------------------------------------------------------------------------------------

    def _describe_clusters(self, asked: Json) -> Json:
        names = [n for n in asked["clusters"] if n in ("gpu", "fargate")]
        return {
            "clusters": [
                {"clusterName": n, "clusterArn": f"arn:cluster/{n}", "status": "ACTIVE"}
                | {"capacityProviders": []}
                for n in names
            ],
            "failures": [],
        }

    def _in(self, cluster: str) -> list[SimService]:
        return [s for s in self.ecs.services.values() if s.cluster == cluster]

    def _list_services(self, asked: Json) -> Json:
        return {"serviceArns": [f"arn:service/{s.name}" for s in self._in(asked["cluster"])]}

    def _service(self, name: str) -> Json:
        one = self.ecs.described(name)
        assert one is not None
        return wire.service(one, self.ecs.rolled_back.get(name), self.ecs.now)

    def _describe_services(self, asked: Json) -> Json:
        there = {s.name for s in self._in(asked["cluster"])} | {
            s.name for s in self.ecs.deleted.values() if s.cluster == asked["cluster"]
        }
        names = [str(n).rpartition("/")[2] for n in asked["services"]]
        return {
            "services": [self._service(n) for n in names if n in there],
            "failures": [{"arn": n, "reason": "MISSING"} for n in names if n not in there],
        }

    def _list_tasks(self, asked: Json) -> Json:
        only = asked.get("serviceName")
        if asked["desiredStatus"] == "STOPPED":
            found = [
                g.task.arn
                for g in self.ecs.gone.values()
                if g.cluster == asked["cluster"] and only in (None, g.service)
            ]
            return {"taskArns": found}
        return {
            "taskArns": [
                t.arn for s in self._in(asked["cluster"]) for t in s.tasks if only in (None, s.name)
            ]
        }

    def _found(self, cluster: str, arn: str) -> tuple[SimService, SimTask] | None:
        return next(((s, t) for s in self._in(cluster) for t in s.tasks if t.arn == arn), None)

    def _awsvpc(self, service: str) -> bool:
        component = next((c for c in self.ecs.graph.components if c.service == service), None)
        return component is None or component.network_mode is NetworkMode.AWSVPC

    def _describe_tasks(self, asked: Json) -> Json:
        made, missing = [], []
        for arn in asked["tasks"]:
            found, gone = self._found(asked["cluster"], arn), self.ecs.gone.get(arn)
            if found is not None:
                service, task = found
                awsvpc = self._awsvpc(service.name)
                made.append(wire.task(self.ecs._task(task), service.name, awsvpc=awsvpc))
            elif gone is not None:
                awsvpc = self._awsvpc(gone.service)
                made.append(wire.task(gone.task, gone.service, awsvpc=awsvpc))
            else:
                missing.append({"arn": arn, "reason": "MISSING"})
        return {"tasks": made, "failures": missing}

    def _get_task_protection(self, asked: Json) -> Json:
        made = []
        for arn in asked["tasks"]:
            found = self._found(asked["cluster"], arn)
            if found is not None:
                until = found[1].protected_until
                one: Json = {"taskArn": arn, "protectionEnabled": until > self.ecs.now}
                made.append(one | ({"expirationDate": wire.when(until)} if until else {}))
        return {"protectedTasks": made, "failures": []}

    def _list_container_instances(self, asked: Json) -> Json:
        here = self.ecs._instances() if asked["cluster"] == "gpu" else ()
        return {"containerInstanceArns": [i.arn for i in here]}

    def _describe_container_instances(self, asked: Json) -> Json:
        known = {i.arn: i for i in self.ecs._instances()}
        arns = asked["containerInstances"]
        return {
            "containerInstances": [wire.container_instance(known[a]) for a in arns if a in known],
            "failures": [{"arn": a, "reason": "MISSING"} for a in arns if a not in known],
        }

    def _describe_instances(self, asked: Json) -> Json:
        (only,) = asked["Filters"]
        found = [
            {"InstanceId": wire.ec2_id(i.arn), "PrivateIpAddress": i.private_ip}
            for i in self.ecs._instances()
            if wire.ec2_id(i.arn) in only["Values"]
        ]
        return {"Reservations": [{"Instances": [one]} for one in found]}

    def _revision(self, operation: str, name: str) -> Revision:
        found = self.ecs.revisions.get(name)
        if found is None:
            same = [r for r in self.ecs.revisions.values() if r.family == name and r.active]
            found = max(same, key=lambda r: r.number, default=None)
        if found is None:
            raise refusal(operation, "ClientException", "Unable to describe task definition.")
        return found

    def _describe_task_definition(self, asked: Json) -> Json:
        found = self._revision("DescribeTaskDefinition", asked["taskDefinition"])
        return {"taskDefinition": wire.revision(found), "tags": wire.tags(found.tags)}

    def _list_task_definitions(self, asked: Json) -> Json:
        active = asked["status"] == "ACTIVE"
        same = [r for r in self.ecs.revisions.values() if r.family == asked["familyPrefix"]]
        found = sorted((r for r in same if r.active == active), key=lambda r: r.number)
        return {"taskDefinitionArns": [r.arn for r in found]}

    # Writing ------------------------------------------------------------------------------------

    def _register_task_definition(self, asked: Json) -> Json:
        content = {k: v for k, v in asked.items() if k != "tags"}
        found = self.ecs.register(content, {t["key"]: t["value"] for t in asked["tags"]})
        return {"taskDefinition": wire.revision(found), "tags": wire.tags(found.tags)}

    def _usable(self, operation: str, arn: str) -> RevisionRef:
        found = self._revision(operation, arn)
        if not found.active:
            raise refusal(operation, "ClientException", _INACTIVE)
        return RevisionRef(found.family, "", found.arn)

    @staticmethod
    def _settings(asked: Json) -> ServiceSettings:
        """The settings that a request to create or update a service names."""
        connect = {"serviceConnectConfiguration": asked.get("serviceConnectConfiguration")}
        found = to_settings({**asked, "deployments": [{"status": "PRIMARY"} | connect]})
        named = [n for n, v in found.members.items() if CODECS[n].encode(v).keys() <= asked.keys()]
        return found.only(named)

    def _create_service(self, asked: Json) -> Json:
        name, token = asked["serviceName"], asked["clientToken"]
        if name in self.ecs.services:
            if self._tokens.get(token) == name:
                return {"service": self._service(name)}
            text = "Creation of service was not idempotent."
            raise refusal("CreateService", "InvalidParameterException", text)
        revision = self._usable("CreateService", asked["taskDefinition"])
        component = next((c for c in self.ecs.graph.components if c.service == name), None)
        self.ecs.apply(
            CreateService(
                component=component.name if component is not None else "",
                reason="",
                cluster=asked["cluster"],
                service=name,
                revision=revision,
                desired=asked["desiredCount"],
                settings=self._settings(asked),
                tags={t["key"]: t["value"] for t in asked["tags"]},
            )
        )
        self.ecs.deleted.pop(name, None)
        self._tokens[token] = name
        return {"service": self._service(name)}

    def _present(self, operation: str, asked: Json) -> SimService:
        found = self.ecs.services.get(asked["service"])
        if found is None or found.cluster != asked["cluster"]:
            gone = asked["service"] in self.ecs.deleted
            code = "ServiceNotActiveException" if gone else "ServiceNotFoundException"
            raise refusal(operation, code, "Service not found.")
        return found

    def _update_service(self, asked: Json) -> Json:
        service = self._present("UpdateService", asked)
        arn = asked.get("taskDefinition")
        revision = self._usable("UpdateService", arn) if arn is not None else None
        settings = self._settings(asked)
        if revision is not None and revision.arn == service.revision:
            revision = None
        if (revision is not None or settings.network is not None) and len(service.deployments) >= 5:
            text = "5 active deployments exist"
            raise refusal("UpdateService", "InvalidParameterException", text)
        self.ecs.apply(
            UpdateService(
                component=service.component,
                reason="",
                cluster=service.cluster,
                service=service.name,
                revision=revision,
                desired=asked.get("desiredCount"),
                settings=settings,
            )
        )
        return {"service": self._service(service.name)}

    def _delete_service(self, asked: Json) -> Json:
        service = self._present("DeleteService", asked)
        self.ecs.delete(service.name)
        return {"service": self._service(service.name)}

    def _update_task_protection(self, asked: Json) -> Json:
        minutes = asked.get("expiresInMinutes") if asked["protectionEnabled"] else None
        done, failures = [], []
        for arn in asked["tasks"]:
            found = self._found(asked["cluster"], arn)
            if found is None:
                failures.append({"arn": arn, "reason": "MISSING"})
                continue
            service, task = found
            before = len(self.ecs.refused)
            self.ecs.apply(
                ProtectTasks(
                    component=service.component,
                    reason="",
                    cluster=service.cluster,
                    tasks=(arn,),
                    minutes=minutes,
                )
            )
            if len(self.ecs.refused) > before:
                failures.append({"arn": arn, "reason": self.ecs.refused[-1][1]})
            else:
                held = {"taskArn": arn, "protectionEnabled": minutes is not None}
                if minutes is not None:
                    held["expirationDate"] = wire.when(task.protected_until)
                done.append(held)
        return {"protectedTasks": done, "failures": failures}

    def _stop_task(self, asked: Json) -> Json:
        found = self._found(asked["cluster"], asked["task"])
        if found is not None:
            self.ecs.stop(asked["task"])
        gone = self.ecs.gone.get(asked["task"])
        if gone is None:
            text = "The referenced task was not found."
            raise refusal("StopTask", "InvalidParameterException", text)
        awsvpc = self._awsvpc(gone.service)
        return {"task": wire.task(gone.task, gone.service, awsvpc=awsvpc)}

    def _retag(self, arn: str, change: Callable[[dict[str, str]], dict[str, str]]) -> Json:
        name = arn.rpartition("/")[2]
        if arn in self.ecs.revisions:
            self.ecs.tag_revision(arn, change)
        elif name in self.ecs.services:
            service = self.ecs.services[name]
            service.tags = change(dict(service.tags))
        else:
            raise refusal("TagResource", "InvalidParameterException", "not found")
        return {}

    def _tag_resource(self, asked: Json) -> Json:
        added = {t["key"]: t["value"] for t in asked["tags"]}
        return self._retag(asked["resourceArn"], lambda tags: {**tags, **added})

    def _untag_resource(self, asked: Json) -> Json:
        removed = asked["tagKeys"]
        return self._retag(
            asked["resourceArn"], lambda tags: {k: v for k, v in tags.items() if k not in removed}
        )

    def _deregister_task_definition(self, asked: Json) -> Json:
        found = self.ecs.revisions.get(asked["taskDefinition"])
        if found is None or not found.active:
            text = "The specified task definition is inactive."
            raise refusal("DeregisterTaskDefinition", "ClientException", text)
        self.ecs.deregister(found.arn)
        return {"taskDefinition": wire.revision(self.ecs.revisions[found.arn])}

    def _delete_task_definitions(self, asked: Json) -> Json:
        for arn in asked["taskDefinitions"]:
            self.ecs.revisions.pop(arn, None)
        return {"taskDefinitions": [], "failures": []}

    def _update_container_instances_state(self, asked: Json) -> Json:
        assert asked["status"] == "DRAINING"
        known = {i.arn for i in self.ecs._instances()}
        for arn in asked["containerInstances"]:
            if arn in known:
                self.ecs.drained.add(int(arn.rpartition("/")[2]))
        gone = [a for a in asked["containerInstances"] if a not in known]
        return {
            "containerInstances": [],
            "failures": [{"arn": a, "reason": "MISSING"} for a in gone],
        }
