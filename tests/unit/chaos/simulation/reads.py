"""Operations of AWS's APIs that read the simulated account."""

from __future__ import annotations

from typing import Any

from ecs_dynamo.model.graph import Component, NetworkMode
from ecs_dynamo.model.snapshot import Revision
from tests.helpers.simulated_services import SimService, SimTask
from tests.unit.chaos.simulation import wire
from tests.unit.chaos.simulation.account import SimulatedAccount
from tests.unit.chaos.simulation.faults import refusal

Json = dict[str, Any]


class ReadOperations:
    """Each method answers the operation of its name in snake case with an answer in AWS's shape."""

    def __init__(self, ecs: SimulatedAccount) -> None:
        self.ecs = ecs

    def describe_clusters(self, request: Json) -> Json:
        names = [n for n in request["clusters"] if n in ("gpu", "fargate")]
        return {
            "clusters": [
                {"clusterName": n, "clusterArn": f"arn:cluster/{n}", "status": "ACTIVE"}
                | {"capacityProviders": []}
                for n in names
            ],
            "failures": [],
        }

    def services_in(self, cluster: str) -> list[SimService]:
        return [s for s in self.ecs.services.values() if s.cluster == cluster]

    def list_services(self, request: Json) -> Json:
        services = self.services_in(request["cluster"])
        return {"serviceArns": [f"arn:service/{s.name}" for s in services]}

    def service(self, name: str) -> Json:
        """Return a service as DescribeServices does."""
        described = self.ecs.described(name)
        assert described is not None
        return wire.service(described, self.ecs.rolled_back.get(name), self.ecs.now)

    def component(self, service: str) -> Component | None:
        """Return the component of a service, if it belongs to the graph."""
        known = self.ecs.services.get(service)
        return self.ecs._component(known) if known is not None else None

    def describe_services(self, request: Json) -> Json:
        known = {s.name for s in self.services_in(request["cluster"])} | {
            s.name for s in self.ecs.deleted.values() if s.cluster == request["cluster"]
        }
        names = [str(n).rpartition("/")[2] for n in request["services"]]
        return {
            "services": [self.service(n) for n in names if n in known],
            "failures": [{"arn": n, "reason": "MISSING"} for n in names if n not in known],
        }

    def list_tasks(self, request: Json) -> Json:
        only = request.get("serviceName")
        if request["desiredStatus"] == "STOPPED":
            arns = [
                g.task.arn
                for g in self.ecs.stopped_tasks.values()
                if g.cluster == request["cluster"] and only in (None, g.service)
            ]
            return {"taskArns": arns}
        services = [s for s in self.services_in(request["cluster"]) if only in (None, s.name)]
        return {"taskArns": [t.arn for s in services for t in s.tasks]}

    def find_task(self, cluster: str, arn: str) -> tuple[SimService, SimTask] | None:
        """Return a running task with its service, or None if there is no such task."""
        tasks = ((s, t) for s in self.services_in(cluster) for t in s.tasks)
        return next(((s, t) for s, t in tasks if t.arn == arn), None)

    def uses_awsvpc(self, service: str) -> bool:
        """Return whether the tasks of a service use awsvpc mode, as those of others do."""
        component = self.component(service)
        return component is None or component.network_mode is NetworkMode.AWSVPC

    def describe_tasks(self, request: Json) -> Json:
        tasks, missing = [], []
        for arn in request["tasks"]:
            running = self.find_task(request["cluster"], arn)
            stopped = self.ecs.stopped_tasks.get(arn)
            if running is not None:
                service, task = running
                awsvpc = self.uses_awsvpc(service.name)
                tasks.append(wire.task(self.ecs._task(task), service.name, awsvpc=awsvpc))
            elif stopped is not None:
                awsvpc = self.uses_awsvpc(stopped.service)
                tasks.append(wire.task(stopped.task, stopped.service, awsvpc=awsvpc))
            else:
                missing.append({"arn": arn, "reason": "MISSING"})
        return {"tasks": tasks, "failures": missing}

    def get_task_protection(self, request: Json) -> Json:
        protections = []
        for arn in request["tasks"]:
            running = self.find_task(request["cluster"], arn)
            if running is not None:
                until = running[1].protected_until
                protection: Json = {"taskArn": arn, "protectionEnabled": until > self.ecs.now}
                protections.append(
                    protection | ({"expirationDate": wire.when(until)} if until else {})
                )
        return {"protectedTasks": protections, "failures": []}

    def list_container_instances(self, request: Json) -> Json:
        instances = self.ecs._instances() if request["cluster"] == "gpu" else ()
        return {"containerInstanceArns": [i.arn for i in instances]}

    def describe_container_instances(self, request: Json) -> Json:
        known = {i.arn: i for i in self.ecs._instances()}
        arns = request["containerInstances"]
        return {
            "containerInstances": [wire.container_instance(known[a]) for a in arns if a in known],
            "failures": [{"arn": a, "reason": "MISSING"} for a in arns if a not in known],
        }

    def describe_instances(self, request: Json) -> Json:
        (only,) = request["Filters"]
        instances = [
            {"InstanceId": wire.ec2_id(i.arn), "PrivateIpAddress": i.private_ip}
            for i in self.ecs._instances()
            if wire.ec2_id(i.arn) in only["Values"]
        ]
        return {"Reservations": [{"Instances": [instance]} for instance in instances]}

    def revision(self, operation: str, name: str) -> Revision:
        """Return a revision by ARN or by family and number, or the latest active one of a family.

        Raises the error of ``operation`` if there is none.
        """
        revision = self.ecs.revisions.get(name) or self.ecs.revisions.get(f"arn:td/{name}")
        if revision is None:
            active = [r for r in self.ecs.revisions.values() if r.family == name and r.active]
            revision = max(active, key=lambda r: r.number, default=None)
        if revision is None:
            raise refusal(operation, "ClientException", "Unable to describe task definition.")
        return revision

    def describe_task_definition(self, request: Json) -> Json:
        revision = self.revision("DescribeTaskDefinition", request["taskDefinition"])
        return {"taskDefinition": wire.revision(revision), "tags": wire.tags(revision.tags)}

    def list_task_definitions(self, request: Json) -> Json:
        active = request["status"] == "ACTIVE"
        family = [r for r in self.ecs.revisions.values() if r.family == request["familyPrefix"]]
        revisions = sorted((r for r in family if r.active == active), key=lambda r: r.number)
        return {"taskDefinitionArns": [r.arn for r in revisions]}
