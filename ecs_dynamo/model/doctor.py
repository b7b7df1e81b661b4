"""Observations and findings of `ecs-dynamo doctor`. Frozen.

A failed observation is `Unknown`. A key that is absent from a mapping does not exist in AWS.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Severity(StrEnum):
    """Severity of a finding. UNKNOWN: the check could not be made."""

    OK = "ok"
    WARNING = "warning"
    ERROR = "error"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Finding:
    """Result of one check: the evidence, and a remedy if there is a problem."""

    check: str
    severity: Severity
    evidence: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Identity:
    """The caller's identity in AWS.

    ``skew``: this machine's clock less AWS's, in seconds; None where the answer had no date.
    """

    arn: str
    account: str
    skew: float | None = None


@dataclass(frozen=True, slots=True)
class Simulation:
    """A query of IAM's policy simulator: are these actions allowed on these resources?

    ``context`` maps a condition key to its type (``string``, ``stringList``) and values.
    """

    actions: tuple[str, ...]
    resources: tuple[str, ...]
    context: Mapping[str, tuple[str, tuple[str, ...]]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Simulated:
    """The simulator's answers for the principal ``arn``: their number, and the denied actions."""

    arn: str
    answers: int
    denied: tuple[tuple[str, str], ...] = ()
    """(action, resource)"""


@dataclass(frozen=True, slots=True)
class Subnet:
    """A subnet. ``free`` is the number of its free addresses."""

    id: str
    vpc: str
    cidr: str
    free: int


@dataclass(frozen=True, slots=True)
class Route:
    """A route. ``target`` is an id such as ``nat-0a`` or ``local``. ``active``: not a blackhole."""

    destination: str
    target: str
    active: bool = True


@dataclass(frozen=True, slots=True)
class RouteTable:
    """A route table. ``main``: it applies to the VPC's subnets without a table of their own."""

    id: str
    vpc: str
    main: bool
    subnets: frozenset[str]
    routes: tuple[Route, ...]


@dataclass(frozen=True, slots=True)
class VpcEndpoint:
    """A VPC endpoint of a ``service`` such as ``ecr.dkr``. A gateway has route ``tables``."""

    vpc: str
    service: str
    tables: frozenset[str] = frozenset()
    gateway: bool = False


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule of a security group. ``protocol`` is ``-1`` (all), ``tcp`` or another."""

    protocol: str
    low: int
    high: int
    cidrs: tuple[str, ...] = ()
    groups: frozenset[str] = frozenset()
    prefix_lists: bool = False


@dataclass(frozen=True, slots=True)
class SecurityGroup:
    """A security group."""

    id: str
    vpc: str
    ingress: tuple[Rule, ...] = ()
    egress: tuple[Rule, ...] = ()


@dataclass(frozen=True, slots=True)
class Host:
    """An EC2 instance that is a container instance."""

    id: str
    image: str
    instance_type: str
    subnet: str
    vpc: str
    address: str
    groups: frozenset[str] = frozenset()
    public: bool = False


@dataclass(frozen=True, slots=True)
class RecommendedImage:
    """ECS's GPU-optimized AMI that AWS currently recommends (public parameters of SSM)."""

    id: str
    name: str
    agent: str


@dataclass(frozen=True, slots=True)
class CloudMapService:
    """A Cloud Map service. ``a_record_ttl`` is in seconds; None where it has no A records."""

    dns_name: str
    a_record_ttl: int | None
