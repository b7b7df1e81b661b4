"""The executor after a failure: which actions still run, and what is reported."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError
from structlog.testing import capture_logs

from ecs_dynamo.aws.execute.executor import ActionResult, Executor
from ecs_dynamo.aws.observe.graph_cache import GraphCache
from ecs_dynamo.model.graph import TAG_FINGERPRINT, TAG_GRAPH
from ecs_dynamo.model.plan import (
    AnyAction,
    ChangeMembership,
    DeleteService,
    Endpoints,
    MembershipStep,
    Memory,
    Plan,
    RevisionRef,
    SetInstancesState,
    TagService,
    UpdateService,
)
from ecs_dynamo.model.purposes import ActionPurpose
from ecs_dynamo.model.snapshot import Revision
from tests.unit.aws.fake_aws import fake_aws


class Ecs:
    """ECS with services of any name; the operations on the services in ``refuse`` fail."""

    def __init__(self, refuse: dict[str, Exception] | None = None, owner: str = "g") -> None:
        self.refuse = refuse or {}
        self.owner = owner
        self.writes: list[tuple[str, str]] = []

    def describe(self, **parameters: Any) -> Any:
        (name,) = parameters["services"]
        return {"services": [self._service(name)], "failures": []}

    def write(self, operation: str) -> Callable[..., Any]:
        def answer(**parameters: Any) -> Any:
            name = parameters.get("service") or parameters["resourceArn"]
            self.writes.append((operation, name))
            if name in self.refuse:
                raise self.refuse[name]
            return {"service": self._service(name)}

        return answer

    def set_state(self, **parameters: Any) -> Any:
        arns = parameters["containerInstances"]
        gone = [arn for arn in arns if arn in self.refuse]
        self.writes.append(("UpdateContainerInstancesState", ",".join(arns)))
        return {
            "containerInstances": [],
            "failures": [{"arn": arn, "reason": "MISSING"} for arn in gone],
        }

    def _service(self, name: str) -> dict[str, Any]:
        return {
            "serviceArn": name,
            "serviceName": name,
            "status": "ACTIVE",
            "desiredCount": 1,
            "runningCount": 1,
            "pendingCount": 0,
            "tags": [{"key": TAG_GRAPH, "value": self.owner}],
        }


def refusal(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "no"}}, "UpdateService")


def update(component: str, revision: RevisionRef | None = None) -> UpdateService:
    return UpdateService(
        component=component,
        reason="r",
        cluster="c",
        service=component,
        desired=2,
        revision=revision,
    )


def delete(component: str) -> DeleteService:
    return DeleteService(component=component, reason="r", cluster="c", service=component)


async def unreachable(_: ChangeMembership) -> bool:
    raise ConnectionError("etcd does not answer")


async def execute(
    ecs: Ecs,
    *actions: AnyAction,
    cache: GraphCache | None = None,
    should_stop: Callable[[], bool] = lambda: False,
) -> list[ActionResult]:
    operations = ("UpdateService", "DeleteService", "TagResource", "UntagResource")
    aws = fake_aws(
        ecs={
            "DescribeServices": ecs.describe,
            "UpdateContainerInstancesState": ecs.set_state,
            **{name: ecs.write(name) for name in operations},
        }
    )
    plan = Plan("g", actions, (), (), Endpoints(), (), {}, (), Memory(0.0))
    executor = Executor(aws, "g", cache or GraphCache(), lambda: 0.0, unreachable)
    return list(await executor.execute(plan, should_stop))


async def test_a_failure_skips_the_later_actions_of_its_component_only() -> None:
    ecs = Ecs({"a": refusal("InvalidParameterException")})
    results = await execute(ecs, update("b"), update("a"), delete("a"), delete("b"), update("a"))
    assert [(r.action.component, r.ok, r.skipped) for r in results] == [
        ("b", True, False),
        ("a", False, False),
        ("a", False, True),
        ("b", True, False),
        ("a", False, True),
    ]
    assert ecs.writes == [("UpdateService", "b"), ("UpdateService", "a"), ("DeleteService", "b")]
    failed = results[1]
    assert "InvalidParameterException" in (failed.error or "")
    assert [r.error for r in results if r is not failed] == [None] * 4


@pytest.mark.parametrize(
    ("error", "rejected"),
    [
        (refusal("InvalidParameterException"), True),
        (refusal("AccessDeniedException"), True),
        (refusal("ThrottlingException"), False),
        (refusal("ServerException"), False),
        (OSError("reset"), False),
    ],
    ids=str,
)
async def test_only_an_answer_about_the_action_itself_is_a_rejection(
    error: Exception, rejected: bool
) -> None:
    (result,) = await execute(Ecs({"a": error}), update("a"))
    assert (result.ok, result.changed, result.rejected) == (False, False, rejected)


async def test_an_unexpected_exception_ends_its_action_and_is_reported_with_its_type() -> None:
    class Broken(Ecs):
        def describe(self, **parameters: Any) -> Any:
            answer = super().describe(**parameters)
            if parameters["services"] == ["a"]:
                answer["services"][0]["tags"] = [{"value": "without a key"}]
            return answer

    with capture_logs() as logs:
        results = await execute(Broken(), update("a"), update("b"))
    assert [r.ok for r in results] == [False, True]
    assert "KeyError" in (results[0].error or "")
    assert [(e["event"], e["component"]) for e in logs if e["log_level"] == "error"] == [
        ("action failed", "a")
    ]


async def test_a_service_of_another_owner_is_not_changed() -> None:
    ecs = Ecs(owner="someone")
    results = await execute(ecs, update("a"), delete("b"))
    assert [r.ok for r in results] == [False, False]
    assert all("Foreign" in (r.error or "") for r in results)
    assert not ecs.writes


async def test_an_etcd_that_does_not_answer_is_a_failure_and_not_a_rejection() -> None:
    change = ChangeMembership(component="a", reason="r", step=MembershipStep.ADD, servers=("u",))
    results = await execute(Ecs(), change, update("a"), update("b"))
    assert [(r.ok, r.skipped, r.rejected) for r in results] == [
        (False, False, False),
        (False, True, False),
        (True, False, False),
    ]
    assert results[0].error == "etcd does not answer"


async def test_a_refused_revision_is_read_again_in_the_next_pass() -> None:
    cache = GraphCache(lambda: 0.0)
    revision = Revision("arn:f:1", "f", 1, {}, {TAG_FINGERPRINT: "1"})
    cache.put(revision)
    reference = RevisionRef("f", "1", revision.arn)
    assert cache.fresh(revision.arn) == revision
    await execute(Ecs({"a": refusal("ClientException")}), update("a", reference), cache=cache)
    assert cache.fresh(revision.arn) is None
    assert cache.get(revision.arn) == revision


async def test_a_revision_that_was_not_registered_is_an_error() -> None:
    ecs = Ecs()
    (result,) = await execute(ecs, update("a", RevisionRef("f", "1")))
    assert "NotRegistered" in (result.error or "")
    assert not ecs.writes


async def test_a_stop_between_two_actions_leaves_the_rest_without_results() -> None:
    ecs = Ecs()
    stops = iter((False, True))
    results = await execute(ecs, update("a"), update("b"), should_stop=lambda: next(stops))
    assert [r.action.component for r in results] == ["a"]


async def test_tags_are_set_on_the_revision_first_and_removed_from_it_last() -> None:
    """A daemon that dies in between must not forget which tags were declared once."""
    ecs = Ecs()
    tag = TagService(
        component="a",
        reason="r",
        purpose=ActionPurpose.DECLARED_TAGS,
        cluster="c",
        service="a",
        set_tags={"team": "llm"},
        remove_tags=("old",),
        revision="arn:f:1",
    )
    cache = GraphCache(lambda: 0.0)
    cache.put(Revision("arn:f:1", "f", 1, {}, {TAG_FINGERPRINT: "1", "old": "x"}))
    (result,) = await execute(ecs, tag, cache=cache)
    assert result.ok
    assert ecs.writes == [
        ("TagResource", "arn:f:1"),
        ("TagResource", "a"),
        ("UntagResource", "a"),
        ("UntagResource", "arn:f:1"),
    ]
    cached = cache.get("arn:f:1")
    assert cached is not None
    assert cached.tags == {TAG_FINGERPRINT: "1", "team": "llm"}


async def test_an_instance_that_is_gone_changes_nothing() -> None:
    """Instances that AWS interrupts are not claimed: no tag is set before they drain."""

    def drain(*instances: str) -> SetInstancesState:
        return SetInstancesState(
            component="a",
            reason="r",
            cluster="c",
            instances=instances,
            status="DRAINING",
            claim=False,
        )

    ecs = Ecs({"gone": refusal("unused")})
    results = await execute(ecs, drain("gone"), drain("gone", "there"))
    assert [(r.ok, r.changed) for r in results] == [(True, False), (True, True)]
    assert {operation for operation, _ in ecs.writes} == {"UpdateContainerInstancesState"}
