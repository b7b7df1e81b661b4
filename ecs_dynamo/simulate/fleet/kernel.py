"""The event loop of the fleet, compiled.

Decode is exact processor sharing: with n requests a token step takes a + b n, so the clock of a
replica, which counts its token steps, advances by 1 / (a + b n) per second. A request that begins
at clock V ends at V plus its output tokens.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ecs_dynamo.simulate.fleet.compiled import compiled
from ecs_dynamo.simulate.fleet.state import (
    DECODE,
    DRAINING,
    ENDED,
    PREFILL,
    READY,
    STARTING,
    State,
)

Queue = Any
"""A pool or a replica: a record with ``head`` and ``tail``."""


@compiled
def schedule(s: State, row: int, at: float) -> None:
    """Set the time of a replica's next event."""
    heap, replicas = s.heap, s.replicas
    before = replicas[row]["key"]
    replicas[row]["key"] = at
    i = replicas[row]["place"]
    if at < before:
        while i > 0:
            parent = (i - 1) // 2
            other = heap[parent]
            if replicas[other]["key"] <= at:
                break
            heap[i] = other
            replicas[other]["place"] = i
            i = parent
    else:
        size = len(heap)
        while True:
            child = 2 * i + 1
            if child >= size:
                break
            if child + 1 < size and replicas[heap[child + 1]]["key"] < replicas[heap[child]]["key"]:
                child += 1
            other = heap[child]
            if replicas[other]["key"] >= at:
                break
            heap[i] = other
            replicas[other]["place"] = i
            i = child
    heap[i] = row
    replicas[row]["place"] = i


@compiled
def append(s: State, queue: Queue, request: int) -> None:
    """Add a request to the end of a queue."""
    s.requests[request]["link"] = -1
    if queue["head"] < 0:
        queue["head"] = request
    else:
        s.requests[queue["tail"]]["link"] = request
    queue["tail"] = request


@compiled
def take(s: State, queue: Queue) -> int:
    """Remove the first request of a queue that is not empty, and return it."""
    request: int = queue["head"]
    queue["head"] = s.requests[request]["link"]
    return request


@compiled
def kv_of(s: State, request: int) -> float:
    """Return the tokens that a request reserves in the KV cache of a decode replica."""
    return float(
        min(s.requests[request]["prompt"] + s.requests[request]["output"], s.rules[0]["kv_tokens"])
    )


@compiled
def weight(s: State, pool: int, request: int) -> float:
    """Return the load of a request at its replica: prefill time, KV cache or, under pull, 1."""
    if s.rules[0]["push"] == 0:
        return 1.0
    return float(s.requests[request]["service"]) if pool == PREFILL else kv_of(s, request)


@compiled
def step_seconds(s: State, batch: int) -> float:
    """Return the seconds of a token step of a decode replica with ``batch`` requests."""
    return float(s.rules[0]["step_base"] + s.rules[0]["step_each"] * batch)


@compiled
def settle(s: State, row: int, now: float) -> None:
    """Account for the time of a replica up to ``now``."""
    replica = s.replicas[row]
    active = replica["active"]
    elapsed = now - replica["at"]
    replica["at"] = now
    if active > 0 and elapsed > 0:
        pool = s.pools[replica["pool"]]
        pool["occupied"] += active * elapsed
        if replica["state"] == READY:
            pool["duty"] += elapsed
        if replica["pool"] == DECODE:
            steps = elapsed / step_seconds(s, active)
            replica["clock"] += steps
            s.front[0]["outputs"] += active * steps


@compiled
def count_ready(s: State, pool: int, now: float, change: int) -> None:
    """Account for the time of the ready replicas up to ``now``, and change their number."""
    p = s.pools[pool]
    p["available"] += p["ready"] * (now - p["counted"])
    p["counted"] = now
    p["ready"] += change


@compiled
def plan_end(s: State, row: int, now: float) -> None:
    """Schedule the end of the decode request that ends first."""
    replica = s.replicas[row]
    active = replica["active"]
    if active == 0:
        # Without the rounding errors of sums and differences.
        replica["clock"] = replica["kv"] = 0.0
        schedule(s, row, np.inf)
        return
    steps = max(0.0, s.slots[row, 0]["end"] - replica["clock"])
    schedule(s, row, now + steps * step_seconds(s, active))


@compiled
def begin_prefill(s: State, row: int, request: int, now: float) -> None:
    """Start the prefill of a request."""
    replica = s.replicas[row]
    settle(s, row, now)
    replica["used"] = 1
    replica["active"] = 1
    replica["request"] = request
    s.pools[PREFILL]["active"] += 1
    r, front = s.requests[request], s.front[0]
    r["prefill_wait"] = now - r["arrival"]
    front["prefilled"] += r["prompt"]
    front["cached"] += r["cached"]
    schedule(s, row, now + r["service"])


@compiled
def begin_decode(s: State, row: int, request: int, now: float) -> None:
    """Start the decode of a request; its first token follows after one token step."""
    settle(s, row, now)
    replica = s.replicas[row]
    slots, r = s.slots[row], s.requests[request]
    end = replica["clock"] + r["output"] - r["generated"]
    i = replica["active"]
    while i > 0:
        parent = (i - 1) // 2
        if slots[parent]["end"] <= end:
            break
        slots[i] = slots[parent]
        i = parent
    slots[i]["end"] = end
    slots[i]["request"] = request
    slots[i]["begun"] = now
    replica["used"] = 1
    replica["active"] += 1
    replica["kv"] += kv_of(s, request)
    s.pools[DECODE]["active"] += 1
    front = s.front[0]
    if r["generated"] > 0:  # It continues after an interruption.
        slots[i]["begun"] = r["entered"] - r["itl"]
    else:
        r["decode_wait"] = now - r["entered"]
        r["ttft"] = now + step_seconds(s, replica["active"]) - r["arrival"]
        front["prompts_done"] += r["prompt"]
        front["first_tokens"] += 1
        if r["ttft"] > s.rules[0]["target_ttft"]:
            front["late"] += 1
    plan_end(s, row, now)


@compiled
def end_decode(s: State, row: int, now: float) -> None:
    """Finish the decode request that ends first."""
    replica = s.replicas[row]
    slots = s.slots[row]
    request, begun = slots[0]["request"], slots[0]["begun"]
    r = s.requests[request]
    r["itl"] = (now - begun) / max(r["output"], 1.0)
    last = replica["active"] - 1
    end = slots[last]["end"]
    i = 0
    while True:
        child = 2 * i + 1
        if child >= last:
            break
        if child + 1 < last and slots[child + 1]["end"] < slots[child]["end"]:
            child += 1
        if slots[child]["end"] >= end:
            break
        slots[i] = slots[child]
        i = child
    slots[i] = slots[last]
    replica["active"] = last
    replica["kv"] -= kv_of(s, request)
    s.load[DECODE, row] -= weight(s, DECODE, request)
    s.pools[DECODE]["active"] -= 1
    s.pools[DECODE]["done"] += 1
    s.front[0]["outputs_done"] += r["output"]


@compiled
def fits(s: State, row: int, request: int) -> bool:
    """Whether a replica can start a request now."""
    replica = s.replicas[row]
    if replica["pool"] == PREFILL:
        return bool(replica["active"] == 0)
    enough = replica["kv"] + kv_of(s, request) <= s.rules[0]["kv_tokens"]
    return bool(replica["active"] < s.rules[0]["slots"] and enough)


@compiled
def begin(s: State, row: int, request: int, now: float) -> None:
    """Start a request on a replica that can take it."""
    if s.replicas[row]["pool"] == PREFILL:
        begin_prefill(s, row, request, now)
    else:
        begin_decode(s, row, request, now)


@compiled
def least_loaded(s: State, pool: int, request: int) -> int:
    """Return the replica with the least load that the dispatcher may choose, or -1."""
    load, push = s.load[pool], s.rules[0]["push"] == 1
    best, least = -1, np.inf
    for row in range(len(load)):
        if load[row] < least and (push or fits(s, row, request)):
            best, least = row, load[row]
            if least <= 0.0:
                break
    return best


@compiled
def feed(s: State, row: int, now: float) -> None:
    """Start waiting requests of the replica's own queue."""
    replica = s.replicas[row]
    while replica["head"] >= 0 and fits(s, row, replica["head"]):
        request = take(s, replica)
        s.pools[replica["pool"]]["waiting"] -= 1
        begin(s, row, request, now)


@compiled
def dispatch(s: State, pool: int, now: float) -> None:
    """Give the requests of the pool's queue to replicas, in order, as far as possible."""
    queue = s.pools[pool]
    while queue["head"] >= 0:
        row = least_loaded(s, pool, queue["head"])
        if row < 0:
            break
        request = take(s, queue)
        s.load[pool, row] += weight(s, pool, request)
        append(s, s.replicas[row], request)
        feed(s, row, now)


@compiled
def enqueue(s: State, pool: int, request: int, now: float) -> None:
    """Let a request wait in a pool, and start it if possible."""
    queue = s.pools[pool]
    s.requests[request]["entered"] = now
    queue["waiting"] += 1
    idle = queue["head"] < 0
    append(s, queue, request)
    if idle:
        dispatch(s, pool, now)


@compiled
def arrive(s: State, now: float) -> None:
    """Let the next request of the trace arrive at the frontends."""
    front, rules = s.front[0], s.rules[0]
    request = front["arrived"]
    front["arrived"] += 1
    front["prompts"] += s.requests[request]["prompt"]
    if rules["zero_rejects"] and (s.pools[PREFILL]["ready"] == 0 or s.pools[DECODE]["ready"] == 0):
        front["rejected"] += 1
        return
    s.pools[PREFILL]["arrived"] += 1
    s.pools[PREFILL]["work"] += s.requests[request]["service"]
    enqueue(s, PREFILL, request, now)


@compiled
def hand_over(s: State, request: int, now: float) -> None:
    """Let a request whose prefill is done arrive at the decode pool."""
    rules, decode = s.rules[0], s.pools[DECODE]
    decode["arrived"] += 1
    share = max(1.0, kv_of(s, request) * rules["slots"] / rules["kv_tokens"])
    decode["work"] += s.requests[request]["output"] * step_seconds(s, rules["slots"]) * share
    enqueue(s, DECODE, request, now)


@compiled
def happen(s: State, row: int, now: float) -> None:
    """Process the next event of a replica: it becomes ready, or a request of it ends."""
    replica = s.replicas[row]
    pool = replica["pool"]
    if replica["state"] == STARTING:
        replica["state"] = READY
        replica["at"] = now
        s.load[pool, row] = 0.0
        schedule(s, row, np.inf)
        count_ready(s, pool, now, 1)
    else:
        settle(s, row, now)
        if pool == PREFILL:
            request = replica["request"]
            replica["active"] = 0
            s.pools[PREFILL]["active"] -= 1
            s.pools[PREFILL]["done"] += 1
            s.load[PREFILL, row] -= weight(s, PREFILL, request)
            schedule(s, row, np.inf)
            hand_over(s, request, now)
        else:
            # Rounding must not leave the clock below the end that is due.
            replica["clock"] = max(replica["clock"], s.slots[row, 0]["end"])
            while replica["active"] > 0 and s.slots[row, 0]["end"] <= replica["clock"]:
                end_decode(s, row, now)
            plan_end(s, row, now)
        if replica["state"] == DRAINING:
            if replica["active"] == 0:
                replica["state"] = ENDED
                replica["ended"] = now
            return
        feed(s, row, now)
        if replica["active"] == 0:
            s.load[pool, row] = 0.0  # Without the rounding errors of sums and differences.
    dispatch(s, pool, now)


@compiled
def advance(s: State, until: float) -> None:
    """Process all events before ``until``, and account for the time up to it (if finite)."""
    front, count = s.front[0], len(s.requests)
    while True:
        row = s.heap[0]
        at = s.replicas[row]["key"]
        following = front["arrived"]
        if following < count and s.requests[following]["arrival"] <= at:
            if s.requests[following]["arrival"] >= until:
                break
            arrive(s, s.requests[following]["arrival"])
        elif at < until:
            happen(s, row, at)
        else:
            break
    if until < np.inf:
        for pool in (PREFILL, DECODE):
            count_ready(s, pool, until, 0)
            s.pools[pool]["kv"] = 0.0
        for row in range(len(s.replicas)):
            replica = s.replicas[row]
            if replica["active"] > 0:
                settle(s, row, until)
                if replica["state"] == READY:
                    s.pools[replica["pool"]]["kv"] += replica["kv"]


@compiled
def drain(s: State, row: int, now: float) -> None:
    """Remove a replica. It finishes its requests in service; others get those that wait at it."""
    replica = s.replicas[row]
    pool = replica["pool"]
    settle(s, row, now)
    s.load[pool, row] = np.inf
    if replica["state"] == READY:
        count_ready(s, pool, now, -1)
    replica["state"] = DRAINING
    if replica["active"] == 0:
        replica["state"] = ENDED
        replica["ended"] = now
        schedule(s, row, np.inf)
    while replica["head"] >= 0:
        append(s, s.pools[pool], take(s, replica))
    dispatch(s, pool, now)
