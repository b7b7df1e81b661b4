"""How many requests one replica works on at once, as planning needs it.

The number is 1 for prefill workers. For decode it is the declared one, or else learned and at most
what fits into the KV cache. A target of the inter-token latency (ITL) lowers both to the batch that
keeps it.

It is learned from saturation: while requests wait and all replicas are in use, the batch of a
replica is its capacity. Before that, a batch with which nothing waits is a lower bound. The assumed
capacity then grows slowly while replicas are well used and nothing waits, so that a value that is
too low costs little and does not stay. After a saturation it rests at what was observed, for longer
each time that a further growth ends at the same capacity.
"""

from __future__ import annotations

import math
from collections.abc import Collection

from ecs_dynamo.model.changed import replace
from ecs_dynamo.model.graph import DECODING_ROLES, Role
from ecs_dynamo.model.memory.scaling import ConcurrencyEstimate, Saturation
from ecs_dynamo.model.spec.scaling import SloScaling
from ecs_dynamo.planning.scaling.estimation.inter_token import batch_for, itl_at, observe_latency
from ecs_dynamo.planning.scaling.estimation.kv import kv_batch, observe_kv
from ecs_dynamo.planning.scaling.policy import Demand, ScalingInput

START = 8.0
"""Assumed where neither the engine's limit nor a batch is known: few engines handle less."""
GROWTH_PER_SECOND = math.log(1.05) / 60.0
FRONTEND = 100.0
"""Assumed for frontends, which only forward streams."""
USED = 0.4
FULLY_USED = 0.8
"""Shares of the assumed capacity in use from which its growth is explored, and explored at full
speed. Planning keeps margins, so that replicas are rarely full."""
MIN_BATCH = 0.1
"""Below this mean batch, the requests at the moment of a pass say nothing of its latency."""
SPREAD = 0.5
"""The batch for a target of the ITL is lower by this many times its square root: replicas do not
have the same number of requests, and most of the requests are to keep the target."""
WAITING_SHARE = 0.05
WAITING_SECONDS = 0.5
"""Requests wait if more than this share of those running, and more than arrive in this time, do:
each request waits for the transfer of its KV cache, and some for a busy replica beside idle ones.
"""
CLEAR_SHARE = 0.4
"""Share of these numbers up to which nothing waits; between both, nothing is learned."""
REPLICA_SECONDS = 60.0
"""Time constant with which replicas that stop no longer count: they drain, and still run requests.
"""
SINK_SECONDS = 120.0
"""Time constant with which the capacity follows smaller batches of saturated replicas."""
SAME = 0.75
"""Saturation at this share of the known capacity or more confirms it."""
PROBE = 1.15
"""After a rest the growth goes this far beyond the capacity, and then rests again."""
REST_SECONDS = 600.0
REST_FACTOR = 4.0
MAX_REST_SECONDS = 86_400.0
"""After a saturation the growth rests for `REST_SECONDS` of use, `REST_FACTOR` times as long after
each confirmation."""


def learn_concurrency(
    estimate: ConcurrencyEstimate | None, inputs: ScalingInput[SloScaling], demand: Demand
) -> ConcurrencyEstimate:
    """Return the estimate after one more pass."""
    now, limit = inputs.now, inputs.engine_limit
    if estimate is None:
        estimate = ConcurrencyEstimate(now - 1.0, _start(inputs), limit)
        estimate = replace(estimate, replicas=float(inputs.ready))
    elapsed = now - estimate.at
    if elapsed <= 0 or demand.partial or not DECODING_ROLES & inputs.roles:
        return estimate
    if limit != estimate.limit:  # The command line was changed.
        estimate = replace(estimate, limit=limit, assumed=_start(inputs), saturation=None)
    before = estimate.replicas * math.exp(-elapsed / REPLICA_SECONDS)
    replicas = max(float(inputs.ready), before)
    if demand.queue is None or demand.waiting is None or inputs.ready == 0:
        return replace(estimate, at=now, replicas=replicas, batch=None, waiting=False)
    running = max(demand.queue - demand.waiting, 0.0)
    batch = running / replicas
    previous = estimate.batch
    waiting = _requests_wait(demand, running)
    mean = batch if previous is None else 0.5 * (batch + previous)
    latency = estimate.latency
    if demand.itl_seconds is not None and demand.itl_seconds > 0 and mean >= MIN_BATCH:
        # A replica that decodes has a batch of at least 1, although the mean may be smaller.
        latency = observe_latency(latency, max(mean, 1.0), demand.itl_seconds, now)
    kv = observe_kv(estimate.kv, demand, None if waiting else batch, now)
    crowded = 0
    if waiting:
        crowded = estimate.crowded if estimate.waiting else inputs.ready
    sustained = waiting and estimate.waiting
    estimate = replace(
        estimate,
        at=now,
        replicas=replicas,
        batch=batch,
        waiting=waiting,
        crowded=crowded,
        latency=latency,
        kv=kv,
    )
    if sustained and running >= 1:
        # Requests that wait at a replica stay there (push dispatch): replicas that have become
        # ready since are not full, so that their batch is only a lower bound.
        if inputs.ready <= crowded or batch >= estimate.assumed:
            return _saturated(estimate, batch, elapsed)
        return estimate
    if not _requests_wait(demand, running, share=CLEAR_SHARE):
        return _explored(estimate, batch, elapsed)
    return estimate


def _start(inputs: ScalingInput[SloScaling]) -> float:
    return inputs.engine_limit if inputs.engine_limit is not None else START


def _requests_wait(demand: Demand, running: float, share: float = 1.0) -> bool:
    """Whether more requests wait than ``share`` of what is usual without saturation."""
    waiting, rate = demand.waiting or 0.0, demand.arrival_rate or 0.0
    return waiting > max(1.0, share * max(WAITING_SHARE * running, WAITING_SECONDS * rate))


def _saturated(estimate: ConcurrencyEstimate, batch: float, elapsed: float) -> ConcurrencyEstimate:
    """Return the estimate after a pass in which requests waited, as in the one before."""
    batch = max(batch, 1.0)
    known = estimate.saturation
    if known is None:
        return replace(estimate, assumed=batch, saturation=Saturation(estimate.at, batch))
    if batch >= known.batch:
        capacity = batch
    else:
        weight = 1.0 - math.exp(-elapsed / SINK_SECONDS)
        capacity = known.batch + weight * (batch - known.batch)
    ended = estimate.assumed > known.batch
    confirmed = known.confirmed
    if ended:  # A growth has ended: at the same capacity, or at another.
        confirmed = confirmed + 1 if SAME <= batch / known.batch <= 1.0 / SAME else 1
    saturation = Saturation(estimate.at, capacity, confirmed)
    return replace(estimate, assumed=capacity, saturation=saturation)


def _explored(estimate: ConcurrencyEstimate, batch: float, elapsed: float) -> ConcurrencyEstimate:
    """Return the estimate after a pass in which nothing waited."""
    known, assumed = estimate.saturation, estimate.assumed
    if batch > assumed:  # Observed: the capacity is at least this large.
        contradicted = known is not None and batch > PROBE * known.batch
        return replace(estimate, assumed=batch, saturation=None if contradicted else known)
    if batch <= USED * assumed:
        return estimate
    most = math.inf if estimate.limit is None else estimate.limit
    if known is not None:
        known, reach = _rested(known, assumed, elapsed)
        most = min(most, reach)
    speed = min((batch / assumed - USED) / (FULLY_USED - USED), 1.0)
    grown = min(assumed * math.exp(GROWTH_PER_SECOND * speed * elapsed), most)
    return replace(estimate, assumed=max(grown, assumed), saturation=known)


def _rested(known: Saturation, assumed: float, elapsed: float) -> tuple[Saturation, float]:
    """Return a saturation after a further time of use, and how far growth may go beside it."""
    rest = _rest_seconds(known)
    known = replace(known, quiet=known.quiet + elapsed)
    if known.quiet < rest:
        return known, known.batch
    if known.quiet >= 2.0 * rest:  # Nothing has contradicted the growth to what is assumed.
        known = replace(known, batch=max(known.batch, assumed), quiet=rest)
    return known, PROBE * known.batch


def _rest_seconds(known: Saturation) -> float:
    return min(REST_SECONDS * REST_FACTOR ** (known.confirmed - 1), MAX_REST_SECONDS)


def planning_concurrency(
    estimate: ConcurrencyEstimate | None, spec: SloScaling, roles: Collection[Role]
) -> float:
    """Return the requests that a replica works on at once while it keeps its targets."""
    if not DECODING_ROLES & set(roles):
        default = FRONTEND if Role.FRONTEND in roles else 1.0
        return spec.concurrency if spec.concurrency is not None else default
    by_latency = None
    if spec.target_itl_seconds is not None:
        latency = estimate.latency if estimate is not None else None
        batch = batch_for(latency, spec.target_itl_seconds, spec.itl_model)
        if batch is not None and math.isfinite(batch):
            by_latency = max(batch - SPREAD * math.sqrt(batch), 1.0)
    if spec.concurrency is not None:
        return spec.concurrency if by_latency is None else min(spec.concurrency, by_latency)
    bounds = [by_latency, *_capacity_bounds(estimate, spec, explored=by_latency is None)]
    return max(min((bound for bound in bounds if bound is not None), default=START), 1.0)


def _capacity_bounds(
    estimate: ConcurrencyEstimate | None, spec: SloScaling, *, explored: bool
) -> list[float | None]:
    """Return the bounds by the engine and its memory; None where one is unknown.

    A capacity that is only ``explored`` and was never reached does not count beside a target for
    the ITL, which explores faster.
    """
    if estimate is None:
        return []
    capacity = estimate.assumed if explored or estimate.saturation is not None else estimate.limit
    return [capacity, kv_batch(estimate.kv, spec.kv_tokens)]


def seconds_factor(
    estimate: ConcurrencyEstimate | None,
    spec: SloScaling,
    batch_now: float,
    batch_planned: float,
) -> float:
    """Return how much longer a request takes at the planned batch than at the present one.

    1 where the relation of the batch to the ITL is unknown.
    """
    latency = estimate.latency if estimate is not None else None
    now = itl_at(latency, batch_now, spec.itl_model)
    planned = itl_at(latency, batch_planned, spec.itl_model)
    if now is None or planned is None or now <= 0 or planned <= 0:
        return 1.0
    return planned / now
