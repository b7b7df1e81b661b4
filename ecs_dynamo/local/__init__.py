"""A local ECS: the ECS wire protocol, with containers as processes. Knows nothing of the core."""

from ecs_dynamo.local.server import LocalEcs, serve

__all__ = ["LocalEcs", "serve"]
