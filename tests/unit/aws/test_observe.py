"""Unknown is never treated as absent, even if answers of AWS contradict each other."""

from __future__ import annotations

import pytest

from ecs_dynamo.aws.observe.convert import to_revision
from ecs_dynamo.aws.observe.graph_cache import REVISION_FRESH_SECONDS
from ecs_dynamo.aws.observe.sightings import CONFIRM_SECONDS, MAX_ADDRESSES, Sightings
from ecs_dynamo.common.botocore_data import task_definition_output_only
from ecs_dynamo.model.service import Service
from ecs_dynamo.model.snapshot import Unknown
from tests.unit.aws.simulated_account import (
    ARN,
    NOW,
    Account,
    AccountObserver,
    Json,
    task_addresses,
    task_names,
)

# Tasks ------------------------------------------------------------------------------------------


async def test_known_tasks_that_a_list_omits_are_described_by_name() -> None:
    observer = AccountObserver(Account())
    assert task_names(await observer.component()) == ["1", "2"]
    observer.account.hidden.add("ListTasks")
    for _ in range(4):
        assert task_names(await observer.component()) == ["1", "2"]


async def test_an_empty_list_that_the_service_contradicts_is_unknown_to_a_new_process() -> None:
    observer = AccountObserver(Account(hidden={"ListTasks"}))
    observed = await observer.component()
    assert isinstance(observed.tasks, Unknown)
    assert "counts 2 running and 0 pending tasks, and ECS lists 0" in observed.tasks.reason
    observer.account.hidden.clear()
    assert task_names(await observer.component()) == ["1", "2"]


async def test_fewer_tasks_than_the_service_counts_are_unknown() -> None:
    account = Account(running=3)
    observed = await AccountObserver(account).component()
    assert isinstance(observed.tasks, Unknown)


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("stopped_at", [None, NOW - 5])
async def test_a_task_that_stops_is_not_a_contradiction(
    known: bool, stopped_at: float | None
) -> None:
    """ECS counts the task until it has stopped, and for a moment longer."""
    observer = AccountObserver(Account())
    if known:
        await observer.component()
    observer.account.stop("1", stopped_at)
    for _ in range(3):
        assert task_names(await observer.component()) == ["2"]
    # A known task costs no additional call.
    assert observer.count("ListTasks") == (4 if known else 1 + 2 + 1 + 1)


async def test_a_service_that_still_counts_a_task_that_ended_long_ago_is_a_contradiction() -> None:
    observer = AccountObserver(Account())
    observer.account.stop("1", NOW - 300)
    assert isinstance((await observer.component()).tasks, Unknown)
    observer.account.running = 1
    assert task_names(await observer.component()) == ["2"]


async def test_a_service_that_counts_fewer_tasks_than_there_are_only_lags_behind() -> None:
    observer = AccountObserver(Account(running=0))
    assert task_names(await observer.component()) == ["1", "2"]


# Services and clusters ---------------------------------------------------------------------------


async def test_a_service_that_existed_a_moment_ago_is_not_absent_at_once() -> None:
    observer = AccountObserver(Account())
    assert isinstance((await observer.component()).service, Service)
    observer.account.hidden |= {"DescribeServices", "ListServices"}
    for _ in range(5):
        service = (await observer.component()).service
        assert isinstance(service, Unknown)
        assert "it was there a moment ago" in service.reason
    observer.clock += CONFIRM_SECONDS
    assert (await observer.component()).service is None


async def test_a_service_that_is_listed_and_not_described_is_unknown() -> None:
    observed = await AccountObserver(Account(hidden={"DescribeServices"})).component()
    assert isinstance(observed.service, Unknown)
    assert "ListServices lists g-frontend" in observed.service.reason


async def test_a_new_process_accepts_that_a_resource_is_absent() -> None:
    observed = await AccountObserver(
        Account(hidden={"DescribeServices", "ListServices"})
    ).component()
    assert observed.service is None
    missing = await AccountObserver(Account(hidden={"DescribeClusters"})).snapshot()
    assert missing.clusters == {"gpu": False}


async def test_a_deleted_service_is_accepted_at_once() -> None:
    observer = AccountObserver(Account())
    await observer.component()
    observer.account.status, observer.account.running = "INACTIVE", 0
    for arn in list(observer.account.tasks):
        observer.account.stop(arn.rsplit("/", 1)[-1], NOW)
    service = (await observer.component()).service
    assert isinstance(service, Service)
    assert service.status == "INACTIVE"
    observer.account.hidden |= {"DescribeServices", "ListServices"}
    assert (await observer.component()).service is None


async def test_a_cluster_that_existed_a_moment_ago_is_not_absent_at_once() -> None:
    observer = AccountObserver(Account())
    await observer.component()
    observer.account.hidden.add("DescribeClusters")
    assert isinstance((await observer.snapshot()).clusters["gpu"], Unknown)
    observer.clock += CONFIRM_SECONDS
    assert (await observer.snapshot()).clusters["gpu"] is False


# Instances and addresses -------------------------------------------------------------------------


@pytest.mark.parametrize("stranger", ["i-0000000000000dead", "mi-0123456789abcdef0", ""])
async def test_an_instance_that_ec2_does_not_know_hides_no_other_instance(stranger: str) -> None:
    account = Account()
    account.instances[f"{ARN}:container-instance/gpu/other"] = stranger
    observed = await AccountObserver(account).snapshot()
    assert task_addresses(observed.components["frontend"]) == ["10.0.0.1", "10.0.0.2"]
    instances = observed.container_instances["gpu"]
    assert not isinstance(instances, Unknown)
    assert len(instances) == 3
    (request,) = [r for name, r in account.calls if name == "DescribeInstances"]
    assert "InstanceIds" not in request
    assert not any(v.startswith("mi-") or not v for v in request["Filters"][0]["Values"])


async def test_addresses_are_requested_once_and_outlast_a_failure() -> None:
    observer = AccountObserver(Account())
    for _ in range(3):
        assert task_addresses(await observer.component()) == ["10.0.0.1", "10.0.0.2"]
    assert observer.count("DescribeInstances") == 1
    observer.account.failing |= {"DescribeContainerInstances", "DescribeInstances"}
    observed = await observer.snapshot()
    assert isinstance(observed.container_instances["gpu"], Unknown)
    assert task_addresses(observed.components["frontend"]) == ["10.0.0.1", "10.0.0.2"]


@pytest.mark.parametrize("operation", ["DescribeContainerInstances", "DescribeInstances"])
async def test_an_unknown_address_differs_from_one_that_is_not_assigned_yet(operation: str) -> None:
    observed = await AccountObserver(Account(failing={operation})).component()
    assert not isinstance(observed.tasks, Unknown)
    assert all(
        t.private_ip is None and "AccessDenied" in str(t.address_unknown) for t in observed.tasks
    )
    fine = await AccountObserver(Account()).component()
    assert not isinstance(fine.tasks, Unknown)
    assert all(t.address_unknown is None for t in fine.tasks)


async def test_the_address_of_a_lost_host_is_none_and_of_a_new_one_unknown() -> None:
    """EC2 reports a new instance later than its agent does; a lost host has no agent."""
    account = Account()
    account.addresses.clear()
    first = next(iter(account.instances))
    account.connected[first] = False
    tasks = (await AccountObserver(account).component()).tasks
    assert not isinstance(tasks, Unknown)
    assert [t.address_unknown is None for t in tasks] == [True, False]
    assert [t.private_ip for t in tasks] == [None, None]


async def test_instances_of_tasks_are_described_without_a_list() -> None:
    observer = AccountObserver(Account(hidden={"ListContainerInstances"}))
    for _ in range(2):
        observed = await observer.snapshot()
        instances = observed.container_instances["gpu"]
        assert not isinstance(instances, Unknown)
        assert len(instances) == 2
        assert task_addresses(observed.components["frontend"]) == ["10.0.0.1", "10.0.0.2"]


async def test_instances_that_vanish_under_their_tasks_are_doubted() -> None:
    """With fewer instances a replica would seem unschedulable, and another would be released."""
    observer = AccountObserver(Account())
    await observer.snapshot()
    lost = dict(observer.account.instances)
    observer.account.instances.clear()
    observed = (await observer.snapshot()).container_instances["gpu"]
    assert isinstance(observed, Unknown)
    assert "was there a moment ago" in observed.reason
    observer.account.instances.update(lost)
    assert not isinstance((await observer.snapshot()).container_instances["gpu"], Unknown)
    observer.account.instances.clear()
    await observer.snapshot()
    observer.clock += CONFIRM_SECONDS  # They stay absent, so it is accepted.
    assert (await observer.snapshot()).container_instances["gpu"] == ()


async def test_a_task_in_awsvpc_mode_never_has_the_address_of_its_instance() -> None:
    account = Account()
    for task in account.tasks.values():
        task["attachments"] = [{"type": "ElasticNetworkInterface", "status": "PRECREATED"}]
    tasks = (await AccountObserver(account).component()).tasks
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
async def test_a_revision_that_was_removed_is_noticed(status: str | None) -> None:
    observer = AccountObserver(Account())
    arn = f"{ARN}:task-definition/g-frontend:1"
    assert (await observer.component()).revisions[arn].active
    assert (await observer.component()).revisions[arn].active
    assert observer.count("DescribeTaskDefinition") == 1
    observer.account.revision_status = status
    observer.clock += REVISION_FRESH_SECONDS
    observed = (await observer.component()).revisions[arn]
    assert not observed.active
    assert observed.fingerprint == "f1"


async def test_a_revision_that_was_deleted_unread_blocks_nothing() -> None:
    observed = await AccountObserver(Account(revision_status=None)).component()
    revision = observed.revisions[f"{ARN}:task-definition/g-frontend:1"]
    assert (revision.active, revision.fingerprint, dict(revision.content)) == (False, None, {})


async def test_a_revision_that_cannot_be_read_again_is_kept_as_it_was() -> None:
    observer = AccountObserver(Account())
    await observer.component()
    observer.account.failing.add("DescribeTaskDefinition")
    observer.clock += REVISION_FRESH_SECONDS
    assert (await observer.component()).revisions[f"{ARN}:task-definition/g-frontend:1"].active


def test_fields_that_only_ecs_sets_are_not_registered_again() -> None:
    described: Json = {}
    described |= dict.fromkeys(task_definition_output_only(), "x")
    described |= {"taskDefinitionArn": "a", "family": "f", "revision": 1}
    described |= {"status": "INACTIVE", "registeredAt": None}
    assert to_revision(described, []).content == {"family": "f"}
    assert "deleteRequestedAt" in task_definition_output_only()
