"""An etcd cluster on the simulated ECS: what etcd 3.5.1 was measured to do, and nothing else.

A server reads its environment when it starts, has no data then, and joins, begins a cluster, or
ends. Membership changes need a quorum, and are refused as etcd refuses them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from ecs_dynamo.model.dynamo.discovery import (
    EtcdMember,
    EtcdView,
)
from ecs_dynamo.model.ecs.task_definition import environment_value
from ecs_dynamo.model.graph import Graph, Role
from ecs_dynamo.model.plan import AnyAction, ChangeMembership, MembershipStep
from ecs_dynamo.model.snapshot import (
    Probe,
    Snapshot,
)
from ecs_dynamo.planning.observed.endpoints import resolve_endpoints
from tests.helpers.simulated_ecs import SimulatedEcs
from tests.helpers.simulated_services import SimTask


@dataclass(eq=False)
class Store:
    """One cluster's data; another object with the same id is another cluster."""

    id: int
    members: dict[int, EtcdMember]
    leads_at: float = 0.0
    """Until then it elects a leader: its servers answer, but nothing that needs a quorum."""


@dataclass
class Server:
    task: SimTask
    store: Store
    member: int

    @property
    def url(self) -> str:
        return f"http://{self.task.ip}:2379"

    @property
    def peer_url(self) -> str:
        return f"http://{self.task.ip}:2380"


class SimulatedCluster(SimulatedEcs):
    """`SimulatedEcs` whose etcd is a cluster. ``begun`` counts the clusters that were made."""

    def __init__(self, graph: Graph, gpu_instances: int = 6) -> None:
        super().__init__(graph, gpu_instances)
        self.servers: dict[str, Server] = {}
        self.begun = 0

    # etcd -----------------------------------------------------------------------------------

    def _etcd_tasks(self) -> list[SimTask]:
        places = {c.service for c in self.graph.etcd_members}
        return [t for s in self.services.values() if s.name in places for t in s.tasks]

    def step(self, seconds: float = 10.0) -> None:
        super().step(seconds)
        self._sweep()
        for task in self._etcd_tasks():
            if task.age >= 1 and not task.bad and task.arn not in self.servers:
                self._start(task)

    def kill(self, component: str, index: int = 0, *, electing: float = 0.0) -> None:
        super().kill(component, index)
        self._sweep()
        for server in self.servers.values():
            server.store.leads_at = self.now + electing

    def _sweep(self) -> None:
        """Servers end with their tasks, and when they were removed."""
        running = {t.arn: t for t in self._etcd_tasks()}
        for arn, server in list(self.servers.items()):
            if arn not in running:
                del self.servers[arn]
            elif server.member not in server.store.members:
                running[arn].bad = True
                del self.servers[arn]

    def _start(self, task: SimTask) -> None:
        content = self.revisions[task.revision].content
        listed = environment_value(content, "ETCD_INITIAL_CLUSTER") or ""
        own = environment_value(content, "ETCD_INITIAL_ADVERTISE_PEER_URLS") or ""
        name = environment_value(content, "ETCD_NAME") or ""
        urls = {part.partition("=")[2] for part in listed.split(",")}
        assert own in urls
        assert len({part.partition("=")[0] for part in listed.split(",")}) == len(urls)
        if environment_value(content, "ETCD_INITIAL_CLUSTER_STATE") == "new":
            assert urls == {own}
            token = environment_value(content, "ETCD_INITIAL_CLUSTER_TOKEN")
            number = hash((token, own)) & 0xFFFFFF
            store = Store(number, {number + 1: EtcdMember(number + 1, name, (own,))})
            self.begun += 1
            self.servers[task.arn] = Server(task, store, number + 1)
            return
        peers = [s for s in self.servers.values() if s.peer_url in urls]
        for peer in peers:
            members = peer.store.members
            if {u for m in members.values() for u in m.peer_urls} == urls:
                mine = next(m for m in members.values() if own in m.peer_urls)
                if mine.name:
                    break  # It had data once, without which raft cannot work.
                members[mine.id] = replace(mine, name=name)
                self.servers[task.arn] = Server(task, peer.store, mine.id)
                return
        task.bad = True

    def _voting(self, store: Store) -> list[Server]:
        return [
            s
            for s in self.servers.values()
            if s.store is store
            and s.member in store.members
            and not store.members[s.member].learner
        ]

    def has_quorum(self, store: Store) -> bool:
        voters = [m for m in store.members.values() if not m.learner]
        return len(self._voting(store)) > len(voters) // 2 and self.now >= store.leads_at

    def apply(self, action: AnyAction) -> None:
        if not isinstance(action, ChangeMembership):
            super().apply(action)
            return
        self.writes += 1
        server = next((s for s in self.servers.values() if s.url in action.servers), None)
        if server is not None and self.has_quorum(server.store):
            self._change(server.store, action)
        self._sweep()

    def _change(self, store: Store, action: ChangeMembership) -> None:
        members = store.members
        member = members.get(action.member)
        started = {s.member for s in self.servers.values() if s.store is store}
        match action.step:
            case MembershipStep.ADD:
                whole = all(m.id in started for m in members.values() if not m.learner)
                urls = {u for m in members.values() for u in m.peer_urls}
                learners = any(m.learner for m in members.values())
                if whole and not learners and action.peer_url not in urls:
                    number = self._fresh() + (1 << 30)
                    members[number] = EtcdMember(number, "", (action.peer_url,), learner=True)
            case MembershipStep.PROMOTE if member is not None:
                assert member.id in started, "promoted before it joined"
                members[member.id] = replace(member, learner=False)
            case MembershipStep.UPDATE if member is not None:
                assert not member.learner, "etcd would list it as a voter"
                server = next(s for s in self.servers.values() if s.member == member.id)
                assert action.peer_url == server.peer_url
                members[member.id] = replace(member, peer_urls=(action.peer_url,))
            case MembershipStep.REMOVE if member is not None:
                assert member.id not in started, "a server that runs was removed"
                del members[member.id]
            case _:
                pass

    # Observing --------------------------------------------------------------------------------

    def _answers(self, server: Server) -> bool:
        learner = server.store.members[server.member].learner
        return self.has_quorum(server.store) and not learner

    def _live_etcds(self) -> set[str]:
        return {"cluster"} | super()._live_etcds()

    def _store(self, endpoints: str | None) -> str | None:
        """A client that picks at random lives where two of its endpoints answer."""
        if endpoints is None or endpoints in super()._live_etcds():
            return endpoints  # A single etcd.
        urls = {*endpoints.split(",")}
        answering = [s for s in self.servers.values() if s.url in urls and self._answers(s)]
        return "cluster" if len(answering) >= 2 else f"lost: {endpoints}"

    def snapshot(self) -> Snapshot:
        observation = super().snapshot()
        views: dict[str, EtcdView] = {}
        components = dict(observation.components)
        for component in self.graph.etcd_members:
            part = components[component.name]
            probes = {}
            for (arn, role), probe in part.probes.items():
                server = self.servers.get(arn)
                healthy = server is not None and self._answers(server)
                probes[arn, role] = Probe(probe.url, healthy) if role is Role.ETCD else probe
                if server is not None:
                    learner = server.store.members[server.member].learner
                    known = () if learner else tuple(server.store.members.values())
                    views[arn] = EtcdView(server.store.id, server.member, known)
            components[component.name] = replace(part, probes=probes)
        result = replace(observation, components=components, etcd_views=views)
        etcd = resolve_endpoints(self.graph, result).etcd
        self.ever_ready |= {etcd} if etcd else set()
        return replace(result, registrations=self._registrations(etcd))
