"""The effective graph: the declared components, and the other generations of workers that run.

ECS is the only memory: which generations exist is read from the services, in each pass. The
components of the declared generation have the declared names, and those of the others have the
generation in their names (``decode@g1a2b3c4d``). Each has a service of its own, so that all other
parts of planning treat it like any component.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace

from ecs_dynamo.common.arns import revision_number
from ecs_dynamo.model.conditions import ConditionReason
from ecs_dynamo.model.dynamo.containers import dynamo_containers
from ecs_dynamo.model.dynamo.namespaces import own_settings
from ecs_dynamo.model.generations import PLAIN, Dormant, GenerationMode, Generations, generation_in
from ecs_dynamo.model.graph import (
    TAG_COMPONENT,
    TAG_GENERATION,
    TAG_WITHDRAWN,
    Component,
    Graph,
    JsonObject,
)
from ecs_dynamo.model.service import Service, good_number
from ecs_dynamo.model.snapshot import ClusterServices, Revision, Unknown
from ecs_dynamo.planning.desired.generations.identity import (
    card_content,
    declared_card_content,
    generation_of,
)


def service_name(component: Component, generation: str | None) -> str:
    """Return the name of the service of a declared component's generation."""
    return component.service if generation is None else f"{component.service}-{generation}"


def expected_services(graph: Graph) -> dict[str, set[str]]:
    """Return the services, by cluster, that must be asked for by name, as lists may omit them.

    These are the declared ones, and for workers both the plain ones and those of the declared
    generation.
    """
    names: dict[str, set[str]] = {}
    generation = generation_of(graph) if why_off(graph) is None else None
    for component in graph.components:
        own = names.setdefault(component.cluster, set())
        own.add(component.service)
        if component.is_worker:
            own.add(service_name(component, generation))
    return names


def plain_services(graph: Graph) -> tuple[tuple[str, str], ...]:
    """Return cluster and name of the workers' services without a generation."""
    return tuple((c.cluster, c.service) for c in _workers(graph)) if why_off(graph) is None else ()


def why_off(graph: Graph) -> str | None:
    """Return why the graph's workers cannot have generations; None if they can."""
    workers = _workers(graph)
    frontends = [c for c in graph.components if c.is_frontend]
    if not workers:
        return "it has no workers"
    if not frontends:
        return "it has no frontend that could serve several namespaces"
    if any(c.is_worker for c in frontends):
        return "a frontend runs in the same task as a worker"
    for component in (*workers, *frontends):
        own = next(own_settings(component, graph.namespace), None)
        if own is not None:
            return own.text
    return None


@dataclass(frozen=True, slots=True)
class _Running:
    """The live services of one generation, by component."""

    generation: str | None
    services: Mapping[str, Service]

    @property
    def has_replicas(self) -> bool:
        return any(s.desired or s.running or s.pending for s in self.services.values())

    @property
    def is_good(self) -> bool:
        """Whether each of its components has served."""
        return all(good_number(s) is not None for s in self.services.values())

    @property
    def age(self) -> int:
        """A number that grows with each newer generation: that of its newest revision."""
        return max(revision_number(s.task_definition_arn) for s in self.services.values())


def expand(
    graph: Graph, services: Mapping[str, ClusterServices], revisions: Mapping[str, Revision]
) -> Graph:
    """Return the effective graph of one pass.

    ``services`` are those of each observed cluster, ``revisions`` (by ARN) those to which the plain
    services of workers are set. Where they are not known, it is unknown how the frontends find
    their workers, and the mode says so.
    """
    off = why_off(graph)
    if off is not None:
        return replace(graph, generations=Generations(GenerationMode.OFF, why=off))
    workers, generation = _workers(graph), generation_of(graph)
    unknown = _why_unknown(workers, services, revisions, generation)
    running = _running(graph, workers, services)
    is_plain = _runs_plain(graph, workers, running.get(None), revisions)
    declared = None if is_plain else generation
    withdrawn = _withdrawn(running.values(), declared)
    previous = _previous(running.values(), declared)
    target = declared if withdrawn is None or previous is None else previous.generation
    if unknown is not None:
        mode = GenerationMode.UNKNOWN
    elif None not in running:
        mode = GenerationMode.IN_FORCE
    elif is_plain and not any(r.has_replicas for g, r in running.items() if g is not None):
        mode = GenerationMode.PLAIN
    else:
        mode = GenerationMode.ADOPTING
    beside = [r for g, r in sorted(running.items(), key=str) if g != target and r.has_replicas]
    components: list[Component] = []
    for component in graph.components:
        if not component.is_worker:
            components.append(component)
            continue
        components.append(_of_generation(component, target))
        components += [
            replace(
                _of_generation(component, other.generation),
                name=f"{component.name}@{other.generation or PLAIN}",
                declared_name=component.name,
            )
            for other in beside
            if component.name in other.services
        ]
    generations = Generations(
        mode=mode,
        declared=declared,
        target=target,
        previous=(previous.generation or PLAIN) if previous is not None else None,
        withdrawn=withdrawn,
        dormant=tuple(
            Dormant(g or PLAIN, name, s.cluster, s.name, s.status == "ACTIVE")
            for g, r in sorted(running.items(), key=str)
            if g != target and not r.has_replicas
            for name, s in r.services.items()
        ),
        why=unknown or "",
    )
    return replace(graph, components=tuple(components), generations=generations)


def _workers(graph: Graph) -> tuple[Component, ...]:
    return tuple(c for c in graph.components if c.is_worker)


def _of_generation(component: Component, generation: str | None) -> Component:
    name = service_name(component, generation)
    return replace(component, service=name, generation=generation)


def _running(
    graph: Graph, workers: Iterable[Component], services: Mapping[str, ClusterServices]
) -> dict[str | None, _Running]:
    """Return the generations that have live services; None stands for plain workers."""
    known = {(c.cluster, c.name): c for c in workers}
    generations: dict[str | None, dict[str, Service]] = {}
    for cluster, in_cluster in services.items():
        if isinstance(in_cluster, Unknown):
            continue
        for service in in_cluster.values():
            if (
                isinstance(service, Unknown)
                or service.status == "INACTIVE"
                or not service.owned_by(graph.name)
            ):
                continue
            generation = service.tags.get(TAG_GENERATION)
            component = known.get((cluster, service.tags.get(TAG_COMPONENT, "")))
            # The name counts as well: tags can be edited, and each service must be found by it.
            if component is not None and service.name == service_name(component, generation):
                generations.setdefault(generation, {})[component.name] = service
    return {g: _Running(g, own) for g, own in generations.items()}


def _why_unknown(
    workers: Iterable[Component],
    services: Mapping[str, ClusterServices],
    revisions: Mapping[str, Revision],
    own: str,
) -> str | None:
    """Return why it is unknown which generations there are; None if it is known.

    ``own`` is the generation of the declaration, whose services are components in any case.
    """
    for component in workers:
        in_cluster = services.get(component.cluster, {})
        if isinstance(in_cluster, Unknown):
            return f"the services of {component.name} could not be observed: {in_cluster.reason}"
        service = in_cluster.get(component.service)
        if isinstance(service, Unknown):
            return f"the service of {component.name} could not be observed: {service.reason}"
        if (
            service is not None
            and service.status == "ACTIVE"
            and service.task_definition_arn not in revisions
        ):
            return f"{service.task_definition_arn} of {component.name} could not be read"
        for name, other in in_cluster.items():
            generation = generation_in(component.service, name)
            if isinstance(other, Unknown) and generation not in (None, own):
                return f"generation {generation} of {component.name} is unknown: {other.reason}"
    return None


def _runs_plain(
    graph: Graph,
    workers: Collection[Component],
    plain: _Running | None,
    revisions: Mapping[str, Revision],
) -> bool:
    """Return whether plain services run all that is declared, apart from excepted parts."""
    if plain is None:
        return False
    for component in workers:
        service = plain.services.get(component.name)
        revision = revisions.get(service.task_definition_arn) if service is not None else None
        if revision is None or not _same_card(graph, component, revision.content):
            return False
    return True


def _same_card(graph: Graph, component: Component, content: JsonObject) -> bool:
    names = dynamo_containers(component).names
    return card_content(content, names) == declared_card_content(graph, component)


def _previous(running: Iterable[_Running], declared: str | None) -> _Running | None:
    """Return the good generation to return to: one that runs before one that has ended."""
    candidates = list(running)
    failed = {
        service.tags.get(TAG_WITHDRAWN, "").partition(" ")[0]
        for r in candidates
        for service in r.services.values()
    }
    return max(
        (
            r
            for r in candidates
            if r.is_good and r.generation != declared and r.generation not in failed
        ),
        key=lambda r: (r.has_replicas, r.age),
        default=None,
    )


def _withdrawn(running: Iterable[_Running], declared: str | None) -> str | None:
    """Return the reason word for which the declared generation was withdrawn; None if it was not.

    It is recorded on the services of the generation that serves instead.
    """
    for service in (s for r in running for s in r.services.values()):
        words = service.tags.get(TAG_WITHDRAWN, "").split()
        if declared is not None and words[:1] == [declared]:
            return words[1] if len(words) > 1 else ConditionReason.ROLLED_BACK
    return None
