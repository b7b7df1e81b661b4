"""The snapshot: everything observed in one pass, frozen and time-stamped.

A failed observation is `Unknown`, never an empty value. Planning does not modify unknown
components, so a throttled call cannot be mistaken for a deleted service. Times are UTC seconds
since the epoch, by AWS's clock, unless stated otherwise.
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
from ecs_dynamo.model.spec.capacity import FARGATE_PROVIDERS

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Unknown:
    """An unobserved value, with the reason."""

    reason: str


Observed = Union[T, Unknown]  # noqa: UP007 (a generic alias of a union needs Union in 3.11)

ClusterServices = Observed[Mapping[str, Observed[Service]]]
"""The services of one cluster by name; a service that does not exist is left out."""


@dataclass(frozen=True, slots=True)
class PortBinding:
    """A container port, and the host port at which it can be reached."""

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
    None until AWS reports it. ``health`` is the task's aggregated container health.
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
    """Id of the deployment that started it, if ECS reports one."""
    capacity_provider: str | None = None
    address_unknown: str | None = None
    """Why ``private_ip`` is unknown although the task has an address: its container instance, or
    that instance's address, could not be observed."""

    @property
    def awaits_capacity(self) -> bool:
        """Whether it waits for an instance that its capacity provider adds."""
        return (
            self.last_status == "PROVISIONING"
            and self.container_instance_arn is None
            and self.capacity_provider is not None
            and self.capacity_provider not in FARGATE_PROVIDERS
        )

    @property
    def is_running(self) -> bool:
        """Whether it is RUNNING, is not being stopped, and does not fail its health check."""
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
    """Whether it is not deregistered, so that a service can be set to it."""

    @property
    def fingerprint(self) -> str | None:
        return self.tags.get(TAG_FINGERPRINT)


@dataclass(frozen=True, slots=True)
class ContainerInstance:
    """An EC2 instance in a cluster. GPU counts are slots; ``used_ports`` are reserved TCP ports.

    ``tasks`` is the number of running and starting tasks, ``daemons`` that of tasks of services
    with the DAEMON strategy. ``attributes`` are those of ECS and of the user, for placement
    expressions.
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
    ``refused``: the server rejects the daemon's credentials. ``unreachable``: its host
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
    WAITING = "waiting"
    """Requests of the component on which no replica works yet."""
    UPSTREAM = "upstream"
    """Requests of the graph that have not reached the component yet."""
    ARRIVAL_RATE = "arrival_rate"
    """Requests/s that arrive at the graph, served or not."""
    REJECTION_RATE = "rejection_rate"
    """Requests/s that the frontends refuse because no worker, or too few, can take them."""
    COMPLETION_RATE = "completion_rate"
    PROMPT_ARRIVAL_RATE = "prompt_arrival_rate"
    """Prompt tokens/s, counted when a request arrives."""
    PROMPT_RATE = "prompt_token_rate"
    """Prompt tokens/s, counted at the first token of the answer."""
    OUTPUT_RATE = "output_token_rate"
    """Output tokens/s as they are generated."""
    ITL = "itl_seconds"
    """Mean seconds between the output tokens of a request (inter-token latency)."""
    LATE_SHARE = "late_share"
    """Share of the last requests whose first token came later than the declared target."""
    CACHED_SHARE = "cached_share"
    """Share of the prompt tokens that were in the prefix cache."""
    KV_USAGE = "kv_usage"
    """Share of the KV cache in use, as the mean over the component's workers."""
    DESIRED_REPLICAS = "desired_replicas"
    """The replica count that Dynamo's planner asks for."""
    REDELIVERED = "redelivered"
    """Messages that JetStream has delivered more than once."""


@dataclass(frozen=True, slots=True)
class Signal:
    """A measured demand for a component, e.g. kind ``queue_depth``, unit ``requests``.

    ``observed_at`` is in monotonic seconds.

    ``max_age`` is the age up to which the source is used, in seconds, if it is always later than
    the component's own limit. ``partial``: some replicas gave no usable answer, so the demand may
    be larger.
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
        """Return the seconds since it was observed."""
        return max(0.0, now - self.observed_at)


@dataclass(frozen=True, slots=True)
class ComponentSnapshot:
    """The observed state of one component.

    ``service`` is None if ECS says that it does not exist. ``revision`` is the latest ACTIVE
    revision of the component's family, ``revisions`` those that its service and tasks refer to
    (by ARN). ``stopped`` are recently stopped tasks. ``probes`` maps a task ARN and a role to the
    answer; without an entry there was no probe.
    """

    service: Observed[Service | None]
    tasks: Observed[tuple[Task, ...]] = ()
    stopped: Observed[tuple[Task, ...]] = ()
    revision: Observed[Revision | None] = None
    revisions: Mapping[str, Revision] = field(default_factory=dict)
    probes: Mapping[tuple[str, Role], Probe] = field(default_factory=dict)
    surplus: tuple[str, ...] = ()
    """ARNs of the graph's own old revisions that exceed the number to keep, oldest first."""
    protection_unknown: str | None = None
    """Why it is unknown which of the tasks are protected."""
    finishing: int = 0
    """Tasks that are to stop and have not ended yet. They are not among ``tasks``."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A complete observation. ``orphans`` carry the graph's tag but are no longer declared.

    ``external`` holds the probes of external endpoints by URL. ``registrations`` are read from
    the etcd of the ready infrastructure replica (or external endpoint). ``busy`` is the pending
    work by worker (lease id): prefill tokens and decode blocks; ``served`` are the workers from
    which a frontend has received an answer.
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
    namespaces: Observed[frozenset[str]] = frozenset()
    """Dynamo namespaces in that etcd that start with the graph's own, and those that start like
    generations of a graph with a shorter name; other graphs' workers count, too."""
    pages: Mapping[str, WorkerPage | NoAnswer] = field(default_factory=dict)
    """Address of a worker's system port (``http://ADDRESS:PORT``) -> its page."""
    routed: Mapping[str, frozenset[int]] = field(default_factory=dict)
    """URL of a frontend -> lease ids of the workers that its metrics name. Before its first request
    it names none."""
    migrations: Mapping[str, float] = field(default_factory=dict)
    """Requests that frontends tried to move to another worker since the previous pass, by kind:
    ``new_request`` (nothing generated yet) and ``ongoing_request``. ``too_long`` are those beyond
    ``--migration-max-seq-len``, which cannot be moved. Empty if a frontend did not answer."""
    external: Mapping[str, Probe] = field(default_factory=dict)
    etcd_views: Mapping[str, EtcdView] = field(default_factory=dict)
    """Task ARN -> the server's report, for members of an etcd cluster that answered."""
    signals: tuple[Signal, ...] = ()
    busy: Observed[Mapping[int, float]] = Unknown("not measured")
    served: Observed[frozenset[int]] = Unknown("not measured")
    notices: Mapping[str, Notice] = field(default_factory=dict)
    """EC2 instance id -> the notice of its interruption."""
    providers: Observed[Mapping[str, CapacityProvider]] = field(default_factory=dict)
    """Declared capacity providers by name, and all providers of clusters with declared Auto Scaling
    groups; an absent one does not exist."""
    groups: Observed[Mapping[str, AutoScalingGroup]] = field(default_factory=dict)
    """Declared Auto Scaling groups by name; an absent one does not exist."""


RECENT_SECONDS = 600.0
"""Age up to which a failure explains a current wait."""
