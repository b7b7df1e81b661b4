"""Two faults of `make chaos` under steady load, with the code of the campaign."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from benchmarks.chaos.campaign import run_fault
from benchmarks.chaos.faults import FAULTS
from benchmarks.chaos.graph import GraphFiles
from benchmarks.chaos.set_up import QUEUE, open_stage
from ecs_dynamo.local import LocalEcs
from tests.integration.conftest import localstack_url
from tests.integration.stack import EXAMPLE, RenderedRights, Stack
from tests.rights.record import SESSION

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]

SEED = 11
LEASE_SECONDS = 3
QUIET_SECONDS = 2.0


@pytest.mark.skipif(localstack_url() is not None, reason="needs the controls of the local ECS")
async def test_faults_under_load_cost_no_request_and_break_no_invariant(
    tiny_model: Path, tmp_path: Path, judged: Callable[..., None]
) -> None:
    def judge(local: LocalEcs, files: GraphFiles) -> None:
        stack = Stack(local.endpoint_url, files.folder, local, {}, event_queue=QUEUE)
        judged(local, RenderedRights(stack, SESSION))

    async with open_stage(EXAMPLE, tmp_path / "chaos", judge, LEASE_SECONDS) as stage:
        for name in ("decode killed", "CreateService unheard"):
            row = await run_fault(stage, FAULTS[name], Random(SEED), QUIET_SECONDS)
            assert row.passed, (row.problem, row.violations, row.account)
            assert row.account.sent > 30
