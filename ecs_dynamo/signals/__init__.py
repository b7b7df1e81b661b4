"""Demand signals: one adapter per kind of source; `SignalReader` reads all of them."""

from ecs_dynamo.signals.registry import Measurement, SignalReader

__all__ = ["Measurement", "SignalReader"]
