"""Values of etcd and of Dynamo's discovery: members, registrations, model cards, pages."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class EtcdMember:
    """A member in the list of an etcd cluster. ``name`` is empty until the member has started."""

    id: int
    name: str
    peer_urls: tuple[str, ...]
    learner: bool = False


@dataclass(frozen=True, slots=True)
class EtcdView:
    """One etcd server's view of its cluster: its own member id and all members."""

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
    """Facts from a worker's own metrics page.

    ``lease_ids`` are those of the registrations that the process made. ``started_at`` is when its
    runtime started, in UTC seconds: the time of the answer less the uptime on the page.
    """

    lease_ids: frozenset[int]
    started_at: float | None = None


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """A worker's page that could not be read."""

    reason: str
    seconds: float = 0.0
    """For how long it could not be read."""
    last: WorkerPage | None = None
    """The last page that was read. It stays true: a lease id never moves to another process."""
    spoke: bool = False
    """Whether it answered, but with something unusable."""
    reached: bool = False
    """Whether its host accepted or refused a connection, so that the network is not the cause."""
