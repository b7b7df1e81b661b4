"""Environment variables of an etcd cluster's members."""

from __future__ import annotations

LISTEN = "ETCD_LISTEN_PEER_URLS"
"""The container with this variable runs etcd."""


CLUSTER = "ETCD_INITIAL_CLUSTER"


STATE = "ETCD_INITIAL_CLUSTER_STATE"


GENERATION = "ETCD_INITIAL_CLUSTER_TOKEN"


ADVERTISE = "ETCD_INITIAL_ADVERTISE_PEER_URLS"


FROZEN = (ADVERTISE, CLUSTER, STATE, GENERATION)


NEW, EXISTING = "new", "existing"
