"""All peers by name, with the targets and options that the benchmark tries."""

from __future__ import annotations

from collections.abc import Mapping

from ecs_dynamo.simulate.peers.aibrix import APA_OPTIONS, KPA_OPTIONS, AibrixApa, AibrixKpa
from ecs_dynamo.simulate.peers.aws import StepScaling, TargetTracking
from ecs_dynamo.simulate.peers.aws_predictive import PredictiveScaling
from ecs_dynamo.simulate.peers.base import MakePeer, Peer
from ecs_dynamo.simulate.peers.dynamo_planner import (
    LOAD_OPTIONS,
    DynamoHybrid,
    DynamoLoad,
    DynamoThroughput,
    dynamo_sla,
)
from ecs_dynamo.simulate.peers.knative import KPA_OPTIONS as KNATIVE_OPTIONS
from ecs_dynamo.simulate.peers.knative import KnativeKpa
from ecs_dynamo.simulate.peers.kubernetes import HpaBatchSize, HpaKvCache, KedaHpa, KedaVllm
from ecs_dynamo.simulate.peers.llm_d import wva_slo, wva_v1, wva_v2
from ecs_dynamo.simulate.peers.ray_serve import RayServe

_QUEUES = (1.0, 0.5, 0.6, 0.7, 0.85, 1.3, 2.0, 4.0)
_SHARES = (0.8, 0.5, 0.6, 0.7, 0.9)
_USES = (0.8, 0.3, 0.4, 0.5, 0.6, 0.7, 0.9)
_WAITING = (5.0, 0.2, 0.5, 1.0, 3.0)
_WAITS = (1.0, 0.02, 0.1, 0.3)


def _shares(make: MakePeer, *targets: tuple[float, ...]) -> Peer:
    """Return a peer whose targets are shares or seconds in both pools."""
    return Peer(make, targets[0], targets[-1], share_of_slots=False)


PEERS: Mapping[str, Peer] = {
    "keda-hpa": Peer(KedaHpa, _QUEUES, _SHARES),
    "keda-vllm": _shares(KedaVllm, _WAITING),
    "hpa-batch-size": _shares(HpaBatchSize, (0.7, 0.4, 0.5, 0.6, 0.8), _SHARES),
    "hpa-kv-cache": _shares(HpaKvCache, (3.0, 0.2, 0.5, 1.0, 5.0), _SHARES),
    "target-tracking": Peer(TargetTracking, _QUEUES, _SHARES),
    "step-scaling": Peer(StepScaling, _QUEUES, _SHARES),
    "predictive-scaling": Peer(PredictiveScaling, _QUEUES, _SHARES),
    "knative-kpa": Peer(KnativeKpa, (1.0, 0.7, 1.5, 3.0), (1.0, 0.7, 1.3), options=KNATIVE_OPTIONS),
    "ray-serve": Peer(RayServe, (2.0, 0.5, 0.6, 0.7, 0.85, 1.0, 4.0), _SHARES),
    "aibrix-apa": Peer(AibrixApa, (1.0, 0.5, 0.7, 2.0), _SHARES, options=APA_OPTIONS),
    "aibrix-kpa": Peer(AibrixKpa, (1.0, 0.5, 0.7, 2.0), _SHARES, options=KPA_OPTIONS),
    "wva-v1": _shares(wva_v1, (5.0, 0.5, 1.0, 2.0), (0.8, 0.6, 0.7, 0.9)),
    "wva-v2": _shares(wva_v2, (0.85, 0.4, 0.6, 0.7, 0.95)),
    "wva-slo": _shares(wva_slo, _WAITS),
    "dynamo-load": Peer(
        DynamoLoad, (1.0, 0.3), (1.0, 0.8), share_of_slots=False, options=LOAD_OPTIONS
    ),
    "dynamo-throughput": _shares(DynamoThroughput, _USES),
    "dynamo-hybrid": _shares(DynamoHybrid, _USES),
    "dynamo-sla": _shares(dynamo_sla, _USES),
}
