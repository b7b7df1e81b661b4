"""Which containers of a task run Dynamo.

They alone receive what the graph injects: image, command, environment, endpoints, Dynamo's runtime
settings and secrets. "Essential" does not tell them apart, since log routers and monitoring agents
are often essential too, and must not receive NATS's credentials or Dynamo's image.

A user may name them (``container``). Otherwise the evidence decides, the strongest kind first:

1. the command starts a module of Dynamo (``python3 -m dynamo.vllm``), or the container declares a
   ``DYN_*`` variable, which nothing else reads;
2. it asks for endpoints: ``ETCD_ENDPOINTS``, ``NATS_SERVER`` or the word ``IP_ADDRESS``;
3. its image is named after Dynamo or one of its engines;
4. nothing else can be meant: the only container, the only essential one, or the only one with GPUs.

A container that asks for endpoints beside others whose command starts Dynamo is one of them where
its image is theirs or Dynamo's. Otherwise (an exporter of etcd's metrics, or Dynamo started by an
image's own entry point) it is doubtful, and the user must say which are meant.

A container with ``firelensConfiguration`` is a log router (ECS API reference, ContainerDefinition)
and never runs Dynamo.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ecs_dynamo.model.dynamo.variables import (
    ETCD_VARIABLE,
    NATS_VARIABLE,
    PLACEHOLDER,
    SYSTEM_PORT_VARIABLE,
)
from ecs_dynamo.model.ecs.task_definition import environment_value
from ecs_dynamo.model.graph import Component, JsonObject

_RUNS = re.compile(
    r"(?:^|\s)-m\s+dynamo\.\w"
    r"|(?<![\w./-])dynamo\.(?:frontend|vllm|sglang|trtllm|mocker|planner|router|global_router)\b"
    r"|(?:^|[\s/])dynamo-run\b"
)
_IMAGE = re.compile(r"dynamo(?!db)|vllm|sglang|trt-?llm|tensorrt-?llm", re.IGNORECASE)

Container = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class DynamoContainers:
    """Names of the containers that run Dynamo, in the task definition's order, and how that is
    known, as the end of a sentence. Where it is not known (``doubtful``), ``names`` holds the
    candidates."""

    names: tuple[str, ...]
    why: str
    doubtful: bool = False


def container_names(content: JsonObject) -> tuple[str, ...]:
    """Names of all containers of a task definition."""
    return tuple(str(c.get("name", "")) for c in content.get("containerDefinitions", ()))


def _words(container: Container) -> str:
    words = (*(container.get("entryPoint") or ()), *(container.get("command") or ()))
    return " ".join(str(word) for word in words)


def _variables(container: Container) -> set[str]:
    return {
        str(entry.get("name", ""))
        for key in ("environment", "secrets")
        for entry in container.get(key) or ()
    }


def _starts_dynamo(container: Container) -> bool:
    return _RUNS.search(_words(container)) is not None or any(
        name.startswith("DYN_") for name in _variables(container)
    )


def asks_for_address(container: Container) -> bool:
    """Whether the container has the placeholder of an address in its environment or command."""
    values = [str(e.get("value", "")) for e in container.get("environment") or ()]
    return any(PLACEHOLDER in text for text in (*values, _words(container)))


def _asks_for_endpoints(container: Container) -> bool:
    named = _variables(container) & {ETCD_VARIABLE, NATS_VARIABLE}
    return bool(named) or asks_for_address(container)


def _has_dynamo_image(container: Container) -> bool:
    return _IMAGE.search(str(container.get("image", ""))) is not None


def _is_essential(container: Container) -> bool:
    return bool(container.get("essential", True))


def _has_gpus(container: Container) -> bool:
    return any(r.get("type") == "GPU" for r in container.get("resourceRequirements") or ())


def is_log_router(container: Container) -> bool:
    """Whether the container is FireLens's log router."""
    return bool(container.get("firelensConfiguration"))


def find_dynamo_containers(content: JsonObject) -> DynamoContainers:
    """Infer which containers of a task definition run Dynamo."""
    possible = [c for c in content.get("containerDefinitions", ()) if not is_log_router(c)]
    if len(possible) <= 1:
        others = len(content.get("containerDefinitions", ())) - len(possible)
        why = "no other container could run it" if others else "it is the only container"
        return DynamoContainers(_names(possible), why)
    essential = [c for c in possible if _is_essential(c)]
    certain = [c for c in possible if _starts_dynamo(c)]
    asking = [c for c in possible if _asks_for_endpoints(c)]
    if certain:
        images = {c.get("image") for c in certain}
        kin = [c for c in asking if c.get("image") in images or _has_dynamo_image(c)]
        found = [c for c in possible if c in certain or c in kin]
        if strangers := [c for c in asking if c not in found]:
            return DynamoContainers(
                _names(c for c in possible if c in found or c in strangers),
                f"{_listed(_names(certain))} by command or DYN_* variables, but "
                f"{_listed(_names(strangers))} by the endpoints asked for",
                doubtful=True,
            )
        return DynamoContainers(_names(found), "told by command and environment")
    if asking:
        return DynamoContainers(_names(asking), "told by the endpoints asked for")
    tests: tuple[tuple[str, Callable[[Container], bool]], ...] = (
        ("told by the image", _has_dynamo_image),
        ("no other container is essential", lambda _: True),
        ("no other container has GPUs", _has_gpus),
    )
    for why, test in tests:
        found = [c for c in essential or possible if test(c)]
        if len(found) == 1 or (found and test is _has_dynamo_image):
            return DynamoContainers(_names(found), why)
    return DynamoContainers(
        _names(essential or possible), "nothing tells which of them runs Dynamo", doubtful=True
    )


def dynamo_containers(component: Component) -> DynamoContainers:
    """The containers of ``component`` that run Dynamo: as declared or settled, else inferred."""
    if component.containers:
        return DynamoContainers(component.containers, component.containers_why)
    return find_dynamo_containers(component.template)


def containers_note(component: Component) -> str | None:
    """Return `plan`'s note on a task with several containers: those that run Dynamo."""
    names = container_names(component.template)
    if component.is_infrastructure or len(names) < 2:
        return None
    found = dynamo_containers(component)
    others = [name for name in names if name not in found.names]
    text = f"{component.name}: Dynamo runs in {_listed(found.names)} ({found.why})"
    return f"{text}; left as written: {_listed(others)}" if others else text


def _names(containers: Iterable[Container]) -> tuple[str, ...]:
    return tuple(str(c.get("name", "")) for c in containers)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names)


def declared_port(component: Component) -> int | None:
    """The system port that the task definition sets itself; None where it leaves it open."""
    names = dynamo_containers(component).names
    text = environment_value(component.template, SYSTEM_PORT_VARIABLE, names) or ""
    return int(text) if text.isdecimal() else None
