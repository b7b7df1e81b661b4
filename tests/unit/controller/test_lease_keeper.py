"""Keeping the lease of a graph: leadership follows the store, and every change is reported."""

from __future__ import annotations

import asyncio
from math import inf
from typing import Any

import pytest

from ecs_dynamo.config import load_settings
from ecs_dynamo.controller.leadership.keeper import LeaseKeeper, open_lease
from ecs_dynamo.model.errors import InputError
from tests.helpers.graphs import graph


class ScriptedLease:
    """A lease with given results: leader or not, and the token. The last one is repeated."""

    def __init__(self, *results: tuple[bool, int]) -> None:
        self.results = list(results)
        self.token = 0
        self.seconds_left = 20.0
        self.released = False

    async def acquire(self) -> bool:
        leads, self.token = self.results.pop(0) if len(self.results) > 1 else self.results[0]
        return leads

    async def release(self) -> None:
        self.released = True


async def keep(lease: ScriptedLease, seconds: float) -> tuple[LeaseKeeper, list[bool], int]:
    """Renew every second; return the keeper, the reported changes and the number of renewals."""
    changes: list[bool] = []
    renewals: list[bool] = []
    stand_in: Any = lease
    keeper = LeaseKeeper(
        stand_in,
        1.0,
        lambda: renewals.append(keeper.leads),
        lambda: changes.append(keeper.leads),
    )
    assert not keeper.leads
    task = asyncio.create_task(keeper.run())
    await asyncio.sleep(seconds)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return keeper, changes, len(renewals)


@pytest.mark.looptime
async def test_only_changes_of_leadership_are_reported() -> None:
    lease = ScriptedLease((False, 0), (True, 1), (True, 1), (False, 1), (False, 1))
    keeper, changes, renewals = await keep(lease, 9.5)
    assert (changes, renewals, keeper.leads) == ([True, False], 10, False)
    await keeper.release()
    assert lease.released


@pytest.mark.looptime
async def test_a_new_token_of_the_leader_is_a_change() -> None:
    """Another daemon may have acted between two terms of the same leader."""
    lease = ScriptedLease((True, 1), (True, 3))
    keeper, changes, _ = await keep(lease, 5.5)
    assert changes == [True, True]
    # Writes that were planned under the old token must not be sent.
    assert (keeper.seconds_left(1), keeper.seconds_left(3)) == (0.0, 20.0)


async def test_without_a_lease_the_daemon_always_leads() -> None:
    keeper = LeaseKeeper(None, 1.0, lambda: None, lambda: None)
    await keeper.run()
    await keeper.release()
    assert (keeper.leads, keeper.token, keeper.seconds_left(0)) == (True, 0, inf)


def test_a_lock_in_etcd_needs_an_etcd_outside_of_the_graph() -> None:
    unused: Any = None
    assert open_lease(graph(), unused, load_settings({})) is None
    with pytest.raises(InputError, match="cannot hold its lease"):
        open_lease(graph(), unused, load_settings({"ECS_DYNAMO_LEASE_ETCD": "true"}))
