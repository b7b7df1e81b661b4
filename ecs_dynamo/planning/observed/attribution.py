"""Which task made which registration in Dynamo's discovery.

A worker's own metrics page names its registration by lease id, so the page at a task's address and
system port shows what that task registered (awsvpc and host: the port of its revision; bridge: the
host port that ECS mapped it to). Workers that choose their ports (``DYN_SYSTEM_PORT=0``) have their
page found through the model card, at the host's address, where it may belong to any of several
tasks. These are distinguished by:

- the namespace, which differs between generations of workers;
- the routing id in the model card, which `rendering` makes specific to a revision. A command can
  set it to the id of its task (from ECS's task metadata), so that nothing is ambiguous;
- time: a process that started before a task cannot belong to it (with a margin, because ECS reports
  ``startedAt`` when its agent does);
- exclusion: each task makes one registration under each of Dynamo's names, so a task that has its
  registration cannot have another.

The remaining registrations may belong to any of several tasks. Within one revision on one host they
count: the number of ready tasks is certain, although not which ones are ready. Between revisions
they count for no task, and this is reported. A registration whose process does not answer counts
for no task, and neither does one in a namespace of another generation.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from ecs_dynamo.model.dynamo.containers import dynamo_containers
from ecs_dynamo.model.dynamo.discovery import (
    NoAnswer,
    Registration,
    WorkerPage,
)
from ecs_dynamo.model.dynamo.namespaces import namespace_in
from ecs_dynamo.model.dynamo.registration import (
    SERVED_ENDPOINT,
    discovery_components,
)
from ecs_dynamo.model.dynamo.variables import (
    ROUTING_ID_VARIABLE,
    SYSTEM_PORT_VARIABLE,
)
from ecs_dynamo.model.ecs.task_definition import environment_value
from ecs_dynamo.model.generations import generation_in, is_own_namespace
from ecs_dynamo.model.graph import Component, Graph, NetworkMode
from ecs_dynamo.model.snapshot import (
    ComponentSnapshot,
    Snapshot,
    Task,
    Unknown,
)
from ecs_dynamo.planning.observed.endpoints import address_of
from ecs_dynamo.planning.observed.lookup import known_tasks

MARGIN_SECONDS = 10.0
"""Maximum delay of ECS's ``startedAt`` after the start of the task's process."""
SILENT_SECONDS = 10.0
"""Within this time of silence a worker's last answer still counts."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A registration and the ARNs of the tasks that it may belong to.

    ``is_fresh``: its process answered in this pass, or has been silent for a moment only.
    """

    registration: Registration
    tasks: tuple[str, ...]
    is_fresh: bool


@dataclass(frozen=True, slots=True)
class Attribution:
    """The registrations of one pass, bound to tasks.

    ``names``: task ARN -> Dynamo's names under which the task is registered and answers.
    ``answered``: ARNs of those tasks whose page was read in this pass. ``claims``: registrations
    with the tasks that they may belong to. ``unattributed``: registrations that count for no task,
    each with the cause. ``silent``: task ARN -> why its own page could not be read. ``pages``: task
    ARN -> content of its own page.
    """

    names: Mapping[str, frozenset[str]] = field(default_factory=dict)
    answered: frozenset[str] = frozenset()
    claims: tuple[Claim, ...] = ()
    unattributed: tuple[tuple[Registration, str], ...] = ()
    silent: Mapping[str, NoAnswer] = field(default_factory=dict)
    pages: Mapping[str, WorkerPage] = field(default_factory=dict)

    def leases_of(self, arn: str) -> frozenset[int]:
        """Return the lease ids of the registrations that may be the task's."""
        return frozenset(c.registration.lease_id for c in self.claims if arn in c.tasks)


@dataclass(frozen=True, slots=True)
class _Worker:
    task: Task
    revision: str
    namespace: str
    names: frozenset[str]
    address: str
    page: str | None
    routing_id: str | None


def _running_workers(graph: Graph, snapshot: Snapshot) -> list[_Worker]:
    """Return the running workers that can be reached at a known or self-chosen port."""
    workers = []
    for component in graph.components:
        observed = snapshot.components.get(component.name)
        if observed is None or not component.is_worker:
            continue
        containers = dynamo_containers(component).names
        for task in known_tasks(observed):
            if task.last_status != "RUNNING" or task.private_ip is None:
                continue
            revision = observed.revisions.get(task.task_definition_arn)
            content = revision.content if revision is not None else {}
            port = environment_value(content, SYSTEM_PORT_VARIABLE, containers) or ""
            page = None
            if port.isdecimal() and int(port):
                address = address_of(component, task, int(port))
                if address is None:
                    continue  # A bridge task without a mapping of its port cannot be reached.
                page = f"http://{address[0]}:{address[1]}"
            elif component.network_mode is NetworkMode.BRIDGE:
                continue  # ECS has not mapped the port that the worker chose.
            workers.append(
                _Worker(
                    task=task,
                    revision=task.task_definition_arn,
                    namespace=namespace_in(graph, component, content),
                    names=discovery_components(component),
                    address=task.private_ip,
                    page=page,
                    routing_id=environment_value(content, ROUTING_ID_VARIABLE, containers),
                )
            )
    return workers


def all_worker_namespaces(graph: Graph, snapshot: Snapshot) -> frozenset[str]:
    """Return the namespaces in which the workers register, those of known tasks and declared ones.

    Where the user sets Dynamo's variables, they may be other than those of generations.
    """
    workers = (c for c in graph.components if c.is_worker)
    every = (worker_namespaces(graph, c, snapshot.components.get(c.name)) for c in workers)
    return frozenset[str]().union(*every)


def worker_namespaces(
    graph: Graph, component: Component, observed: ComponentSnapshot | None
) -> frozenset[str]:
    """Return the namespaces in which a component's workers register: its tasks, and new ones."""
    revisions = observed.revisions.values() if observed is not None else ()
    contents = (component.template, *(r.content for r in revisions))
    return frozenset(namespace_in(graph, component, content) for content in contents)


def _registrations(graph: Graph, snapshot: Snapshot) -> list[Registration]:
    """Return the graph's own registrations of served endpoints; none if discovery was not read.

    They are in the namespaces of its workers and of all its generations, running or not.
    """
    registrations = snapshot.registrations
    if isinstance(registrations, Unknown):
        return []
    known = all_worker_namespaces(graph, snapshot)
    return [
        r
        for r in registrations
        if r.endpoint == SERVED_ENDPOINT
        and (r.namespace in known or is_own_namespace(graph.namespace, r.namespace))
    ]


def page_urls(graph: Graph, snapshot: Snapshot) -> tuple[str, ...]:
    """Return the addresses of the workers' metrics pages.

    These are the pages of workers with a known port, and those that model cards name at the address
    of a worker that chose its port.
    """
    workers = _running_workers(graph, snapshot)
    own = {w.page for w in workers if w.page is not None}
    hosts = {w.address for w in workers if w.page is None}
    named = {
        r.card.page
        for r in _registrations(graph, snapshot)
        if r.card is not None
        and r.card.page is not None
        and urlsplit(r.card.page).hostname in hosts
    }
    return tuple(sorted(own | named))


def _last_content(page: WorkerPage | NoAnswer) -> WorkerPage | None:
    return page.last if isinstance(page, NoAnswer) else page


def _is_fresh(page: WorkerPage | NoAnswer) -> bool:
    return not isinstance(page, NoAnswer) or page.seconds < SILENT_SECONDS


def _possible(
    registration: Registration, page: WorkerPage, workers: Sequence[_Worker]
) -> tuple[Sequence[_Worker], str]:
    """Return which of ``workers`` may have made the registration, or why none of them can have.

    The page may belong to any of ``workers``. A registration with the id of a task that is not one
    of them belongs to none, as far as all of them have a routing id.
    """
    able = [w for w in workers if registration.component in w.names]
    if not able:
        return (), f"no task at its address registers as {registration.component}"
    able = [w for w in able if registration.namespace == w.namespace]
    if not able:
        return (), f"no task at its address registers in the namespace {registration.namespace}"
    if len(able) == 1 and able[0].page is not None:
        return able, ""
    routing_id = registration.card.routing_id if registration.card is not None else None
    own = [w for w in able if _names_task(routing_id, w.task)]
    if own:
        return own, ""
    same = [w for w in able if routing_id is not None and w.routing_id == routing_id]
    if routing_id is not None and not same:
        able = [w for w in able if w.routing_id is None]  # These may set it in another way.
        if not able:
            return (), "its routing id is that of no revision at its address"
    able = same or able
    in_time = [
        w
        for w in able
        if page.started_at is None
        or w.task.started_at is None
        or page.started_at >= w.task.started_at - MARGIN_SECONDS
    ]
    # The daemon's clock may be wrong, so a matching routing id has precedence.
    if in_time or same:
        return in_time or able, ""
    return (), "its process is older than every task that could have made it"


def _names_task(routing_id: str | None, task: Task) -> bool:
    """Return whether a routing id is the task's id or its ARN, which no other process can have."""
    return routing_id is not None and routing_id in (task.arn, task.arn.rsplit("/", 1)[-1])


def _exclude(possible: dict[int, frozenset[str]]) -> dict[int, frozenset[str]]:
    """Remove tasks from other registrations where as many registrations can only belong to them.

    ``possible``: lease id -> ARNs of the tasks that may have made the registration.
    """
    possible = dict(possible)
    changed = True
    while changed:
        changed = False
        for group in set(possible.values()):
            inside = [lease for lease, tasks in possible.items() if tasks <= group]
            if len(inside) < len(group):
                continue
            for lease, tasks in possible.items():
                if not tasks <= group and tasks & group:
                    possible[lease] = tasks - group
                    changed = True
    return possible


def _assign(
    claims: Sequence[tuple[Registration, WorkerPage, Sequence[_Worker]]],
) -> Iterable[tuple[_Worker, Registration]]:
    """Assign each registration of one revision on one host to a task of its own.

    The preferred task is the one that started last before the registration's process.
    """
    taken: set[str] = set()
    ordered = sorted(claims, key=lambda c: (c[1].started_at or 0.0, c[0].lease_id))
    for registration, page, workers in ordered:
        free = [w for w in workers if w.task.arn not in taken]
        if not free:
            continue
        started = page.started_at

        def rank(worker: _Worker, started: float | None = started) -> tuple[bool, float, str]:
            at = worker.task.started_at or 0.0
            late = started is not None and at - MARGIN_SECONDS > started
            return (not late, at, worker.task.arn)

        best = max(free, key=rank)
        taken.add(best.task.arn)
        yield best, registration


def attribute(graph: Graph, snapshot: Snapshot) -> Attribution:
    """Bind registrations to tasks by the evidence of one pass; called once per pass."""
    workers = _running_workers(graph, snapshot)
    by_arn = {w.task.arn: w for w in workers}
    at_page: dict[str, list[_Worker]] = defaultdict(list)
    choosing: dict[str, list[_Worker]] = defaultdict(list)
    for worker in workers:
        if worker.page is not None:
            at_page[worker.page].append(worker)
        else:
            choosing[worker.address].append(worker)
    naming: dict[int, str] = {}
    for address, page in snapshot.pages.items():
        content = _last_content(page)
        for lease in content.lease_ids if content is not None else ():
            # A page that answers has precedence over the last content of a silent one.
            if lease not in naming or not isinstance(page, NoAnswer):
                naming[lease] = address
    known: dict[int, tuple[Registration, WorkerPage, bool]] = {}
    possible: dict[str, dict[int, frozenset[str]]] = defaultdict(dict)
    unattributed: list[tuple[Registration, str]] = []
    running = {w.namespace for w in workers}
    for registration in _registrations(graph, snapshot):
        lease = registration.lease_id
        generation = generation_in(graph.namespace, registration.namespace)
        if generation is not None and registration.namespace not in running:
            why = f"no task of generation {generation} is known; keys stay for a discovery lease"
            unattributed.append((registration, why))
            continue
        url = naming.get(lease)
        content = _last_content(snapshot.pages[url]) if url is not None else None
        if url is None or content is None:
            unattributed.append((registration, _why_unnamed(registration, snapshot)))
            continue
        at_address = at_page.get(url) or choosing.get(urlsplit(url).hostname or "", [])
        able, why = _possible(registration, content, at_address)
        if not able:
            unattributed.append((registration, why))
            continue
        known[lease] = registration, content, _is_fresh(snapshot.pages[url])
        possible[registration.component][lease] = frozenset(w.task.arn for w in able)
    names: dict[str, set[str]] = defaultdict(set)
    answered: set[str] = set()
    claims: list[Claim] = []
    for leases in possible.values():
        groups: dict[tuple[str, str], list[tuple[Registration, WorkerPage, Sequence[_Worker]]]]
        groups = defaultdict(list)
        for lease, arns in _exclude(leases).items():
            registration, content, fresh = known[lease]
            able = [by_arn[arn] for arn in sorted(arns)]
            claims.append(Claim(registration, tuple(w.task.arn for w in able), fresh))
            revisions = {w.revision for w in able}
            if len(revisions) > 1:
                why = "it may belong to tasks of several revisions at its address"
                unattributed.append((registration, why))
            elif fresh:
                groups[able[0].address, able[0].revision].append((registration, content, able))
        for group in groups.values():
            for worker, registration in _assign(group):
                names[worker.task.arn].add(registration.component)
                if not isinstance(snapshot.pages[naming[registration.lease_id]], NoAnswer):
                    answered.add(worker.task.arn)
    own = {w.task.arn: snapshot.pages.get(w.page) for w in workers if w.page is not None}
    return Attribution(
        names={arn: frozenset(own_names) for arn, own_names in names.items()},
        answered=frozenset(answered),
        claims=tuple(claims),
        unattributed=tuple(unattributed),
        silent={arn: page for arn, page in own.items() if isinstance(page, NoAnswer)},
        pages={arn: page for arn, page in own.items() if isinstance(page, WorkerPage)},
    )


def _why_unnamed(registration: Registration, snapshot: Snapshot) -> str:
    """Return why no page names the registration."""
    card = registration.card
    if card is None:
        return "it has no model card"
    if card.page is None:
        return "its worker has no page at a system port"
    page = snapshot.pages.get(card.page)
    if isinstance(page, NoAnswer):
        return f"{card.page}/metrics: {page.reason}"
    if page is None:
        return f"no task is known at {card.page}"
    return f"{card.page} is another worker's"
