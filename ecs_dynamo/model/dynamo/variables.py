"""Environment variables that Dynamo 1.6.1 reads, and the address placeholder of its example."""

from __future__ import annotations

ETCD_VARIABLE = "ETCD_ENDPOINTS"
NATS_VARIABLE = "NATS_SERVER"
PLACEHOLDER = "IP_ADDRESS"
"""The word in Dynamo's public ECS example that a user replaces by an address."""
LEASE_VARIABLE = "ETCD_LEASE_TTL"
SYSTEM_PORT_VARIABLE = "DYN_SYSTEM_PORT"
ROUTING_ID_VARIABLE = "DYN_STABLE_ROUTING_ID"
NAMESPACE_VARIABLE = "DYN_NAMESPACE"
SUFFIX_VARIABLE = "DYN_NAMESPACE_WORKER_SUFFIX"
"""On workers: they register in ``{DYN_NAMESPACE}-{suffix}``."""
PREFIX_VARIABLE = "DYN_NAMESPACE_PREFIX"
"""On frontends: they serve every namespace that starts with it."""
PREFIX_VARIABLES = (PREFIX_VARIABLE, "DYN_NAMESPACE_PREFIX_STRICT")
DRAIN_VARIABLES = (
    "DYN_RUNTIME_GRACEFUL_SHUTDOWN_TIMEOUT_SECS",
    "DYN_GRACEFUL_SHUTDOWN_GRACE_PERIOD_SECS",
    "DYN_HTTP_GRACEFUL_SHUTDOWN_TIMEOUT_SECS",
)
"""How long a process may, after SIGTERM, finish its requests."""
