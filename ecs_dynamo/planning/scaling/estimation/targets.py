"""The queue time that a target for the time to first token (TTFT) leaves to a component.

In a disaggregated graph the first token is sent by the decode worker (Dynamo 1.6.1), so that both
queues and the prefill itself count. The decode queue, which is usually empty, gets a fixed share.
"""

from __future__ import annotations

from collections.abc import Collection

from ecs_dynamo.model.graph import Role
from ecs_dynamo.model.spec.scaling import SloScaling

DECODE_SHARE = 0.25
"""Share of the TTFT that the decode queue may take."""
WORK_QUANTILE = 1.5
"""Planned prefill time in mean prefill times: prompts vary, and long ones must also be on time."""
AGGREGATED_WORK = 0.5
"""Share of the TTFT that is kept for the prefill itself in an aggregated worker, whose measured
service time is that of prefill and decode together."""
LEAST_SHARE = 0.1
"""Share of the TTFT that always counts as queue time: without any, no fleet would be sufficient."""


def queue_target(spec: SloScaling, roles: Collection[Role], prefill_seconds: float) -> float:
    """Return the queue time to keep in the component, in seconds.

    ``prefill_seconds`` is the mean time of a prefill without its queue (0 where it is unknown); it
    counts for prefill workers. A declared ``target_queue_seconds`` counts where it is smaller.
    """
    if spec.target_ttft_seconds is None:
        return spec.target_queue_seconds
    ttft, work = spec.target_ttft_seconds, WORK_QUANTILE * max(prefill_seconds, 0.0)
    if Role.PREFILL in roles:
        left = (1.0 - DECODE_SHARE) * ttft - work
    elif Role.WORKER in roles:
        left = (1.0 - AGGREGATED_WORK) * ttft
    else:
        left = DECODE_SHARE * ttft
    left = max(left, LEAST_SHARE * ttft)
    declared = "target_queue_seconds" in spec.model_fields_set
    return min(left, spec.target_queue_seconds) if declared else left
