"""Conditions: typed statements about a graph or a component, and their reason words."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class ConditionType(StrEnum):
    """Typed statements about a graph or component."""

    READY = "Ready"
    PROGRESSING = "Progressing"
    ENDPOINTS_STALE = "EndpointsStale"
    SIGNAL_STALE = "SignalStale"
    CAPACITY_SHORT = "CapacityShort"
    SCALING_LIMITED = "ScalingLimited"
    """The demand asks for more replicas than a bound or a shared limit allows."""
    DEGRADED = "Degraded"
    UNROUTED = "Unrouted"
    """Workers are registered, and no frontend routes to them."""
    RECONCILE_FAILED = "ReconcileFailed"
    """Set by the daemon itself: a pass raised, so the other conditions are not current."""


class ConditionReason(StrEnum):
    """Reason words of the conditions that planning sets. Users read and match them."""

    # Ready
    ALL_READY = "AllReady"
    NOT_READY = "NotReady"
    CONVERGED = "Converged"
    NOT_CONVERGED = "NotConverged"
    # Progressing
    WAITING = "Waiting"
    SETTLED = "Settled"
    # Degraded: nothing is wrong
    FINE = "Fine"
    # Degraded: an obstacle keeps the component from being planned
    NOT_OBSERVED = "NotObserved"
    CLUSTER_MISSING = "ClusterMissing"
    FOREIGN_SERVICE = "ForeignService"
    SERVICE_DRAINING = "ServiceDraining"
    LAUNCH_TYPE_FIXED = "LaunchTypeFixed"
    # Degraded: a rollout failed
    CRASH_LOOP = "CrashLoop"
    START_FAILED = "StartFailed"
    HEALTH_CHECK_FAILED = "HealthCheckFailed"
    NEVER_REGISTERED = "NeverRegistered"
    NO_MODEL_LISTED = "NoModelListed"
    NO_ANSWER = "NoAnswer"
    NOT_RUNNING = "NotRunning"
    CANARY_FAILED = "CanaryFailed"
    ROLLED_BACK = "RolledBack"
    ROLLOUT_FAILED = "RolloutFailed"
    # Degraded: AWS rejected an action
    REJECTED = "Rejected"
    # Degraded: replicas of a good revision no longer serve
    REPLICA_HANGS = "ReplicaHangs"
    REGISTRATION_LOST = "RegistrationLost"
    REPLICA_LOST = "ReplicaLost"
    SERVES_NOBODY = "ServesNobody"
    # Degraded, for the graph: the daemon has no access
    UNREACHABLE = "Unreachable"
    ACCESS_REFUSED = "AccessRefused"
    # Degraded, for the graph: other workers register where its frontends look for its own
    NAMESPACE_CLASH = "NamespaceClash"
    # CapacityShort
    PLACED = "Placed"
    NO_PLACE = "NoPlace"
    RAISING = "Raising"
    DOES_NOT_FIT = "DoesNotFit"
    # ScalingLimited
    AT_MAXIMUM = "AtMaximum"
    GPU_SLOTS = "GpuSlots"
    MAX_GPUS = "MaxGpus"
    WITHIN_LIMITS = "WithinLimits"
    # EndpointsStale
    MOVED = "Moved"
    CURRENT = "Current"
    # SignalStale
    STALE = "Stale"
    FRESH = "Fresh"
    # Unrouted
    CARD_DIFFERS = "CardDiffers"
    ROUTED = "Routed"


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition that holds (``status`` True) or not. Without ``component`` it is the graph's.

    ``reason`` is a `ConditionReason`, except for RECONCILE_FAILED, and for a service that another
    version of the daemon put on hold. ``since`` is the time of the last change of ``status``, in
    UTC seconds since the epoch.
    """

    type: ConditionType
    status: bool
    reason: str
    message: str
    since: float
    component: str | None = None
