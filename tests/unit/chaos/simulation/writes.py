"""Operations of AWS's APIs that change the simulated account."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ecs_dynamo.aws.service_settings import CODECS, to_settings
from ecs_dynamo.model.graph import TAG_COMPONENT
from ecs_dynamo.model.plan import CreateService, ProtectTasks, RevisionRef, UpdateService
from ecs_dynamo.model.service_settings import ServiceSettings
from tests.helpers.simulated_services import SimService
from tests.unit.chaos.simulation import wire
from tests.unit.chaos.simulation.account import SimulatedAccount
from tests.unit.chaos.simulation.faults import refusal
from tests.unit.chaos.simulation.reads import ReadOperations

Json = dict[str, Any]


class WriteOperations:
    """Each method carries out the operation of its name in snake case."""

    def __init__(self, ecs: SimulatedAccount, reads: ReadOperations) -> None:
        self.ecs, self._reads = ecs, reads
        self._tokens: dict[str, str] = {}

    def register_task_definition(self, request: Json) -> Json:
        content = {k: v for k, v in request.items() if k != "tags"}
        revision = self.ecs.register(content, {t["key"]: t["value"] for t in request["tags"]})
        return {"taskDefinition": wire.revision(revision), "tags": wire.tags(revision.tags)}

    def _usable(self, operation: str, arn: str) -> RevisionRef:
        revision = self._reads.revision(operation, arn)
        if not revision.active:
            raise refusal(operation, "ClientException", "TaskDefinition is inactive")
        return RevisionRef(revision.family, "", revision.arn)

    @staticmethod
    def _settings(request: Json) -> ServiceSettings:
        """Return the settings that a request to create or update a service names."""
        connect = {"serviceConnectConfiguration": request.get("serviceConnectConfiguration")}
        settings = to_settings({**request, "deployments": [{"status": "PRIMARY"} | connect]})
        members = settings.members.items()
        return settings.only(
            [name for name, v in members if CODECS[name].encode(v).keys() <= request.keys()]
        )

    def create_service(self, request: Json) -> Json:
        name, token = request["serviceName"], request["clientToken"]
        if name in self.ecs.services:
            if self._tokens.get(token) == name:
                return {"service": self._reads.service(name)}
            text = "Creation of service was not idempotent."
            raise refusal("CreateService", "InvalidParameterException", text)
        revision = self._usable("CreateService", request["taskDefinition"])
        tags = {t["key"]: t["value"] for t in request["tags"]}
        self.ecs.apply(
            CreateService(
                component=tags.get(TAG_COMPONENT, ""),
                reason="",
                cluster=request["cluster"],
                service=name,
                revision=revision,
                desired=request["desiredCount"],
                settings=self._settings(request),
                tags=tags,
            )
        )
        self.ecs.deleted.pop(name, None)
        self._tokens[token] = name
        return {"service": self._reads.service(name)}

    def _present(self, operation: str, request: Json) -> SimService:
        service = self.ecs.services.get(request["service"])
        if service is None or service.cluster != request["cluster"]:
            deleted = request["service"] in self.ecs.deleted
            code = "ServiceNotActiveException" if deleted else "ServiceNotFoundException"
            raise refusal(operation, code, "Service not found.")
        return service

    def update_service(self, request: Json) -> Json:
        service = self._present("UpdateService", request)
        arn = request.get("taskDefinition")
        revision = self._usable("UpdateService", arn) if arn is not None else None
        settings = self._settings(request)
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
                desired=request.get("desiredCount"),
                settings=settings,
            )
        )
        return {"service": self._reads.service(service.name)}

    def delete_service(self, request: Json) -> Json:
        service = self._present("DeleteService", request)
        self.ecs.delete(service.name)
        return {"service": self._reads.service(service.name)}

    def update_task_protection(self, request: Json) -> Json:
        minutes = request.get("expiresInMinutes") if request["protectionEnabled"] else None
        protections, failures = [], []
        for arn in request["tasks"]:
            running = self._reads.find_task(request["cluster"], arn)
            if running is None:
                failures.append({"arn": arn, "reason": "MISSING"})
                continue
            service, task = running
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
                protection = {"taskArn": arn, "protectionEnabled": minutes is not None}
                if minutes is not None:
                    protection["expirationDate"] = wire.when(task.protected_until)
                protections.append(protection)
        return {"protectedTasks": protections, "failures": failures}

    def stop_task(self, request: Json) -> Json:
        if self._reads.find_task(request["cluster"], request["task"]) is not None:
            self.ecs.stop(request["task"])
        stopped = self.ecs.stopped_tasks.get(request["task"])
        if stopped is None:
            text = "The referenced task was not found."
            raise refusal("StopTask", "InvalidParameterException", text)
        awsvpc = self._reads.uses_awsvpc(stopped.service)
        return {"task": wire.task(stopped.task, stopped.service, awsvpc=awsvpc)}

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

    def tag_resource(self, request: Json) -> Json:
        added = {t["key"]: t["value"] for t in request["tags"]}
        return self._retag(request["resourceArn"], lambda tags: {**tags, **added})

    def untag_resource(self, request: Json) -> Json:
        removed = request["tagKeys"]
        return self._retag(
            request["resourceArn"], lambda tags: {k: v for k, v in tags.items() if k not in removed}
        )

    def deregister_task_definition(self, request: Json) -> Json:
        revision = self.ecs.revisions.get(request["taskDefinition"])
        if revision is None or not revision.active:
            text = "The specified task definition is inactive."
            raise refusal("DeregisterTaskDefinition", "ClientException", text)
        self.ecs.deregister(revision.arn)
        return {"taskDefinition": wire.revision(self.ecs.revisions[revision.arn])}

    def delete_task_definitions(self, request: Json) -> Json:
        for arn in request["taskDefinitions"]:
            self.ecs.revisions.pop(arn, None)
        return {"taskDefinitions": [], "failures": []}

    def update_container_instances_state(self, request: Json) -> Json:
        assert request["status"] == "DRAINING"
        known = {i.arn for i in self.ecs._instances()}
        for arn in request["containerInstances"]:
            if arn in known:
                self.ecs.drained.add(int(arn.rpartition("/")[2]))
        unknown = [a for a in request["containerInstances"] if a not in known]
        return {
            "containerInstances": [],
            "failures": [{"arn": a, "reason": "MISSING"} for a in unknown],
        }
