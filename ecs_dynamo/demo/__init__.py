"""The demonstration: a real graph on one machine, operated step by step and measured."""

from ecs_dynamo.demo.run import run_demo

__all__ = ["run_demo"]
