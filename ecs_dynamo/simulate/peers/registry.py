"""All peers by name, with the targets and options that the benchmark tries."""

from __future__ import annotations

from collections.abc import Mapping

from ecs_dynamo.simulate.peers.aws import StepScaling, TargetTracking
from ecs_dynamo.simulate.peers.base import Peer
from ecs_dynamo.simulate.peers.dynamo_planner import DynamoLoad, DynamoThroughput
from ecs_dynamo.simulate.peers.knative import KPA_OPTIONS, KnativeKpa
from ecs_dynamo.simulate.peers.kubernetes import KedaHpa
from ecs_dynamo.simulate.peers.ray_serve import RayServe

_QUEUES = (1.0, 0.5, 0.6, 0.7, 0.85, 1.3, 2.0, 4.0)
_SHARES = (0.8, 0.5, 0.6, 0.7, 0.9)
_USES = (0.8, 0.3, 0.4, 0.5, 0.6, 0.7, 0.9)
PEERS: Mapping[str, Peer] = {
    "keda-hpa": Peer(KedaHpa, _QUEUES, _SHARES),
    "target-tracking": Peer(TargetTracking, _QUEUES, _SHARES),
    "step-scaling": Peer(StepScaling, _QUEUES, _SHARES),
    "knative-kpa": Peer(KnativeKpa, (1.0, 0.7, 1.5, 3.0), (1.0, 0.7, 1.3), options=KPA_OPTIONS),
    "ray-serve": Peer(RayServe, (2.0, 0.5, 0.6, 0.7, 0.85, 1.0, 4.0), _SHARES),
    "dynamo-load": Peer(DynamoLoad, (1.0, 0.3), (1.0, 0.8), share_of_slots=False),
    "dynamo-throughput": Peer(DynamoThroughput, _USES, _USES, share_of_slots=False),
}
