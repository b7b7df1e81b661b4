"""A scaler to compare with: a fixed fleet."""

from __future__ import annotations

from dataclasses import dataclass

from ecs_dynamo.simulate.scalers import View


@dataclass(slots=True)
class Static:
    """A fixed count."""

    count: int

    def decide(self, view: View) -> int:
        del view
        return self.count
