"""A registration whose answer is lost is looked for before it is made again."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError, ConnectionClosedError

from ecs_dynamo.aws.execute.executor import ActionResult, Executor
from ecs_dynamo.aws.execute.registration import REGISTER_ATTEMPTS
from ecs_dynamo.aws.observe.graph_cache import GraphCache
from ecs_dynamo.model.graph import TAG_FINGERPRINT
from ecs_dynamo.model.plan import Endpoints, Memory, Plan, RegisterTaskDefinition
from tests.unit.aws.fake_aws import fake_aws

WANTED = RegisterTaskDefinition(
    component="a",
    reason="r",
    family="f",
    fingerprint="1",
    content={"family": "f", "containerDefinitions": []},
    tags={TAG_FINGERPRINT: "1"},
)


class Ecs:
    """Registers; of the first ``unheard`` calls the answer is lost, and they take effect if
    ``effective``."""

    def __init__(self, unheard: int = 0, *, effective: bool = True) -> None:
        self.unheard, self.effective = unheard, effective
        self.calls = self.revisions = 0

    def register(self, **asked: Any) -> Any:
        self.calls += 1
        lost = self.calls <= self.unheard
        if self.effective or not lost:
            self.revisions += 1
        if lost:
            raise ConnectionClosedError(endpoint_url="http://ecs")
        return self.describe()

    def describe(self, **_: Any) -> Any:
        if not self.revisions:
            error: Any = {"Code": "ClientException", "Message": "no such family"}
            raise ClientError({"Error": error}, "DescribeTaskDefinition")
        definition: dict[str, Any] = {
            "taskDefinitionArn": f"arn:f:{self.revisions}",
            "family": "f",
            "revision": self.revisions,
            "status": "ACTIVE",
            "containerDefinitions": [],
        }
        return {"taskDefinition": definition, "tags": [{"key": TAG_FINGERPRINT, "value": "1"}]}

    async def run(self) -> ActionResult:
        async def never(_: Any) -> bool:
            raise AssertionError

        operations = {
            "RegisterTaskDefinition": self.register,
            "DescribeTaskDefinition": self.describe,
        }
        aws = fake_aws(attempts=6, ecs=operations)
        plan = Plan("g", (WANTED,), (), (), Endpoints(), (), {}, (), Memory(0.0))
        executor = Executor(aws, "g", GraphCache(), lambda: 0.0, never)
        (result,) = await executor.execute(plan)
        return result


async def test_what_took_effect_unheard_is_found_and_not_registered_again() -> None:
    ecs = Ecs(unheard=1)
    result = await ecs.run()
    assert (result.ok, result.changed) == (True, True)
    assert (ecs.calls, ecs.revisions) == (1, 1)
    # A pass that finds it there from before has changed nothing.
    result = await ecs.run()
    assert (result.ok, result.changed, ecs.calls) == (True, False, 1)


@pytest.mark.parametrize("unheard", range(REGISTER_ATTEMPTS + 1))
async def test_what_took_no_effect_is_tried_again_a_few_times(unheard: int) -> None:
    ecs = Ecs(unheard, effective=False)
    result = await ecs.run()
    assert result.ok == (unheard < REGISTER_ATTEMPTS)
    assert ecs.calls == min(unheard + 1, REGISTER_ATTEMPTS)
    assert ecs.revisions == int(result.ok)
