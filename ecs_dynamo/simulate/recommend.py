"""Recommendation of settings of the slo policy for a trace, by trying many of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ecs_dynamo.model.spec.scaling import ScalingSpec, SloScaling
from ecs_dynamo.simulate.compare import Setting, best, default_spec, run_policy
from ecs_dynamo.simulate.run import Result

TUNED: Mapping[str, tuple[float, ...]] = {
    "miss": (0.0005, 0.002, 0.005, 0.01, 0.02, 0.05),
    "headroom": (0.5, 1.0, 1.5),
    "scale_down_stabilization_seconds": (120.0, 300.0, 600.0),
}
"""The fields of the policy that are tuned, in this order, with the values that are tried."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """Settings that were tried, and their result."""

    spec: SloScaling
    result: Result


def candidates(setting: Setting, spec: ScalingSpec | None = None) -> Iterator[Candidate]:
    """Run settings of the tuned fields; the others are those of ``spec`` or defaults.

    The search goes in stages, so that it stays short: shares of misses first, then headrooms and
    windows beside the best of them.
    """
    base = _slo(spec or default_spec(setting, "slo"))
    tried: dict[SloScaling, Candidate] = {}
    for name, values in TUNED.items():
        for value in values:
            candidate = base.model_copy(update={name: value})
            if candidate not in tried:
                label = (
                    f"slo miss={candidate.miss:g} headroom={candidate.headroom:g} "
                    f"window={candidate.scale_down_stabilization_seconds:g}"
                )
                result = run_policy(setting, candidate, label)
                tried[candidate] = Candidate(candidate, result)
                yield tried[candidate]
        base = recommend(list(tried.values()), 1.0 - setting.miss).spec


def _slo(spec: ScalingSpec) -> SloScaling:
    """Return ``spec`` for the slo policy, keeping the parameters that its policy shares."""
    if isinstance(spec, SloScaling):
        return spec
    shared = type(spec).model_fields.keys() & SloScaling.model_fields.keys() - {"policy"}
    return SloScaling(**{name: getattr(spec, name) for name in shared})


def frontier(tried: Sequence[Candidate]) -> list[Candidate]:
    """Return the Pareto frontier of attainment and GPU hours, cheapest first."""
    best_so_far: list[Candidate] = []
    for candidate in sorted(tried, key=lambda c: (c.result.gpu_hours, -c.result.attainment)):
        if not best_so_far or candidate.result.attainment > best_so_far[-1].result.attainment:
            best_so_far.append(candidate)
    return best_so_far


def recommend(tried: Sequence[Candidate], goal: float) -> Candidate:
    """Return the cheapest candidate that attains ``goal``, or the nearest to it if none does."""
    result = best([c.result for c in tried], goal)
    return next(c for c in tried if c.result is result)


def as_yaml(spec: SloScaling) -> str:
    """Return the block ``scaling`` for the graph file."""
    return (
        "scaling:\n"
        f"  min: {spec.min}\n"
        f"  max: {spec.max}\n"
        "  policy: slo\n"
        f"  targetQueueSeconds: {spec.target_queue_seconds:g}\n"
        f"{_optional('targetTtftSeconds', spec.target_ttft_seconds)}"
        f"{_optional('targetItlSeconds', spec.target_itl_seconds)}"
        f"  miss: {spec.miss:g}\n"
        f"  headroom: {spec.headroom:g}\n"
        f"  scaleDownStabilizationSeconds: {spec.scale_down_stabilization_seconds:g}\n"
        f"  coldStartSeconds: {spec.cold_start_seconds:g}\n"
    )


def _optional(key: str, value: float | None) -> str:
    return "" if value is None else f"  {key}: {value:g}\n"
