"""Results of the scaling benchmark that are written down."""

from __future__ import annotations

from benchmarks.scaling.store import Measured


def measured(attained: float, hours: float) -> Measured:
    return Measured(attained, attained, 1000 * attained / hours, 1, 2, hours, hours, hours, 1, 3, 0)
