"""A simulated AWS account whose lists and descriptions may contradict each other."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import ClientError

from ecs_dynamo.aws.client import Aws
from ecs_dynamo.aws.observe.ecs import observe_ecs
from ecs_dynamo.aws.observe.graph_cache import GraphCache
from ecs_dynamo.model.graph import Graph
from ecs_dynamo.model.snapshot import ComponentSnapshot, Snapshot, Unknown
from tests.helpers.graphs import graph
from tests.unit.aws.fake_aws import fake_aws

ARN = "arn:aws:ecs:us-west-2:1"
NOW = 1000.0
Json = dict[str, Any]


def frontends() -> Graph:
    """A graph of just one component, in host mode."""
    whole = graph(frontends=2)
    return replace(whole, components=(whole.component("frontend"),))


def when(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def refusal(operation: str, code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": code}}, operation)


@dataclass
class Account:
    """Cluster `gpu` with service `g-frontend`, two tasks of it, and the instances they run on.

    ``hidden`` operations answer as if there were nothing, and ``failing`` operations fail. EC2
    knows only instances that have ``addresses``, and refuses requests by any other ID.
    """

    tasks: dict[str, Json] = field(default_factory=dict)
    instances: dict[str, str] = field(default_factory=dict)
    connected: dict[str, bool] = field(default_factory=dict)
    addresses: dict[str, str] = field(default_factory=dict)
    running: int = 2
    pending: int = 0
    status: str = "ACTIVE"
    hidden: set[str] = field(default_factory=set)
    failing: set[str] = field(default_factory=set)
    revision_status: str | None = "ACTIVE"
    calls: list[tuple[str, Json]] = field(default_factory=list)

    def __post_init__(self) -> None:
        for number in (1, 2):
            host = f"{ARN}:container-instance/gpu/h{number}"
            self.instances[host] = f"i-{number:017x}"
            self.addresses[f"i-{number:017x}"] = f"10.0.0.{number}"
            self.add_task(str(number), host)

    def add_task(self, name: str, host: str) -> None:
        self.tasks[f"{ARN}:task/gpu/{name}"] = {
            "taskArn": f"{ARN}:task/gpu/{name}",
            "taskDefinitionArn": f"{ARN}:task-definition/g-frontend:1",
            "lastStatus": "RUNNING",
            "desiredStatus": "RUNNING",
            "group": "service:g-frontend",
            "containerInstanceArn": host,
            "createdAt": when(NOW - 5000),
        }

    def stop(self, name: str, at: float | None = None) -> None:
        task = self.tasks[f"{ARN}:task/gpu/{name}"]
        task["desiredStatus"] = "STOPPED"
        if at is not None:
            task |= {"lastStatus": "STOPPED", "stoppedAt": when(at)}

    def _list_tasks(self, **request: Any) -> Json:
        arns = [a for a, t in self.tasks.items() if t["desiredStatus"] == request["desiredStatus"]]
        return {"taskArns": [] if "ListTasks" in self.hidden else arns}

    def _tasks(self, **request: Any) -> Json:
        known = {} if "DescribeTasks" in self.hidden else self.tasks
        return self._described("tasks", known, request["tasks"])

    @staticmethod
    def _described(key: str, known: dict[str, Json], names: list[str]) -> Json:
        missing = [{"arn": a, "reason": "MISSING"} for a in names if a not in known]
        return {key: [known[a] for a in names if a in known], "failures": missing}

    def _services(self, **request: Any) -> Json:
        service = {
            "serviceArn": f"{ARN}:service/gpu/g-frontend",
            "serviceName": "g-frontend",
            "status": self.status,
            "desiredCount": 2,
            "runningCount": self.running,
            "pendingCount": self.pending,
            "taskDefinition": f"{ARN}:task-definition/g-frontend:1",
            "deployments": [
                {
                    "id": "ecs-svc/1",
                    "status": "PRIMARY",
                    "taskDefinition": f"{ARN}:task-definition/g-frontend:1",
                    "desiredCount": 2,
                    "runningCount": self.running,
                    "rolloutState": "COMPLETED",
                }
            ],
            "tags": [{"key": "ecs-dynamo:graph", "value": "g"}],
        }
        known = {} if "DescribeServices" in self.hidden else {"g-frontend": service}
        return self._described("services", known, request["services"])

    def _hosts(self, **request: Any) -> Json:
        hosts = {
            arn: {
                "containerInstanceArn": arn,
                "ec2InstanceId": ec2_id,
                "status": "ACTIVE",
                "agentConnected": self.connected.get(arn, True),
            }
            for arn, ec2_id in self.instances.items()
        }
        return self._described("containerInstances", hosts, request["containerInstances"])

    def _clusters(self, **request: Any) -> Json:
        cluster = {"clusterName": "gpu", "clusterArn": f"{ARN}:cluster/gpu", "status": "ACTIVE"}
        known = {} if "DescribeClusters" in self.hidden else {"gpu": cluster}
        return self._described("clusters", known, request["clusters"])

    def _ec2(self, **request: Any) -> Json:
        for instance_id in request.get("InstanceIds", ()):
            if instance_id not in self.addresses:
                raise refusal("DescribeInstances", "InvalidInstanceID.NotFound")
        ids = request.get("InstanceIds") or request["Filters"][0]["Values"]
        assert len(ids) <= 200
        instances = [
            {"InstanceId": i, "PrivateIpAddress": self.addresses[i]}
            for i in ids
            if i in self.addresses
        ]
        return {"Reservations": [{"Instances": instances}] if instances else []}

    def _revision(self, **_: Any) -> Json:
        if self.revision_status is None:
            raise refusal("DescribeTaskDefinition", "ClientException")
        return {
            "taskDefinition": {
                "taskDefinitionArn": f"{ARN}:task-definition/g-frontend:1",
                "family": "g-frontend",
                "revision": 1,
                "status": self.revision_status,
                "containerDefinitions": [],
            },
            "tags": [{"key": "ecs-dynamo:fingerprint", "value": "f1"}],
        }

    def aws(self) -> Aws:
        def called(name: str, answer: Any) -> Any:
            def method(**request: Any) -> Any:
                self.calls.append((name, request))
                if name in self.failing:
                    raise refusal(name, "AccessDenied")
                return answer(**request)

            return method

        hosts = lambda **_: {  # noqa: E731
            "containerInstanceArns": []
            if "ListContainerInstances" in self.hidden
            else list(self.instances)
        }
        services = lambda **_: {  # noqa: E731
            "serviceArns": []
            if "ListServices" in self.hidden
            else [f"{ARN}:service/gpu/g-frontend"]
        }
        ecs = {
            "DescribeClusters": self._clusters,
            "ListServices": services,
            "DescribeServices": self._services,
            "ListTasks": self._list_tasks,
            "DescribeTasks": self._tasks,
            "ListContainerInstances": hosts,
            "DescribeContainerInstances": self._hosts,
            "DescribeTaskDefinition": self._revision,
            "GetTaskProtection": lambda **_: {"protectedTasks": [], "failures": []},
        }
        return fake_aws(
            ecs={name: called(name, answer) for name, answer in ecs.items()},
            ec2={"DescribeInstances": called("DescribeInstances", self._ec2)},
        )


@dataclass
class AccountObserver:
    """A daemon's observations of an account, pass after pass."""

    account: Account
    clock: float = 0.0
    cache: GraphCache = field(init=False)

    def __post_init__(self) -> None:
        self.cache = GraphCache(lambda: self.clock)

    async def snapshot(self) -> Snapshot:
        self.clock += 1.0
        now = NOW + self.clock
        return await observe_ecs(self.account.aws(), frontends(), now, 5.0, self.cache)

    async def component(self) -> ComponentSnapshot:
        return (await self.snapshot()).components["frontend"]

    def count(self, operation: str) -> int:
        return sum(name == operation for name, _ in self.account.calls)


def task_names(component: ComponentSnapshot) -> list[str]:
    assert not isinstance(component.tasks, Unknown), component.tasks
    return sorted(t.arn.rsplit("/", 1)[-1] for t in component.tasks)


def task_addresses(component: ComponentSnapshot) -> list[str | None]:
    assert not isinstance(component.tasks, Unknown), component.tasks
    return [t.private_ip for t in component.tasks]
