"""Application of shared limits to what the policies of a graph's components decided."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from ecs_dynamo.model.conditions import ConditionReason
from ecs_dynamo.model.limits import SharedLimit
from ecs_dynamo.model.plan import Limitation
from ecs_dynamo.model.spec.scaling import ScalingSpec, StaticScaling
from ecs_dynamo.planning.scaling.arbitration.claims import Claim, Grant, claim_of, observe
from ecs_dynamo.planning.scaling.arbitration.split import arbitrate, pressure_on
from ecs_dynamo.planning.scaling.policy import ScalingInput, ScalingOutput
from ecs_dynamo.planning.scaling.stabilization import limited

LOST_SECONDS = 900.0
"""Seconds for which an observed limit may lie below the counts that are set: the time in which a
lost instance is replaced. Only after that are replicas given up."""
NOTABLE = 0.05
"""Difference of the shares of missed targets that a reason mentions."""


@dataclass(frozen=True, slots=True)
class Decided:
    """The inputs of a policy, and its output."""

    inputs: ScalingInput[ScalingSpec]
    output: ScalingOutput

    @property
    def is_static(self) -> bool:
        return isinstance(self.inputs.spec, StaticScaling)


def apply_limits(
    decided: Mapping[str, Decided],
    counts: Mapping[str, int],
    limits: Iterable[SharedLimit],
    now: float,
) -> dict[str, ScalingOutput]:
    """Return the outputs of ``decided``, by component, within the ``limits``.

    ``counts`` has the replicas of all components. Those of a component that no policy scales are
    taken as they are. ``now`` is in monotonic seconds.
    """
    outputs = {name: d.output for name, d in decided.items()}
    limits = tuple(limits)
    for name, item in decided.items():
        if not item.is_static and any(name in limit.gpus for limit in limits):
            state = outputs[name].state
            observed = observe(item.inputs, item.output, state.shared_limit)
            outputs[name] = replace(outputs[name], state=replace(state, shared_limit=observed))
    for limit in limits:
        scaled = {
            name: replace(decided[name], output=outputs[name])
            for name in limit.gpus
            if name in decided and not decided[name].is_static
        }
        if not scaled:
            continue
        claims = [
            _claim(scaled[name]) if name in scaled else _fixed(name, counts.get(name, 0))
            for name in sorted(limit.gpus)
        ]
        outputs |= _within(limit, claims, scaled, now)
    return outputs


def _claim(decided: Decided) -> Claim:
    output = decided.output
    return claim_of(decided.inputs, output, output.state.shared_limit, output.decision.desired)


def _fixed(name: str, count: int) -> Claim:
    return Claim(component=name, current=count, recommended=count, min=count)


def _within(
    limit: SharedLimit, claims: list[Claim], scaled: Mapping[str, Decided], now: float
) -> dict[str, ScalingOutput]:
    """Return the outputs of the ``scaled`` components within one limit."""
    exceeded = not limit.declared and not limit.fits({c.component: c.current for c in claims})
    since = {
        name: now if (at := item.output.state.shared_limit.exceeded_since) is None else at
        for name, item in scaled.items()
        if exceeded
    }
    may_lower = all(now - at >= LOST_SECONDS for at in since.values())
    grants = arbitrate(claims, limit, now, may_lower=may_lower)
    outputs: dict[str, ScalingOutput] = {}
    for claim in claims:
        name = claim.component
        if name not in scaled:
            continue
        output, grant = scaled[name].output, grants[name]
        shared = replace(
            output.state.shared_limit, gained_at=grant.gained_at, lost_at=grant.lost_at
        )
        if not limit.declared:
            shared = replace(shared, exceeded_since=since.get(name))
        decision = output.decision
        if grant.count < claim.recommended:
            text = _text(claim, claims, grants, limit, decision.demand)
            reason = ConditionReason.MAX_GPUS if limit.declared else ConditionReason.GPU_SLOTS
            decision = limited(decision, grant.count, text, Limitation(reason, text))
        outputs[name] = replace(
            output, decision=decision, state=replace(output.state, shared_limit=shared)
        )
    return outputs


def _text(
    claim: Claim,
    claims: list[Claim],
    grants: Mapping[str, Grant],
    limit: SharedLimit,
    demand: int | None,
) -> str:
    """Return by what a component is limited, and which others are served first, in words."""
    count, demanded = grants[claim.component].count, max(claim.recommended, demand or 0)
    text = f"limited to {count} of {demanded} replicas by {limit.name}"
    others = [c for c in claims if c is not claim and grants[c.component].count > 0]
    if not others:
        return text
    text += f", shared with {', '.join(c.component for c in others)}"
    worst = max(others, key=lambda c: c.missed)
    if worst.missed > claim.missed + NOTABLE:
        text += f": {worst.component} misses its target more ({worst.missed:.0%}"
        return f"{text} against {claim.missed:.0%})"
    own = pressure_on(claim, count)
    busiest = max(others, key=lambda c: pressure_on(c, grants[c.component].count))
    if pressure_on(busiest, grants[busiest.component].count) > own:
        text += f": {busiest.component} has more work per replica"
    return text
