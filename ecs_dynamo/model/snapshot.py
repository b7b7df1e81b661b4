"""What was observed in one pass: frozen and time-stamped.

Where a look failed the value is `Unknown`, never an empty one: planning treats unknown as
"hands off", so that a throttled call can not be mistaken for a service that is gone.
Times are UTC seconds since the epoch, by AWS's clock, unless stated otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeVar, Union

from ecs_dynamo.model.capacity import AutoScalingGroup, CapacityProvider
from ecs_dynamo.model.dynamo.discovery import (
    EtcdView,
    NoAnswer,
    Registration,
    WorkerPage,
)
from ecs_dynamo.model.ecs.events import Notice
from ecs_dynamo.model.graph import (
    TAG_FINGERPRINT,
    JsonObject,
    Role,
)
from ecs_dynamo.model.service import Service

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Unknown:
    """It could not be observed, and why."""

    reason: str


Observed = Union[T, Unknown]  # noqa: UP007 (a generic alias of a union needs Union in 3.11)


@dataclass(frozen=True, slots=True)
class PortBinding:
    """A container port and the host port it is reachable at."""

    container_port: int
    host_port: int


@dataclass(frozen=True, slots=True)
class Container:
    """One container of a task. ``health`` is HEALTHY, UNHEALTHY or UNKNOWN (no health check)."""

    name: str
    last_status: str
    health: str = "UNKNOWN"
    exit_code: int | None = None
    reason: str | None = None
    bindings: tuple[PortBinding, ...] = ()


@dataclass(frozen=True, slots=True)
class Task:
    """One ECS task of a component.

    ``private_ip``: the ENI's address (awsvpc) or the container instance's (host, bridge);
    None until AWS has told it. ``health`` is the task's aggregated container health.
    """

    arn: str
    task_definition_arn: str
    last_status: str
    desired_status: str
    health: str = "UNKNOWN"
    private_ip: str | None = None
    container_instance_arn: str | None = None
    containers: tuple[Container, ...] = ()
    created_at: float | None = None
    started_at: float | None = None
    stopped_at: float | None = None
    stop_code: str | None = None
    stopped_reason: str | None = None
    protected_until: float | None = None
    deployment: str | None = None
    """Id of the deployment that started it, where ECS tells."""
    capacity_provider: str | None = None
    address_unknown: str | None = None
    """Why ``private_ip`` is not known although the task has an address: its container instance, or
    that instance's address, could not be observed."""

    @property
    def awaits_capacity(self) -> bool:
        """It waits for an instance that its capacity provider is to add."""
        return (
            self.last_status == "PROVISIONING"
            and self.container_instance_arn is None
            and self.capacity_provider not in (None, "FARGATE", "FARGATE_SPOT")
        )

    @property
    def is_running(self) -> bool:
        """RUNNING, not asked to stop, and not failing its health check."""
        return (
            self.last_status == "RUNNING"
            and self.desired_status == "RUNNING"
            and self.health != "UNHEALTHY"
        )


@dataclass(frozen=True, slots=True)
class Revision:
    """A task definition revision. ``content`` is the RegisterTaskDefinition shape."""

    arn: str
    family: str
    number: int
    content: JsonObject
    tags: Mapping[str, str] = field(default_factory=dict)
    registered_at: float | None = None
    active: bool = True
    """Not deregistered: a service can be set to it."""

    @property
    def fingerprint(self) -> str | None:
        return self.tags.get(TAG_FINGERPRINT)


@dataclass(frozen=True, slots=True)
class ContainerInstance:
    """An EC2 instance in a cluster. GPU counts are slots; ``used_ports`` are reserved TCP ports.

    ``tasks`` counts those that are wanted or starting on it, ``daemons`` how many of them belong to
    services of the DAEMON strategy. ``attributes`` are ECS's and the user's own, as placement
    expressions know them.
    """

    arn: str
    ec2_instance_id: str
    status: str
    agent_connected: bool
    private_ip: str | None
    instance_type: str | None = None
    availability_zone: str | None = None
    gpus: int = 0
    gpus_free: int = 0
    cpu_free: int = 0
    memory_free: int = 0
    used_ports: frozenset[int] = frozenset()
    cpu: int = 0
    memory: int = 0
    tasks: int = 0
    daemons: int = 0
    attributes: Mapping[str, str] = field(default_factory=dict)
    capacity_provider: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    agent_version: str = ""


@dataclass(frozen=True, slots=True)
class Probe:
    """The answer of one replica to a health check at ``url``.

    For a frontend ``models`` lists what it serves (``/v1/models``); for others it is empty.
    ``refused``: the server is there, but did not let the daemon in. ``unreachable``: its host
    neither accepted nor refused a connection in time. ``silent``: its host does, but no
    complete answer came in time.
    """

    url: str
    healthy: bool
    detail: str = ""
    models: tuple[str, ...] = ()
    refused: bool = False
    unreachable: bool = False
    silent: bool = False


class SignalKind(StrEnum):
    """The quantity that a signal measures."""

    QUEUE_DEPTH = "queue_depth"
    """Requests of the component that are not done."""
    IN_FLIGHT = "in_flight"
    """Requests of the whole graph that are not done."""
    ARRIVAL_RATE = "arrival_rate"
    COMPLETION_RATE = "completion_rate"
    PROMPT_RATE = "prompt_token_rate"
    OUTPUT_RATE = "output_token_rate"
    DESIRED_REPLICAS = "desired_replicas"
    """The replica count that Dynamo's planner asks for."""
    REDELIVERED = "redelivered"
    """Messages that JetStream has delivered more than once."""


@dataclass(frozen=True, slots=True)
class Signal:
    """A measured demand for a component, e.g. kind ``queue_depth``, unit ``requests``.

    ``observed_at`` is in monotonic seconds.

    ``max_age`` is the age up to which the source is believed, in seconds, where it is always late
    by more than the component's own limit. ``partial``: some of those asked gave no usable answer,
    so the demand may be larger.
    """

    component: str
    kind: SignalKind
    value: float
    unit: str
    observed_at: float
    source: str = ""
    max_age: float = 0.0
    partial: bool = False

    def age(self, now: float) -> float:
        """Seconds since it was observed."""
        return max(0.0, now - self.observed_at)


@dataclass(frozen=True, slots=True)
class ComponentSnapshot:
    """What was seen of one component.

    ``service`` is None where ECS said that there is none. ``revision`` is the latest ACTIVE
    revision of the component's family, ``revisions`` those that its service and tasks refer to
    (by ARN). ``stopped`` are recently stopped tasks. ``probes`` maps a task ARN to its answer
    per role; no entry means that it was not asked.
    """

    service: Observed[Service | None]
    tasks: Observed[tuple[Task, ...]] = ()
    stopped: Observed[tuple[Task, ...]] = ()
    revision: Observed[Revision | None] = None
    revisions: Mapping[str, Revision] = field(default_factory=dict)
    probes: Mapping[tuple[str, Role], Probe] = field(default_factory=dict)
    surplus: tuple[str, ...] = ()
    """ARNs of old revisions of the graph's own that are more than are kept, oldest first."""
    protection_unknown: str | None = None
    """Why it is not known which of the tasks are protected."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One complete look. ``orphans`` carry the graph's tag but the graph declares them no more.

    ``external`` holds the probes of external endpoints by URL. ``registrations`` are read from
    the etcd that the ready infrastructure replica (or external endpoint) serves. ``busy`` is the
    work in hand by worker (lease id): prefill tokens and decode blocks; ``served`` are the workers
    that a frontend has had an answer from.
    """

    graph: str
    observed_at: float
    components: Mapping[str, ComponentSnapshot]
    clusters: Mapping[str, Observed[bool]] = field(default_factory=dict)
    container_instances: Mapping[str, Observed[tuple[ContainerInstance, ...]]] = field(
        default_factory=dict
    )
    orphans: Observed[tuple[Service, ...]] = ()
    registrations: Observed[tuple[Registration, ...]] = ()
    pages: Mapping[str, WorkerPage | NoAnswer] = field(default_factory=dict)
    """Address of a worker's system port (``http://ADDRESS:PORT``) -> what its page says."""
    routed: Mapping[str, frozenset[int]] = field(default_factory=dict)
    """URL of a frontend -> lease ids of the workers that its metrics name; it names none before
    its first request."""
    external: Mapping[str, Probe] = field(default_factory=dict)
    etcd_views: Mapping[str, EtcdView] = field(default_factory=dict)
    """Task ARN -> what the server says; for members of an etcd cluster that answered."""
    signals: tuple[Signal, ...] = ()
    busy: Observed[Mapping[int, float]] = Unknown("not measured")
    served: Observed[frozenset[int]] = Unknown("not measured")
    notices: Mapping[str, Notice] = field(default_factory=dict)
    """EC2 instance id -> the notice that told of its end."""
    providers: Observed[Mapping[str, CapacityProvider]] = field(default_factory=dict)
    """Declared capacity providers by name, and all those of clusters with declared Auto Scaling
    groups; one that is left out does not exist."""
    groups: Observed[Mapping[str, AutoScalingGroup]] = field(default_factory=dict)
    """Declared Auto Scaling groups by name; one that is left out does not exist."""


RECENT_SECONDS = 600.0
"""A failure of longer ago does not tell why something is waited for now."""
