"""The demonstration: the main job, for real, on one machine, step by step and measured."""

from ecs_dynamo.demo.run import run_demo

__all__ = ["run_demo"]
