"""An autoregressive forecast, as Dynamo's planner makes it with ARIMA."""

from __future__ import annotations

import math
from dataclasses import dataclass

LEAST_POINTS = 5


@dataclass(slots=True)
class Arima:
    """ARIMA(1, 0, 0) with a constant, on logarithms, of all intervals so far.

    Dynamo's planner (1.6.1, core/load/predictors.py) predicts the last value until there are 5
    points, skips leading zeros, and then lets pmdarima's auto_arima choose an order, which stays;
    later points renew the coefficients. Where the order has neither p nor q, it fits log(1 + load).

    In favour of the peer, the order is (1, 0, 0) from the beginning. On five points of a Poisson
    process, auto_arima 2.1 mostly chooses (0, 0, 0), whose forecast is the mean of the whole
    history, however the load changes. The coefficients are those of least squares.
    """

    count: int = 0
    last: float = 0.0
    sum_x: float = 0.0
    sum_y: float = 0.0
    sum_xx: float = 0.0
    sum_xy: float = 0.0

    def predict(self, load: float) -> float:
        """Add the load of an interval and return the forecast for the next."""
        if load <= 0 and not self.count:
            return 0.0
        y, x = math.log1p(max(load, 0.0)), self.last
        self.count += 1
        self.last = y
        if self.count > 1:
            self.sum_x += x
            self.sum_y += y
            self.sum_xx += x * x
            self.sum_xy += x * y
        pairs = self.count - 1
        spread = pairs * self.sum_xx - self.sum_x**2
        if self.count < LEAST_POINTS or spread <= 1e-12:
            return max(load, 0.0)
        slope = (pairs * self.sum_xy - self.sum_x * self.sum_y) / spread
        slope = min(max(slope, -1.0), 1.0)
        constant = (self.sum_y - slope * self.sum_x) / pairs
        return max(0.0, math.expm1(constant + slope * y))
