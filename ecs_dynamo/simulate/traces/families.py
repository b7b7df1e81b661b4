"""Two families of generated traces that share no seed and no parameter.

Constants of policies and settings of peers are chosen on `TRAINING`. Results are reported on
`REPORTED`, so that nothing is tuned on what is reported.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ecs_dynamo.model.errors import InputError, Problem
from ecs_dynamo.simulate.traces.shapes.base import Shape
from ecs_dynamo.simulate.traces.shapes.reported import SHAPES as REPORTED_SHAPES
from ecs_dynamo.simulate.traces.shapes.training import SHAPES as TRAINING_SHAPES
from ecs_dynamo.simulate.traces.trace import Trace


@dataclass(frozen=True, slots=True)
class Family:
    """Shapes by name, and the seeds that they are used with."""

    name: str
    shapes: Mapping[str, Shape]
    seeds: range

    def generate(self, shape: str, seed: int) -> Trace:
        """Return a trace. Raises InputError for an unknown shape, or a seed of another family."""
        if shape not in self.shapes:
            known = ", ".join(self.shapes)
            raise InputError(
                Problem(f"there is no generated trace {shape}", remedy=f"write one of {known}")
            )
        if seed not in self.seeds:
            remedy = f"choose {self.seeds.start} to {self.seeds.stop - 1}"
            raise InputError(
                Problem(f"seed {seed} is not of the {self.name} family", remedy=remedy)
            )
        return self.shapes[shape].generate(seed)


TRAINING = Family("training", {shape.name: shape for shape in TRAINING_SHAPES}, range(1, 100))
REPORTED = Family("reported", {shape.name: shape for shape in REPORTED_SHAPES}, range(1000, 2000))
GENERATORS: Mapping[str, Callable[[int], Trace]] = {
    name: shape.generate for name, shape in REPORTED.shapes.items()
}
"""Generators of the reported shapes by name; each takes any seed."""
