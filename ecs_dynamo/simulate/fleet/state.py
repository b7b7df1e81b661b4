"""The arrays on which the kernel works: requests, replicas, pools and counters.

A queue is a linked list of requests: ``head`` and ``tail`` of its owner (a pool or a replica), and
``link``, the next request of each. -1 is the end.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

PREFILL, DECODE = 0, 1
"""Indices of the pools."""
FREE, STARTING, READY, DRAINING, ENDED = range(5)
"""States of a row of ``replicas``."""

REQUEST = np.dtype(
    [
        ("arrival", np.float64),
        ("prompt", np.float64),  # Tokens.
        ("output", np.float64),  # Tokens.
        ("entered", np.float64),  # When it entered its current queue.
        ("service", np.float64),  # Seconds of its prefill.
        ("cached", np.float32),  # Tokens of the prompt that need no prefill.
        ("generated", np.float32),  # Tokens before an interruption of its replica.
        ("prefill_wait", np.float32),  # Infinite until it is known, like the other results.
        ("decode_wait", np.float32),
        ("ttft", np.float32),
        ("itl", np.float32),  # Mean over its output.
        ("link", np.int32),  # The next request of its queue.
    ],
    align=True,
)
SLOT = np.dtype([("end", np.float64), ("begun", np.float64), ("request", np.int64)])
"""A decode request in service: the clock at which it ends, and when it began."""
REPLICA = np.dtype(
    [
        ("key", np.float64),  # The time of its next event.
        ("place", np.int64),  # Its place in the heap of rows.
        ("pool", np.int64),
        ("state", np.int64),
        ("used", np.int64),  # It has served a request.
        ("active", np.int64),  # Requests in service.
        ("request", np.int64),  # The request in service (prefill).
        ("head", np.int64),
        ("tail", np.int64),
        ("at", np.float64),  # The time of ``clock``.
        ("clock", np.float64),  # Token steps so far (decode).
        ("kv", np.float64),  # Reserved tokens (decode).
        ("ended", np.float64),
    ],
    align=True,
)
POOL = np.dtype(
    [
        ("head", np.int64),
        ("tail", np.int64),
        ("counted", np.float64),  # The time of ``available``.
        ("waiting", np.int64),
        ("active", np.int64),
        ("ready", np.int64),
        ("arrived", np.int64),
        ("done", np.int64),
        ("work", np.float64),  # Slot-seconds that arrived.
        ("occupied", np.float64),  # Slot-seconds in use so far.
        ("duty", np.float64),  # Seconds of ready replicas with a request.
        ("available", np.float64),  # Seconds of ready replicas.
        ("kv", np.float64),  # Reserved tokens of the ready replicas.
    ],
    align=True,
)
FRONT = np.dtype(
    [
        ("arrived", np.int64),
        ("rejected", np.int64),
        ("first_tokens", np.int64),
        ("late", np.int64),  # First tokens after the target.
        ("prompts", np.float64),  # Prompt tokens that arrived.
        ("prompts_done", np.float64),  # Prompt tokens of requests with a first token.
        ("cached", np.float64),  # Prompt tokens that needed no prefill.
        ("prefilled", np.float64),  # Prompt tokens whose prefill has begun, cached or not.
        ("outputs", np.float64),  # Output tokens generated.
        ("outputs_done", np.float64),  # Output tokens of requests that ended.
    ],
    align=True,
)
RULES = np.dtype(
    [
        ("step_base", np.float64),
        ("step_each", np.float64),
        ("slots", np.int64),
        ("kv_tokens", np.float64),  # Infinite if unlimited.
        ("push", np.int64),
        ("zero_rejects", np.int64),
        ("target_ttft", np.float64),
    ],
    align=True,
)


class State(NamedTuple):
    """Everything that the kernel reads and writes.

    Each replica is a row of ``replicas``, of ``slots`` (a heap by ``end``) and, by pool, of
    ``load``: its load as the dispatcher counts it, infinite where it takes no requests. ``heap``
    has the rows as a heap of their next events.
    """

    requests: NDArray[np.void]
    pools: NDArray[np.void]
    front: NDArray[np.void]
    rules: NDArray[np.void]
    replicas: NDArray[np.void]
    slots: NDArray[np.void]
    load: NDArray[np.float64]
    heap: NDArray[np.int64]


def new_requests(
    arrivals: NDArray[np.float64],
    prompts: NDArray[np.float64],
    cached: NDArray[np.float64],
    service: NDArray[np.float64],
    outputs: NDArray[np.float64],
) -> NDArray[np.void]:
    """Return the records of requests that have not arrived."""
    requests = np.zeros(len(arrivals), dtype=REQUEST)
    requests["arrival"], requests["prompt"], requests["cached"] = arrivals, prompts, cached
    requests["service"], requests["output"] = service, outputs
    for name in ("prefill_wait", "decode_wait", "ttft", "itl"):
        requests[name] = np.inf
    return requests


def with_rows(state: State, count: int) -> State:
    """Return ``state`` with ``count`` replicas, of which the new ones are free."""
    old = len(state.replicas)
    replicas = np.zeros(count, dtype=REPLICA)
    replicas["key"] = np.inf
    replicas["place"] = np.arange(count)
    slots = np.zeros((count, state.slots.shape[1]), dtype=SLOT)
    load = np.full((2, count), np.inf)
    heap = np.arange(count)
    replicas[:old], slots[:old], load[:, :old], heap[:old] = (
        state.replicas,
        state.slots,
        state.load,
        state.heap,
    )
    return state._replace(replicas=replicas, slots=slots, load=load, heap=heap)
