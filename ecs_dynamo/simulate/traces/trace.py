"""The requests of a trace: arrivals and lengths."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Trace:
    """Requests in order of arrival: three arrays of equal length.

    ``arrivals`` are seconds from the start, ascending; ``prompts`` and ``outputs`` are tokens.
    """

    name: str
    arrivals: Array
    prompts: Array
    outputs: Array

    def __len__(self) -> int:
        return len(self.arrivals)

    @property
    def seconds(self) -> float:
        """Duration from the start to the last arrival."""
        return float(self.arrivals[-1]) if len(self) else 0.0

    def scaled(self, factor: int, seed: int = 0) -> Trace:
        """Return a trace with ``factor`` times the load.

        Each request is repeated ``factor`` times, up to 30 s later.
        """
        if factor <= 1:
            return self
        rng = np.random.default_rng(seed)
        shift = rng.uniform(0.0, 30.0, (factor, len(self)))
        shift[0] = 0.0
        return sorted_trace(
            f"{self.name} x{factor}",
            (self.arrivals + shift).ravel(),
            np.tile(self.prompts, factor),
            np.tile(self.outputs, factor),
        )


def sorted_trace(name: str, arrivals: Array, prompts: Array, outputs: Array) -> Trace:
    """Return a trace of requests in any order."""
    order = np.argsort(arrivals, kind="stable")
    return Trace(name, arrivals[order], prompts[order], outputs[order])
