"""Reports of etcd and of Dynamo's workers: members, registrations, model cards, pages."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class EtcdMember:
    """A member of an etcd cluster, as its servers list it. ``name`` is empty until it started."""

    id: int
    name: str
    peer_urls: tuple[str, ...]
    learner: bool = False


@dataclass(frozen=True, slots=True)
class EtcdView:
    """The report of an etcd server about itself and its cluster."""

    cluster: int
    member: int
    members: tuple[EtcdMember, ...]


@dataclass(frozen=True, slots=True)
class ModelCard:
    """A worker's model card, the value of ``v1/mdc/{ns}/{component}/{endpoint}/{lease}``.

    ``page`` is the address of the worker's system port (``http://ADDRESS:PORT``), which holds the
    files that the card names; None where the worker has no such page. ``routing_id`` is its
    ``DYN_STABLE_ROUTING_ID``. ``facts`` are (name, value) of what frontends compare before they
    route to it, sorted by name.
    """

    page: str | None = None
    routing_id: str | None = None
    facts: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Registration:
    """A worker in Dynamo's discovery, ``v1/instances/{ns}/{component}/{endpoint}/{lease}``.

    ``component`` is Dynamo's (``backend``, ``prefill``), ``address`` the IP that it advertises;
    None on the nats request plane. ``card`` is what its model card says; None without one.
    """

    namespace: str
    component: str
    endpoint: str
    lease_id: int
    address: str | None = None
    card: ModelCard | None = None


@dataclass(frozen=True, slots=True)
class WorkerPage:
    """The content of a worker's own metrics page.

    ``lease_ids`` are those of the registrations that the process made. ``started_at`` is when its
    runtime started, in UTC seconds: the time of the answer less the uptime on the page.
    """

    lease_ids: frozenset[int]
    started_at: float | None = None


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """A worker's page that could not be read.

    ``seconds``: for how long. ``last``: its last content, if it was ever read. A lease id never
    moves to another process, so that content stays true. ``spoke``: it
    answered, but with something unusable. ``reached``: its host accepted or refused a connection,
    so the network is not the cause.
    """

    reason: str
    seconds: float = 0.0
    last: WorkerPage | None = None
    spoke: bool = False
    reached: bool = False
