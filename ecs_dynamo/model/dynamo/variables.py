"""Environment variables that Dynamo 1.6.1 reads, and the address placeholder of its example."""

from __future__ import annotations

ETCD_VARIABLE = "ETCD_ENDPOINTS"
NATS_VARIABLE = "NATS_SERVER"
PLACEHOLDER = "IP_ADDRESS"
"""The word in Dynamo's public ECS example that a user replaces by an address."""
LEASE_VARIABLE = "ETCD_LEASE_TTL"
SYSTEM_PORT_VARIABLE = "DYN_SYSTEM_PORT"
ROUTING_ID_VARIABLE = "DYN_STABLE_ROUTING_ID"
