"""Arbitration of a limited fleet in the simulator, by the production function."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from ecs_dynamo.model.limits import SharedLimit, Slots
from ecs_dynamo.model.memory.scaling import SharedLimitState
from ecs_dynamo.model.spec.scaling import ScalingSpec
from ecs_dynamo.planning.scaling.arbitration.claims import claim_of, observe
from ecs_dynamo.planning.scaling.arbitration.split import arbitrate
from ecs_dynamo.planning.scaling.policy import ScalingInput, ScalingOutput
from ecs_dynamo.planning.scaling.zero.together import keep_together
from ecs_dynamo.simulate.fleet import PoolName
from ecs_dynamo.simulate.run import MakeScaler
from ecs_dynamo.simulate.scalers import ROLES, PolicyScaler, Scaler, View


class Arbiter:
    """Divides a fleet's GPU slots among the pools, as the daemon does.

    It also keeps the pools at zero together: none is there while the other has replicas. One run
    needs one: ``simulate(..., arbiter.make, arbitrate=arbiter)``. ``make`` makes the pools'
    scalers, of which those that are no `PolicyScaler` have no claim: then nothing is arbitrated.
    ``gpus`` has the slots of one replica by pool, 1 by default.
    """

    def __init__(self, make: MakeScaler, gpus: Mapping[PoolName, int] | None = None) -> None:
        self._make = make
        self._scalers: dict[PoolName, Scaler] = {}
        self._gpus = {pool: (gpus or {}).get(pool, 1) for pool in PoolName}
        self._states = {pool: SharedLimitState() for pool in PoolName}

    def make(self, pool: PoolName, slots: int) -> Scaler:
        """Return the scaler of a pool, whose claims are arbitrated from now on."""
        scaler = self._scalers[pool] = self._make(pool, slots)
        return scaler

    def __call__(
        self, views: Mapping[PoolName, View], desired: Mapping[PoolName, int], gpu_limit: int
    ) -> Mapping[PoolName, int]:
        """Return the counts of one tick, within ``gpu_limit`` slots."""
        names = frozenset(pool.value for pool in views)
        gpus = {pool.value: self._gpus[pool] for pool in views}
        slots = (Slots(gpu_limit, names),)
        limit = SharedLimit(f"{gpu_limit} GPU slots", gpus, slots, declared=True)
        decided: dict[PoolName, tuple[ScalingInput[ScalingSpec], ScalingOutput]] = {}
        for pool in views:
            scaler = self._scalers.get(pool)
            if not isinstance(scaler, PolicyScaler):
                return desired
            if scaler.inputs is None or scaler.output is None:
                return desired
            decided[pool] = scaler.inputs, scaler.output
        counts, _ = keep_together(
            {pool.value: ROLES[pool] for pool in views},
            {pool.value: desired[pool] for pool in views},
            [output.decision for _, output in decided.values()],
        )
        claims = []
        for pool, (inputs, output) in decided.items():
            state = self._states[pool] = observe(inputs, output, self._states[pool])
            claims.append(claim_of(inputs, output, state, counts[pool.value]))
        now = max(view.now for view in views.values())
        grants = arbitrate(claims, limit, now)
        for pool in views:
            grant, state = grants[pool.value], self._states[pool]
            if (grant.gained_at, grant.lost_at) != (state.gained_at, state.lost_at):
                self._states[pool] = replace(
                    state, gained_at=grant.gained_at, lost_at=grant.lost_at
                )
        return {pool: grants[pool.value].count for pool in views}
