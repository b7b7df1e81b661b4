"""Environment variables of the members of an etcd cluster (etcd's configuration options)."""

from __future__ import annotations

LISTEN = "ETCD_LISTEN_PEER_URLS"
"""The container that has this variable is the one that runs etcd."""


CLUSTER = "ETCD_INITIAL_CLUSTER"


STATE = "ETCD_INITIAL_CLUSTER_STATE"


GENERATION = "ETCD_INITIAL_CLUSTER_TOKEN"


ADVERTISE = "ETCD_INITIAL_ADVERTISE_PEER_URLS"


FROZEN = (ADVERTISE, CLUSTER, STATE, GENERATION)


NEW, EXISTING = "new", "existing"
