"""Measured demand: one adapter per kind of source. `SignalReader` reads all sources of a graph."""

from ecs_dynamo.signals.registry import Measurement, SignalReader

__all__ = ["Measurement", "SignalReader"]
