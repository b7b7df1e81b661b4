"""A discrete-event model of the fleet: its hardware, its queues, its replicas and its costs."""

from ecs_dynamo.simulate.fleet.spec import FleetSpec, PoolName

__all__ = ["FleetSpec", "PoolName"]
