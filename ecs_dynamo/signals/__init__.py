"""Measured demand: one adapter a source, each a value with its time; `Meter` reads them all."""

from ecs_dynamo.signals.registry import Measurement, Meter

__all__ = ["Measurement", "Meter"]
