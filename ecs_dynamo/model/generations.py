"""Generations: the workers of a graph that were rendered from one declaration.

In one Dynamo namespace all workers must share one model card (measured on 1.6.1: frontends log
"Rejected incompatible workers" and route to the first card only). Therefore each generation of
workers registers in a namespace of its own, ``{namespace}-{generation}``, and frontends serve every
namespace that starts with their prefix, each with a router of its own. Dynamo's Kubernetes operator
does the same (``DYN_NAMESPACE_WORKER_SUFFIX`` and ``DYN_NAMESPACE_PREFIX``).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from ecs_dynamo.model.conditions import ConditionReason

_GENERATION = re.compile(r"g[0-9a-f]{8}")
SUFFIX_START = "g"
"""First character of each generation, and so the end of the frontends' prefix."""
PLAIN = "plain"
"""How the workers without a generation are called in names and messages."""


class GenerationMode(StrEnum):
    """Whether the workers of a graph have generations."""

    OFF = "off"
    """They cannot have any, for example because the user sets Dynamo's variables."""
    PLAIN = "plain"
    """They were started before there were generations, and nothing changes that yet."""
    ADOPTING = "adopting"
    """Plain workers and generations run beside each other."""
    IN_FORCE = "in force"
    UNKNOWN = "unknown"
    """The services of the workers could not be observed."""


@dataclass(frozen=True, slots=True)
class Dormant:
    """A service of a generation that has no replicas: the rollback target, or yet to be deleted.

    ``generation`` is `PLAIN` for plain workers.
    """

    generation: str
    component: str
    cluster: str
    service: str
    is_active: bool
    """Whether it is not being deleted already."""


@dataclass(frozen=True, slots=True)
class Generations:
    """The generations of a graph in one pass.

    ``target`` is the generation that is to have the replicas: the ``declared`` one, or the previous
    good one where the declared one was withdrawn. For both, None stands for plain workers.
    ``previous`` is the good generation to which a rollback leads (`PLAIN` for plain workers); None
    if there is none. ``dormant`` are services without replicas of other generations than the
    target. ``why`` says why there are no generations, or why they are unknown.
    """

    mode: GenerationMode = GenerationMode.OFF
    declared: str | None = None
    target: str | None = None
    previous: str | None = None
    withdrawn: str | None = None
    """The reason word for which the declared generation was withdrawn; None if it was not."""
    dormant: tuple[Dormant, ...] = ()
    why: str = ""


def origin_of(name: str) -> str:
    """Return the declared component of a component's name, such as ``decode@g1a2b3c4d``."""
    return name.partition("@")[0]


@dataclass(frozen=True, slots=True)
class GenerationFailure:
    """Why a generation cannot take over."""

    generation: str
    reason: ConditionReason
    message: str


def namespace_of(namespace: str, generation: str | None) -> str:
    """Return the Dynamo namespace in which the workers of a generation register.

    Dynamo joins the two with a hyphen (1.6.1, ``dynamo/common/utils/namespace.py``).
    """
    return namespace if generation is None else f"{namespace}-{generation}"


def planner_namespaces(namespace: str, generations: Generations) -> tuple[str, ...]:
    """Return the namespaces in which Dynamo's planner may write its keys, the preferred one first.

    The planner uses exactly its own ``DYN_NAMESPACE``, and counts the workers in it (1.6.1,
    ``dynamo/planner/connectors/virtual.py``). The graph's planner is therefore in the namespace of
    the target generation (`planner_namespace`). A planner that the user runs may be in the graph's.
    """
    return tuple(dict.fromkeys((planner_namespace(namespace, generations), namespace)))


def planner_namespace(namespace: str, generations: Generations) -> str:
    """Return the namespace of the graph's own planner: that of the workers that it counts."""
    in_force = generations.mode is GenerationMode.IN_FORCE
    return namespace_of(namespace, generations.target if in_force else None)


def generation_in(base: str, name: str) -> str | None:
    """Return the generation in ``name``: a Dynamo namespace, or the name of a service.

    None where the name is not ``base`` with the suffix of a generation: plain workers, or another
    graph or component.
    """
    own, _, generation = name.rpartition("-")
    return generation if own == base and _GENERATION.fullmatch(generation) else None


def is_own_namespace(namespace: str, registered: str) -> bool:
    """Return whether the graph with ``namespace`` has workers that register in ``registered``."""
    return registered == namespace or generation_in(namespace, registered) is not None


def shorter_namespaces(namespace: str) -> tuple[str, ...]:
    """Return the possible namespaces of graphs whose generations' prefix matches ``namespace``.

    For ``qwen-gpu`` that is ``qwen``: the prefix of its frontends is ``qwen-g``.
    """
    separator = f"-{SUFFIX_START}"
    parts = namespace.split(separator)
    return tuple(separator.join(parts[:end]) for end in range(1, len(parts)) if parts[0])


def frontend_prefix(namespace: str, mode: GenerationMode) -> str | None:
    """Return the prefix of the namespaces that frontends serve; None for exactly ``namespace``.

    While plain workers run, the prefix must match their namespace, too. Otherwise it ends with the
    first character of a generation, so that a graph called ``qwen`` does not serve the workers of
    one called ``qwen-large``.
    """
    if mode is GenerationMode.ADOPTING:
        return namespace
    if mode is GenerationMode.IN_FORCE:
        return f"{namespace}-{SUFFIX_START}"
    return None
