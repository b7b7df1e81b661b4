"""The Kubernetes horizontal pod autoscaler (HPA) on several metrics, directly or through KEDA."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, field

from ecs_dynamo.simulate.peers.base import Bounds, SlidingMax, occupancy, stabilized
from ecs_dynamo.simulate.scalers import View

TOLERANCE = 0.1
"""The HPA makes no change while usage and target differ by less than this share."""


def hpa_recommendation(total: float, target: float, current: int) -> int:
    """Return ceil(total / target), or ``current`` within the tolerance."""
    ratio = total / (target * max(current, 1))
    return current if abs(ratio - 1) <= TOLERANCE else math.ceil(total / target)


@dataclass(slots=True)
class Hpa(ABC):
    """An HPA with the default behavior: each subclass recommends a count from its metrics.

    The count rises immediately, by at most the larger of 4 and 100 % per 15 s, and falls to the
    largest recommendation of the last 300 s (kubernetes.io, "Horizontal Pod Autoscaling", default
    behavior; unchanged from Kubernetes 1.18 to 1.35).
    """

    bounds: Bounds
    target: float
    recommendations: SlidingMax[int] = field(default_factory=lambda: SlidingMax(300.0))

    @abstractmethod
    def recommendation(self, view: View) -> int:
        """Return the count that the metrics recommend, before behavior and bounds."""

    def decide(self, view: View) -> int:
        desired = stabilized(self.recommendations, view, self.recommendation(view))
        return self.bounds.clamp(min(desired, view.current + max(4, view.current)))


class KedaHpa(Hpa):
    """An HPA with an AverageValue target, driven by KEDA's queue scalers on unfinished requests.

    HPA: desired = ceil(total / target) with tolerance 0.1 (kubernetes.io, "Horizontal Pod
    Autoscaling", algorithm details; keda.sh 2.20, "Scaling deployments").
    """

    def recommendation(self, view: View) -> int:
        return hpa_recommendation(view.queue, self.target, view.current)


class KedaVllm(Hpa):
    """KEDA on vLLM's waiting requests, summed over the replicas, per replica.

    The threshold of the published examples is 5 (docs.vllm.ai, production-stack, "Autoscaling with
    KEDA": `vllm:num_requests_waiting`; KEDA's Prometheus scaler has an AverageValue target). An
    empty queue recommends the minimum, whatever the replicas serve.
    """

    def recommendation(self, view: View) -> int:
        return hpa_recommendation(view.waiting, self.target, view.current)


class HpaBatchSize(Hpa):
    """An HPA on the batch size: requests in service per replica, or the duty cycle of prefill.

    Google recommends the batch size where latency matters more than throughput, with a target below
    the largest batch (cloud.google.com/kubernetes-engine, "Best practices for autoscaling large
    language model (LLM) inference workloads with GPUs", 2026). A prefill replica has a batch of 1,
    so the metric is its share of busy time since the last period, as DCGM's utilisation is.

    ``target`` is a share of the slots.
    """

    def recommendation(self, view: View) -> int:
        share = view.utilization if view.slots == 1 else occupancy(view)
        return hpa_recommendation(share * view.ready, self.target, view.current)


class HpaKvCache(Hpa):
    """An HPA on two metrics, of which the larger recommendation wins: KV cache use and queue.

    Both are vLLM's (`vllm:kv_cache_usage_perc`, `vllm:num_requests_waiting`), as llm-d and GKE
    recommend (llm-d.ai 0.9, "Workload autoscaling"; Google's best practices, see `HpaBatchSize`:
    begin with a queue of 3 to 5 per replica). The HPA takes the largest recommendation of its
    metrics (kubernetes.io, "Horizontal Pod Autoscaling", "Support for multiple metrics").

    ``target`` is the queue per replica in prefill, where the KV cache says little, and the share of
    the cache in decode, where the queue's target is 3.
    """

    def recommendation(self, view: View) -> int:
        if view.slots == 1:
            return hpa_recommendation(view.waiting, self.target, view.current)
        use = occupancy(view) * view.ready
        return max(
            hpa_recommendation(view.waiting, 3.0, view.current),
            hpa_recommendation(use, self.target, view.current),
        )
