"""The cases of the benchmark: a trace with a seed, a cold start and an option of the fleet."""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from ecs_dynamo.simulate.compare import Setting, peak_counts
from ecs_dynamo.simulate.fleet import FleetSpec
from ecs_dynamo.simulate.traces.families import REPORTED, TRAINING, Family
from ecs_dynamo.simulate.traces.reading import load_trace
from ecs_dynamo.simulate.traces.trace import Trace

GOAL = 0.99
"""Share of the requests that should wait at most `TARGET` seconds in the queues."""
TARGET = 2.0
ITL = 0.04
"""Target for the mean time per output token of a request, in seconds, for goodput."""
TTFT = 5.0
"""Target for the time to the first token, in seconds, for goodput."""
LONG_PROMPTS = {"growing-prompts": 9.0, "code-assistant": 12.0, "mooncake": 35.0}
"""The same for traces whose prompts alone take longer to prefill than `TTFT`."""
COLD_STARTS = (60.0, 210.0, 480.0)
MAIN_COLD_START = 210.0
PLAIN, LIMITED = "plain", "limited"
LIMITED_SHARE = 0.7
"""GPU slots of a limited fleet as a share of the fleet that the busiest five minutes need."""
SHARED_TRACES = {
    "azure": ("azure-2023-conv.csv.gz", 6),
    "mooncake": ("mooncake-conversation.csv.gz", 1),
}
"""File and factor of the load of the public traces in the folder ECS_DYNAMO_TRACES."""
FAMILIES = {family.name: family for family in (TRAINING, REPORTED)}


@dataclass(frozen=True, slots=True, order=True)
class Case:
    """The trace and the fleet that all policies of a comparison share.

    ``family`` is that of the shape, or "shared" for the public traces. ``number`` counts the seeds
    of the family: it determines a generated trace and the random cold starts of the fleet.
    """

    family: str
    shape: str
    number: int
    cold_start: float = MAIN_COLD_START
    option: str = PLAIN

    @property
    def seed(self) -> int:
        return FAMILIES.get(self.family, REPORTED).seeds.start + self.number

    def setting(self) -> Setting:
        """Return the trace, the fleet and the goal."""
        setting = Setting(
            load(self.family, self.shape, self.seed),
            FleetSpec(cold_start=self.cold_start),
            target=TARGET,
            target_ttft=LONG_PROMPTS.get(self.shape, TTFT),
            target_itl=ITL,
            miss=1.0 - GOAL,
            seed=self.seed,
            history=False,
        )
        return limited(setting) if self.option == LIMITED else setting


def limited(setting: Setting) -> Setting:
    """Return the setting with GPU slots for `LIMITED_SHARE` of the fleet that its peak needs."""
    slots = max(2, int(LIMITED_SHARE * sum(peak_counts(setting))))
    return dataclasses.replace(setting, fleet=dataclasses.replace(setting.fleet, gpu_slots=slots))


def shared_shapes() -> tuple[str, ...]:
    """Return the public traces that are available."""
    return tuple(SHARED_TRACES) if os.environ.get("ECS_DYNAMO_TRACES") else ()


@lru_cache(maxsize=2)
def load(family: str, shape: str, seed: int) -> Trace:
    """Generate or read a trace. The public traces are the same for each seed."""
    generated: Family | None = FAMILIES.get(family)
    if generated is not None:
        return generated.generate(shape, seed)
    name, factor = SHARED_TRACES[shape]
    return load_trace(Path(os.environ["ECS_DYNAMO_TRACES"]) / name).scaled(factor)
