"""Which task made which registration in Dynamo's discovery.

A worker's own page names its registration by lease id, so who answers at a task's own address and
system port tells what that task has registered (awsvpc and host: the port of its revision; bridge:
the host port that ECS mapped it to). Where workers choose their ports (``DYN_SYSTEM_PORT=0``), the
page is found through the model card at the host's address, and several tasks may be meant. They
are told apart by:

- the routing id in the model card, which `render` makes a revision's own;
- time: a process that started before a task cannot be that task's (with a margin, as ECS tells
  ``startedAt`` when its agent does);
- exclusion: each task makes one registration by each of Dynamo's names, so tasks that have theirs
  are out of the question for others.

What is left may belong to any of several tasks. Within one revision on one host it counts (how
many are ready is then certain, which ones is not); between revisions it counts for no task, and
this is reported. A registration whose process does not answer counts for no task.
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
from ecs_dynamo.model.dynamo.registration import (
    SERVED_ENDPOINT,
    discovery_components,
)
from ecs_dynamo.model.dynamo.variables import (
    ROUTING_ID_VARIABLE,
    SYSTEM_PORT_VARIABLE,
)
from ecs_dynamo.model.ecs.task_definition import environment_value
from ecs_dynamo.model.graph import Graph, NetworkMode
from ecs_dynamo.model.snapshot import (
    Snapshot,
    Task,
    Unknown,
)
from ecs_dynamo.planning.observed.endpoints import address_of
from ecs_dynamo.planning.observed.lookup import known_tasks

MARGIN_SECONDS = 10.0
"""By how much ECS's ``startedAt`` may be later than the start of the task's process."""
SILENT_SECONDS = 10.0
"""A worker that has not answered for less than this is taken for what it last was."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A registration, and the tasks (by ARN) that it may belong to. ``fresh``: its process
    answered in this pass, or is silent for a moment only."""

    registration: Registration
    tasks: tuple[str, ...]
    fresh: bool


@dataclass(frozen=True, slots=True)
class Attribution:
    """Who made what.

    ``names``: by task ARN, Dynamo's names by which it is registered and answers. ``answered`` are
    those of it whose page was read in this very pass. ``claims``: each registration with the tasks
    that it may belong to. ``unattributed``: registrations that count for no task, and why.
    ``silent``: by task ARN, why its own page could not be read; ``said``: what it said.
    """

    names: Mapping[str, frozenset[str]] = field(default_factory=dict)
    answered: frozenset[str] = frozenset()
    claims: tuple[Claim, ...] = ()
    unattributed: tuple[tuple[Registration, str], ...] = ()
    silent: Mapping[str, NoAnswer] = field(default_factory=dict)
    said: Mapping[str, WorkerPage] = field(default_factory=dict)

    def leases_of(self, arn: str) -> frozenset[int]:
        """Lease ids of the registrations that may be the task's."""
        return frozenset(c.registration.lease_id for c in self.claims if arn in c.tasks)


@dataclass(frozen=True, slots=True)
class _Worker:
    task: Task
    revision: str
    names: frozenset[str]
    address: str
    page: str | None
    routing_id: str | None


def _workers(graph: Graph, snapshot: Snapshot) -> list[_Worker]:
    found = []
    for component in graph.components:
        seen = snapshot.components.get(component.name)
        if seen is None or not component.is_worker:
            continue
        containers = dynamo_containers(component).names
        for task in known_tasks(seen):
            if task.last_status != "RUNNING" or task.private_ip is None:
                continue
            revision = seen.revisions.get(task.task_definition_arn)
            content = revision.content if revision is not None else {}
            port = environment_value(content, SYSTEM_PORT_VARIABLE, containers) or ""
            page = None
            if port.isdecimal() and int(port):
                address = address_of(component, task, int(port))
                if address is None:
                    continue  # A bridge task without a mapping of its port: nobody reaches it.
                page = f"http://{address[0]}:{address[1]}"
            elif component.network_mode is NetworkMode.BRIDGE:
                continue  # A port that it chose is none that ECS mapped.
            found.append(
                _Worker(
                    task=task,
                    revision=task.task_definition_arn,
                    names=discovery_components(component),
                    address=task.private_ip,
                    page=page,
                    routing_id=environment_value(content, ROUTING_ID_VARIABLE, containers),
                )
            )
    return found


def _registrations(graph: Graph, snapshot: Snapshot) -> list[Registration]:
    found = snapshot.registrations
    if isinstance(found, Unknown):
        return []
    return [r for r in found if r.namespace == graph.namespace and r.endpoint == SERVED_ENDPOINT]


def page_urls(graph: Graph, snapshot: Snapshot) -> tuple[str, ...]:
    """The pages to be read: those of workers whose port is known, and those that model cards name
    at the address of a worker that chose its port."""
    workers = _workers(graph, snapshot)
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


def _said(page: WorkerPage | NoAnswer) -> WorkerPage | None:
    return page.last if isinstance(page, NoAnswer) else page


def _is_fresh(page: WorkerPage | NoAnswer) -> bool:
    return not isinstance(page, NoAnswer) or page.seconds < SILENT_SECONDS


def _possible(
    registration: Registration, page: WorkerPage, workers: Sequence[_Worker]
) -> tuple[Sequence[_Worker], str]:
    """Those of ``workers``, who may all have the page, that may have made the registration, or
    why none of them can have."""
    able = [w for w in workers if registration.component in w.names]
    if not able:
        return (), f"no task at its address registers as {registration.component}"
    if len(able) == 1 and able[0].page is not None:
        return able, ""
    routing_id = registration.card.routing_id if registration.card is not None else None
    same = [w for w in able if routing_id is not None and w.routing_id == routing_id]
    if routing_id is not None and not same:
        able = [w for w in able if w.routing_id is None]  # Theirs may come from elsewhere.
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
    # The daemon's clock may be wrong; a routing id is not.
    if in_time or same:
        return in_time or able, ""
    return (), "its process is older than every task that could have made it"


def _exclude(possible: dict[int, frozenset[str]]) -> dict[int, frozenset[str]]:
    """Take tasks that must have their registration out of the question for others: where as many
    registrations as tasks can only belong to these."""
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
    """Within a revision and host: each registration to the task that started last before it."""
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
    """Bind registrations to tasks by what was seen in this pass. Pure."""
    workers = _workers(graph, snapshot)
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
        for lease in said.lease_ids if (said := _said(page)) is not None else ():
            # A page that answers counts before one that last said so.
            if lease not in naming or not isinstance(page, NoAnswer):
                naming[lease] = address
    known: dict[int, tuple[Registration, WorkerPage, bool]] = {}
    possible: dict[str, dict[int, frozenset[str]]] = defaultdict(dict)
    unattributed: list[tuple[Registration, str]] = []
    for registration in _registrations(graph, snapshot):
        lease = registration.lease_id
        url = naming.get(lease)
        said = _said(snapshot.pages[url]) if url is not None else None
        if url is None or said is None:
            unattributed.append((registration, _why_unnamed(registration, snapshot)))
            continue
        there = at_page.get(url) or choosing.get(urlsplit(url).hostname or "", [])
        able, why = _possible(registration, said, there)
        if not able:
            unattributed.append((registration, why))
            continue
        known[lease] = registration, said, _is_fresh(snapshot.pages[url])
        possible[registration.component][lease] = frozenset(w.task.arn for w in able)
    names: dict[str, set[str]] = defaultdict(set)
    answered: set[str] = set()
    claims: list[Claim] = []
    for of_name in possible.values():
        groups: dict[tuple[str, str], list[tuple[Registration, WorkerPage, Sequence[_Worker]]]]
        groups = defaultdict(list)
        for lease, arns in _exclude(of_name).items():
            registration, said, fresh = known[lease]
            able = [by_arn[arn] for arn in sorted(arns)]
            claims.append(Claim(registration, tuple(w.task.arn for w in able), fresh))
            revisions = {w.revision for w in able}
            if len(revisions) > 1:
                why = "it may belong to tasks of several revisions at its address"
                unattributed.append((registration, why))
            elif fresh:
                groups[able[0].address, able[0].revision].append((registration, said, able))
        for group in groups.values():
            for worker, registration in _assign(group):
                names[worker.task.arn].add(registration.component)
                if not isinstance(snapshot.pages[naming[registration.lease_id]], NoAnswer):
                    answered.add(worker.task.arn)
    own = {w.task.arn: snapshot.pages.get(w.page) for w in workers if w.page is not None}
    return Attribution(
        names={arn: frozenset(found) for arn, found in names.items()},
        answered=frozenset(answered),
        claims=tuple(claims),
        unattributed=tuple(unattributed),
        silent={arn: page for arn, page in own.items() if isinstance(page, NoAnswer)},
        said={arn: page for arn, page in own.items() if isinstance(page, WorkerPage)},
    )


def _why_unnamed(registration: Registration, snapshot: Snapshot) -> str:
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
