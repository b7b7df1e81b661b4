"""Unknown never means absent: an ECS whose lists and descriptions contradict each other."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.exceptions import ClientError

from ecs_dynamo.aws.client import Aws
from ecs_dynamo.aws.observe.convert import (
    to_revision,
)
from ecs_dynamo.aws.observe.ecs import observe_ecs
from ecs_dynamo.aws.observe.graph_cache import (
    REVISION_FRESH_SECONDS,
    GraphCache,
)
from ecs_dynamo.aws.observe.sightings import (
    CONFIRM_SECONDS,
    MAX_ADDRESSES,
    Sightings,
)
from ecs_dynamo.common.botocore_data import task_definition_output_only
from ecs_dynamo.model.graph import Graph
from ecs_dynamo.model.service import Service
from ecs_dynamo.model.snapshot import (
    ComponentSnapshot,
    Snapshot,
    Unknown,
)
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

    ``hidden`` operations answer as if there were nothing, ``unknown_to_ec2`` ids are refused by
    EC2 when they are asked for by id, and ``failing`` operations fail.
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

    def _list_tasks(self, **asked: Any) -> Json:
        found = [a for a, t in self.tasks.items() if t["desiredStatus"] == asked["desiredStatus"]]
        return {"taskArns": [] if "ListTasks" in self.hidden else found}

    def _tasks(self, **asked: Any) -> Json:
        known = {} if "DescribeTasks" in self.hidden else self.tasks
        return self._described("tasks", known, asked["tasks"])

    @staticmethod
    def _described(key: str, known: dict[str, Json], asked: list[str]) -> Json:
        missing = [{"arn": a, "reason": "MISSING"} for a in asked if a not in known]
        return {key: [known[a] for a in asked if a in known], "failures": missing}

    def _services(self, **asked: Any) -> Json:
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
        return self._described("services", known, asked["services"])

    def _hosts(self, **asked: Any) -> Json:
        hosts = {
            arn: {
                "containerInstanceArn": arn,
                "ec2InstanceId": ec2_id,
                "status": "ACTIVE",
                "agentConnected": self.connected.get(arn, True),
            }
            for arn, ec2_id in self.instances.items()
        }
        return self._described("containerInstances", hosts, asked["containerInstances"])

    def _clusters(self, **asked: Any) -> Json:
        cluster = {"clusterName": "gpu", "clusterArn": f"{ARN}:cluster/gpu", "status": "ACTIVE"}
        known = {} if "DescribeClusters" in self.hidden else {"gpu": cluster}
        return self._described("clusters", known, asked["clusters"])

    def _ec2(self, **asked: Any) -> Json:
        for one in asked.get("InstanceIds", ()):
            if one not in self.addresses:
                raise refusal("DescribeInstances", "InvalidInstanceID.NotFound")
        ids = asked.get("InstanceIds") or asked["Filters"][0]["Values"]
        assert len(ids) <= 200
        found = [
            {"InstanceId": i, "PrivateIpAddress": self.addresses[i]}
            for i in ids
            if i in self.addresses
        ]
        return {"Reservations": [{"Instances": found}] if found else []}

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
            def method(**asked: Any) -> Any:
                self.calls.append((name, asked))
                if name in self.failing:
                    raise refusal(name, "AccessDenied")
                return answer(**asked)

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
class Watcher:
    """Looks at an account again and again, as a daemon does."""

    account: Account
    clock: float = 0.0
    cache: GraphCache = field(init=False)

    def __post_init__(self) -> None:
        self.cache = GraphCache(lambda: self.clock)

    async def snapshot(self) -> Snapshot:
        self.clock += 1.0
        now = NOW + self.clock
        return await observe_ecs(self.account.aws(), frontends(), now, 5.0, self.cache)

    async def look(self) -> ComponentSnapshot:
        return (await self.snapshot()).components["frontend"]

    def count(self, operation: str) -> int:
        return sum(name == operation for name, _ in self.account.calls)


def names(seen: ComponentSnapshot) -> list[str]:
    assert not isinstance(seen.tasks, Unknown), seen.tasks
    return sorted(t.arn.rsplit("/", 1)[-1] for t in seen.tasks)


def addresses(seen: ComponentSnapshot) -> list[str | None]:
    assert not isinstance(seen.tasks, Unknown), seen.tasks
    return [t.private_ip for t in seen.tasks]


# Tasks ------------------------------------------------------------------------------------------


async def test_tasks_that_a_list_lacks_are_looked_for_by_name() -> None:
    watcher = Watcher(Account())
    assert names(await watcher.look()) == ["1", "2"]
    watcher.account.hidden.add("ListTasks")
    for _ in range(4):
        assert names(await watcher.look()) == ["1", "2"]


async def test_an_empty_list_that_the_service_contradicts_is_unknown_to_who_saw_nothing() -> None:
    watcher = Watcher(Account(hidden={"ListTasks"}))
    seen = await watcher.look()
    assert isinstance(seen.tasks, Unknown)
    assert "counts 2 running and 0 pending tasks, and ECS lists 0" in seen.tasks.reason
    watcher.account.hidden.clear()
    assert names(await watcher.look()) == ["1", "2"]


async def test_a_part_of_the_tasks_is_no_whole() -> None:
    account = Account(running=3)
    seen = await Watcher(account).look()
    assert isinstance(seen.tasks, Unknown)


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("stopped_at", [None, NOW - 5])
async def test_a_task_that_stops_is_no_contradiction(known: bool, stopped_at: float | None) -> None:
    """ECS counts it until it has stopped, and for a moment longer."""
    watcher = Watcher(Account())
    if known:
        await watcher.look()
    watcher.account.stop("1", stopped_at)
    for _ in range(3):
        assert names(await watcher.look()) == ["2"]
    # Seen before, it costs no call of its own.
    assert watcher.count("ListTasks") == (4 if known else 1 + 2 + 1 + 1)


async def test_a_service_that_counts_a_task_long_gone_is_a_contradiction() -> None:
    watcher = Watcher(Account())
    watcher.account.stop("1", NOW - 300)
    assert isinstance((await watcher.look()).tasks, Unknown)
    watcher.account.running = 1
    assert names(await watcher.look()) == ["2"]


async def test_a_service_that_counts_less_than_is_there_only_lags_behind() -> None:
    watcher = Watcher(Account(running=0))
    assert names(await watcher.look()) == ["1", "2"]


# Services and clusters ---------------------------------------------------------------------------


async def test_a_service_that_was_there_a_moment_ago_is_not_gone_at_once() -> None:
    watcher = Watcher(Account())
    assert isinstance((await watcher.look()).service, Service)
    watcher.account.hidden |= {"DescribeServices", "ListServices"}
    for _ in range(5):
        service = (await watcher.look()).service
        assert isinstance(service, Unknown)
        assert "it was there a moment ago" in service.reason
    watcher.clock += CONFIRM_SECONDS
    assert (await watcher.look()).service is None


async def test_a_service_that_is_listed_and_not_described_is_unknown() -> None:
    seen = await Watcher(Account(hidden={"DescribeServices"})).look()
    assert isinstance(seen.service, Unknown)
    assert "ListServices lists g-frontend" in seen.service.reason


async def test_on_first_contact_what_is_missing_is_absent() -> None:
    seen = await Watcher(Account(hidden={"DescribeServices", "ListServices"})).look()
    assert seen.service is None
    missing = await Watcher(Account(hidden={"DescribeClusters"})).snapshot()
    assert missing.clusters == {"gpu": False}


async def test_a_deleted_service_is_believed_at_once() -> None:
    watcher = Watcher(Account())
    await watcher.look()
    watcher.account.status, watcher.account.running = "INACTIVE", 0
    for arn in list(watcher.account.tasks):
        watcher.account.stop(arn.rsplit("/", 1)[-1], NOW)
    service = (await watcher.look()).service
    assert isinstance(service, Service)
    assert service.status == "INACTIVE"
    watcher.account.hidden |= {"DescribeServices", "ListServices"}
    assert (await watcher.look()).service is None


async def test_a_cluster_that_was_there_a_moment_ago_is_not_gone_at_once() -> None:
    watcher = Watcher(Account())
    await watcher.look()
    watcher.account.hidden.add("DescribeClusters")
    assert isinstance((await watcher.snapshot()).clusters["gpu"], Unknown)
    watcher.clock += CONFIRM_SECONDS
    assert (await watcher.snapshot()).clusters["gpu"] is False


# Instances and addresses -------------------------------------------------------------------------


@pytest.mark.parametrize("stranger", ["i-0000000000000dead", "mi-0123456789abcdef0", ""])
async def test_an_instance_that_ec2_does_not_know_hides_no_other(stranger: str) -> None:
    account = Account()
    account.instances[f"{ARN}:container-instance/gpu/other"] = stranger
    seen = await Watcher(account).snapshot()
    assert addresses(seen.components["frontend"]) == ["10.0.0.1", "10.0.0.2"]
    found = seen.container_instances["gpu"]
    assert not isinstance(found, Unknown)
    assert len(found) == 3
    (asked,) = [a for name, a in account.calls if name == "DescribeInstances"]
    assert "InstanceIds" not in asked
    assert not any(v.startswith("mi-") or not v for v in asked["Filters"][0]["Values"])


async def test_addresses_are_asked_for_once_and_outlast_a_failure() -> None:
    watcher = Watcher(Account())
    for _ in range(3):
        assert addresses(await watcher.look()) == ["10.0.0.1", "10.0.0.2"]
    assert watcher.count("DescribeInstances") == 1
    watcher.account.failing |= {"DescribeContainerInstances", "DescribeInstances"}
    seen = await watcher.snapshot()
    assert isinstance(seen.container_instances["gpu"], Unknown)
    assert addresses(seen.components["frontend"]) == ["10.0.0.1", "10.0.0.2"]


@pytest.mark.parametrize("operation", ["DescribeContainerInstances", "DescribeInstances"])
async def test_an_address_that_is_not_known_is_not_one_that_is_not_told_yet(operation: str) -> None:
    seen = await Watcher(Account(failing={operation})).look()
    assert not isinstance(seen.tasks, Unknown)
    assert all(
        t.private_ip is None and "AccessDenied" in str(t.address_unknown) for t in seen.tasks
    )
    fine = await Watcher(Account()).look()
    assert not isinstance(fine.tasks, Unknown)
    assert all(t.address_unknown is None for t in fine.tasks)


async def test_the_address_of_a_lost_host_is_none_and_of_a_new_one_unknown() -> None:
    """EC2 reports a new instance later than its agent does; a lost host has no agent."""
    account = Account()
    account.addresses.clear()
    first = next(iter(account.instances))
    account.connected[first] = False
    tasks = (await Watcher(account).look()).tasks
    assert not isinstance(tasks, Unknown)
    assert [t.address_unknown is None for t in tasks] == [True, False]
    assert [t.private_ip for t in tasks] == [None, None]


async def test_instances_that_tasks_run_on_are_found_without_a_list() -> None:
    watcher = Watcher(Account(hidden={"ListContainerInstances"}))
    for _ in range(2):
        seen = await watcher.snapshot()
        found = seen.container_instances["gpu"]
        assert not isinstance(found, Unknown)
        assert len(found) == 2
        assert addresses(seen.components["frontend"]) == ["10.0.0.1", "10.0.0.2"]


async def test_instances_that_vanish_under_their_tasks_are_doubted() -> None:
    """With fewer instances there would seem to be no room, and one replica would go for another."""
    watcher = Watcher(Account())
    await watcher.snapshot()
    lost = dict(watcher.account.instances)
    watcher.account.instances.clear()
    seen = (await watcher.snapshot()).container_instances["gpu"]
    assert isinstance(seen, Unknown)
    assert "was there a moment ago" in seen.reason
    watcher.account.instances.update(lost)
    assert not isinstance((await watcher.snapshot()).container_instances["gpu"], Unknown)
    watcher.account.instances.clear()
    await watcher.snapshot()
    watcher.clock += CONFIRM_SECONDS  # They stay away: it is so.
    assert (await watcher.snapshot()).container_instances["gpu"] == ()


async def test_a_task_in_awsvpc_mode_never_has_the_address_of_its_instance() -> None:
    account = Account()
    for task in account.tasks.values():
        task["attachments"] = [{"type": "ElasticNetworkInterface", "status": "PRECREATED"}]
    tasks = (await Watcher(account).look()).tasks
    assert not isinstance(tasks, Unknown)
    assert [(t.private_ip, t.address_unknown) for t in tasks] == [(None, None)] * 2


def test_remembered_addresses_are_bounded() -> None:
    sightings = Sightings()
    for number in range(MAX_ADDRESSES + 1):
        sightings.remember_address(f"h{number}", "10.0.0.1")
    assert sightings.address("h0") is None
    assert sightings.address("h1") == "10.0.0.1"


# Revisions ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["INACTIVE", "DELETE_IN_PROGRESS", None])
async def test_a_revision_that_somebody_removes_is_noticed(status: str | None) -> None:
    watcher = Watcher(Account())
    arn = f"{ARN}:task-definition/g-frontend:1"
    assert (await watcher.look()).revisions[arn].active
    assert (await watcher.look()).revisions[arn].active
    assert watcher.count("DescribeTaskDefinition") == 1
    watcher.account.revision_status = status
    watcher.clock += REVISION_FRESH_SECONDS
    seen = (await watcher.look()).revisions[arn]
    assert not seen.active
    assert seen.fingerprint == "f1"


async def test_a_revision_that_was_deleted_unread_blocks_nothing() -> None:
    seen = await Watcher(Account(revision_status=None)).look()
    revision = seen.revisions[f"{ARN}:task-definition/g-frontend:1"]
    assert (revision.active, revision.fingerprint, dict(revision.content)) == (False, None, {})


async def test_a_revision_that_cannot_be_read_again_is_what_it_was() -> None:
    watcher = Watcher(Account())
    await watcher.look()
    watcher.account.failing.add("DescribeTaskDefinition")
    watcher.clock += REVISION_FRESH_SECONDS
    assert (await watcher.look()).revisions[f"{ARN}:task-definition/g-frontend:1"].active


def test_nothing_that_only_ecs_sets_is_registered_again() -> None:
    described: Json = {}
    described |= dict.fromkeys(task_definition_output_only(), "x")
    described |= {"taskDefinitionArn": "a", "family": "f", "revision": 1}
    described |= {"status": "INACTIVE", "registeredAt": None}
    assert to_revision(described, []).content == {"family": "f"}
    assert "deleteRequestedAt" in task_definition_output_only()
