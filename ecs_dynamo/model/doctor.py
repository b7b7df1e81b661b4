"""Facts that `ecs-dynamo doctor` collects, and its findings. Frozen.

An unobserved fact is `Unknown`; an object that is absent from a mapping does not exist.
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
    """The result of a check: the evidence, and the remedy."""

    check: str
    severity: Severity
    evidence: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Identity:
    """The owner of credentials. ``skew``: this machine's clock minus AWS's, in seconds; None if the
    response had no date."""

    arn: str
    account: str
    skew: float | None = None


@dataclass(frozen=True, slots=True)
class Simulation:
    """A question to IAM's policy simulator: may these actions be done on these resources?

    ``context`` maps a condition key to its type (``string``, ``stringList``) and values.
    """

    actions: tuple[str, ...]
    resources: tuple[str, ...]
    context: Mapping[str, tuple[str, tuple[str, ...]]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Simulated:
    """The simulator's answers for the principal ``arn``: their number, and the denied questions."""

    arn: str
    answers: int
    denied: tuple[tuple[str, str], ...] = ()
    """(action, resource)"""


@dataclass(frozen=True, slots=True)
class Subnet:
    """A subnet; ``free`` is the number of its free addresses."""

    id: str
    vpc: str
    cidr: str
    free: int


@dataclass(frozen=True, slots=True)
class Route:
    """A route; ``target`` is an id such as ``nat-0a``, or ``local``. ``active``: no blackhole."""

    destination: str
    target: str
    active: bool = True


@dataclass(frozen=True, slots=True)
class RouteTable:
    """A route table; ``main`` applies to subnets of its VPC without a table of their own."""

    id: str
    vpc: str
    main: bool
    subnets: frozenset[str]
    routes: tuple[Route, ...]


@dataclass(frozen=True, slots=True)
class VpcEndpoint:
    """A VPC endpoint; ``service`` without the Region (``ecr.dkr``). ``tables`` are a gateway's."""

    vpc: str
    service: str
    tables: frozenset[str] = frozenset()
    gateway: bool = False


@dataclass(frozen=True, slots=True)
class Rule:
    """A security group's rule. ``protocol`` is ``-1`` (all), ``tcp`` or another."""

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
    """AWS's current recommendation for ECS's GPU-optimised AMI (SSM's public parameters)."""

    id: str
    name: str
    agent: str


@dataclass(frozen=True, slots=True)
class CloudMapService:
    """A Cloud Map service; ``a_record_ttl`` in seconds, None where it has no A records."""

    dns_name: str
    a_record_ttl: int | None
