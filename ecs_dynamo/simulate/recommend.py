"""Settings of the slo policy for a trace of one's own: tried out, not guessed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

from ecs_dynamo.model.spec.scaling import ScalingSpec
from ecs_dynamo.simulate.compare import Setting, best, own_spec, run_own
from ecs_dynamo.simulate.run import Result

MISSES = (0.0005, 0.002, 0.005, 0.01, 0.02, 0.05)
HEADROOMS = (0.5, 1.0, 1.5)
WINDOWS = (120.0, 300.0, 600.0)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A setting that was tried and what it came to."""

    spec: ScalingSpec
    result: Result


def candidates(setting: Setting, spec: ScalingSpec | None = None) -> Iterator[Candidate]:
    """Each combination of the tuned fields, the others as in ``spec`` (or the defaults)."""
    base = spec or own_spec(setting, "slo")
    for miss, headroom, window in product(MISSES, HEADROOMS, WINDOWS):
        update = {
            "policy": "slo",
            "miss": miss,
            "headroom": headroom,
            "scale_down_stabilization_seconds": window,
        }
        tried = base.model_copy(update=update)
        name = f"slo miss={miss:g} headroom={headroom:g} window={window:g}"
        yield Candidate(tried, run_own(setting, tried, name))


def frontier(tried: Sequence[Candidate]) -> list[Candidate]:
    """Those that no other beats in both attainment and GPU hours, cheapest first."""
    kept: list[Candidate] = []
    for one in sorted(tried, key=lambda c: (c.result.gpu_hours, -c.result.attainment)):
        if not kept or one.result.attainment > kept[-1].result.attainment:
            kept.append(one)
    return kept


def recommend(tried: Sequence[Candidate], goal: float) -> Candidate:
    """The cheapest that attains ``goal``; where none does, the one that comes nearest."""
    chosen = best([c.result for c in tried], goal)
    return next(c for c in tried if c.result is chosen)


def as_yaml(spec: ScalingSpec) -> str:
    """What to write under ``scaling`` in the graph file."""
    return (
        "scaling:\n"
        f"  min: {spec.min}\n"
        f"  max: {spec.max}\n"
        "  policy: slo\n"
        f"  targetQueueSeconds: {spec.target_queue_seconds:g}\n"
        f"  miss: {spec.miss:g}\n"
        f"  headroom: {spec.headroom:g}\n"
        f"  scaleDownStabilizationSeconds: {spec.scale_down_stabilization_seconds:g}\n"
        f"  coldStartSeconds: {spec.cold_start_seconds:g}\n"
    )
