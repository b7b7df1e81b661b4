"""Two rollouts of `make rollouts` under steady load, with the code of the benchmark."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.rollouts.cases import CASES
from benchmarks.rollouts.graph import GraphFiles
from benchmarks.rollouts.run import run_case
from ecs_dynamo.local import LocalEcs
from tests.integration.conftest import localstack_url
from tests.integration.stack import EXAMPLE, RenderedRights, Stack
from tests.rights.record import SESSION

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]

LEASE_SECONDS = 3


@pytest.mark.skipif(localstack_url() is not None, reason="needs the controls of the local ECS")
@pytest.mark.parametrize(
    ("name", "kept"), [("block size, 1p+1d with room", 0), ("new workers crash", 2)]
)
async def test_a_rollout_with_another_model_card_costs_no_request_and_no_capacity(
    tiny_model: Path, tmp_path: Path, judged: Callable[..., None], name: str, kept: int
) -> None:
    def judge(local: LocalEcs, files: GraphFiles) -> None:
        judged(
            local, RenderedRights(Stack(local.endpoint_url, files.file.parent, local, {}), SESSION)
        )

    case = replace(CASES[name], replicas=1, hosts=(1,) * 4, lease_seconds=LEASE_SECONDS)
    result = await run_case(case, EXAMPLE, on_local=judge)
    assert result.seconds is not None, (result.problem, result.events)
    assert result.failed == result.joining, (result.failures, result.events)
    assert result.lowest == {"prefill": 1, "decode": 1}, result.samples
    assert result.kept == kept
    assert result.sent > 30
