"""The user's input: the graph file with its task definitions, and the daemon's settings."""

from ecs_dynamo.config.load import LoadedGraph, load_graph
from ecs_dynamo.config.schema import graph_schema
from ecs_dynamo.config.settings import Settings, load_settings

__all__ = ["LoadedGraph", "Settings", "graph_schema", "load_graph", "load_settings"]
