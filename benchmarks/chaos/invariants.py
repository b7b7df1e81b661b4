"""Invariants that every fault must preserve, checked by observation from outside the daemon."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field

from benchmarks.chaos.graph import without_generation


@dataclass(frozen=True, slots=True)
class ObservedService:
    """A service that is not deleted."""

    name: str
    cluster: str
    desired: int

    @property
    def base(self) -> str:
        """The name without a generation."""
        return without_generation(self.name)


@dataclass(frozen=True, slots=True)
class ObservedTask:
    """A task of the graph. ``service`` is the name of its service without a generation.

    ``alive``: ECS has not begun to stop it; otherwise ``stop_code`` says why. ``ready``: by its own
    last answer.
    """

    id: str
    service: str
    alive: bool
    ready: bool
    stop_code: str | None = None
    revision_active: bool = True


@dataclass(frozen=True, slots=True)
class Write:
    """A writing call of the daemon. ``targets`` are the services and families that it changes."""

    operation: str
    targets: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class View:
    """The services and tasks at one moment, and the number of revisions of each family so far."""

    services: tuple[ObservedService, ...] = ()
    tasks: tuple[ObservedTask, ...] = ()
    revisions: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Rules:
    """The invariants during one fault; mappings are by service name, without a generation.

    ``floors``: how many ready replicas must remain if one is stopped. ``counts``: smallest and
    largest desired count. ``victims``: ids of tasks that the campaign itself ends. ``revisions``:
    how many new revisions a family may get.
    """

    floors: Mapping[str, int]
    counts: Mapping[str, tuple[int, int]]
    victims: Collection[str] = ()
    revisions: int = 2


BY_CHOICE = frozenset({"ServiceSchedulerInitiated", "UserInitiated"})
"""Stop codes of deliberate stops (Task.stopCode in ECS's service model)."""


def moment_violations(before: View, now: View, rules: Rules) -> Iterator[str]:
    """Yield the violations that ``now`` shows, one moment after ``before``."""
    yield from _duplicate_services(now)
    yield from _counts_out_of_bounds(now, rules)
    yield from _stopped_too_early(before, now, rules)
    for task in now.tasks:
        if task.alive and not task.revision_active:
            yield f"a revision that {task.service} runs was deregistered"


def _duplicate_services(now: View) -> Iterator[str]:
    """Yield duplicates: a component has one service, even after an answer was lost."""
    for name, number in Counter(s.name for s in now.services).items():
        if number > 1:
            yield f"{number} services are called {name}"


def _counts_out_of_bounds(now: View, rules: Rules) -> Iterator[str]:
    """Yield counts out of bounds; while generations are exchanged, both together have more."""
    for base in {s.base for s in now.services}:
        counts = [s.desired for s in now.services if s.base == base]
        total = sum(counts)
        least, most = rules.counts.get(base, (total, total))
        both = sum(count > 0 for count in counts) > 1
        if not least <= total <= most * (2 if both else 1) or max(counts) > most:
            yield f"{base} was set to {total}, outside {least} to {most}"


def _stopped_too_early(before: View, now: View, rules: Rules) -> Iterator[str]:
    """Yield stops of ready replicas after which too few ready ones remain."""
    previous = {t.id: t for t in before.tasks}
    for name, floor in rules.floors.items():
        tasks = [t for t in now.tasks if t.service == name]
        ready = {t.id for t in before.tasks if t.service == name and t.alive and t.ready}
        lost = {t.id for t in tasks if not t.alive and t.stop_code not in BY_CHOICE}
        lost |= ready & set(rules.victims)
        # Nobody could have known that these tasks would end at this moment.
        ready -= lost
        remaining = sum(t.alive and t.id in ready for t in tasks)
        stopped = [
            t
            for t in tasks
            if not t.alive and t.id in ready and previous[t.id].alive and t.stop_code in BY_CHOICE
        ]
        if stopped and remaining < min(floor, len(ready)):
            yield f"{name}: {len(stopped)} ready stopped with {remaining} others ready, not {floor}"


def revision_violations(before: View, now: View, rules: Rules) -> Iterator[str]:
    """Yield families with too many revisions: a change creates one, however often it is tried."""
    for family, number in now.revisions.items():
        if (new := number - before.revisions.get(family, 0)) > rules.revisions:
            yield f"{family} has had {new} new revisions, not at most {rules.revisions}"


def write_violations(write: Write, owned: Collection[str]) -> Iterator[str]:
    """Yield targets of a write other than the resources of the graph, which are ``owned``."""
    for target in write.targets:
        if target not in owned:
            yield f"{write.operation} on {target}, which is not the graph's"
