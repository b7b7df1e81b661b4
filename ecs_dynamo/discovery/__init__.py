"""Clients of the replicas themselves: health checks, and the workers registered with Dynamo."""

from ecs_dynamo.discovery.etcd import read_registrations, watch_instances
from ecs_dynamo.discovery.nats import watch_nats
from ecs_dynamo.discovery.probe import probe, probe_all

__all__ = ["probe", "probe_all", "read_registrations", "watch_instances", "watch_nats"]
