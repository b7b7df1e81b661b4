"""The containers of a task that run Dynamo.

Only they receive the values that the graph injects: image, command, environment, endpoints,
Dynamo's runtime settings and secrets. "Essential" does not identify them: log routers and
monitoring agents are often essential too, and must not receive NATS's credentials or Dynamo's
image.

A user may name them (``container``). Otherwise the evidence decides, the strongest kind first:

1. the command starts a module of Dynamo (``python3 -m dynamo.vllm``), or the container declares a
   ``DYN_*`` variable, which nothing else reads;
2. it asks for endpoints: ``ETCD_ENDPOINTS``, ``NATS_SERVER`` or the word ``IP_ADDRESS``;
3. its image is named after Dynamo or one of its engines;
4. it is the only container, the only essential one, or the only one with GPUs.

A container that asks for endpoints beside others whose command starts Dynamo also runs Dynamo if it
has the image of one of them, or an image of Dynamo. Otherwise (an exporter of etcd's metrics, or
Dynamo started by an image's own entry point) the result is doubtful, and the user must name the
containers.

A container with ``firelensConfiguration`` is a log router (ECS API reference, ContainerDefinition)
and never runs Dynamo.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ecs_dynamo.model.dynamo.variables import (
    ETCD_VARIABLE,
    NATS_VARIABLE,
    PLACEHOLDER,
    SYSTEM_PORT_VARIABLE,
)
from ecs_dynamo.model.ecs.task_definition import (
    Container,
    command_line,
    container_names,
    containers_in,
    environment_value,
)
from ecs_dynamo.model.graph import Component, JsonObject

_RUNS = re.compile(
    r"(?:^|\s)-m\s+dynamo\.\w"
    r"|(?<![\w./-])dynamo\.(?:frontend|vllm|sglang|trtllm|mocker|planner|router|global_router)\b"
    r"|(?:^|[\s/])dynamo-run\b"
)
_IMAGE = re.compile(r"dynamo(?!db)|vllm|sglang|trt-?llm|tensorrt-?llm", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class DynamoContainers:
    """Names of the containers that run Dynamo, in the order of the task definition.

    ``why`` is the evidence, as the end of a sentence. If it is ``doubtful``, ``names`` are the
    candidates.
    """

    names: tuple[str, ...]
    why: str
    doubtful: bool = False


def _variables(container: Container) -> set[str]:
    return {
        str(entry.get("name", ""))
        for key in ("environment", "secrets")
        for entry in container.get(key) or ()
    }


def _starts_dynamo(container: Container) -> bool:
    return _RUNS.search(command_line(container)) is not None or any(
        name.startswith("DYN_") for name in _variables(container)
    )


def asks_for_address(container: Container) -> bool:
    """Return whether the container has the address placeholder in its environment or command."""
    values = [str(e.get("value", "")) for e in container.get("environment") or ()]
    return any(PLACEHOLDER in text for text in (*values, command_line(container)))


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
    """Return whether the container is FireLens's log router."""
    return bool(container.get("firelensConfiguration"))


def find_dynamo_containers(content: JsonObject) -> DynamoContainers:
    """Infer the containers of a task definition that run Dynamo."""
    possible = [c for c in containers_in(content) if not is_log_router(c)]
    if len(possible) <= 1:
        others = len(containers_in(content)) - len(possible)
        why = "no other container could run it" if others else "it is the only container"
        return DynamoContainers(_names(possible), why)
    essential = [c for c in possible if _is_essential(c)]
    certain = [c for c in possible if _starts_dynamo(c)]
    asking = [c for c in possible if _asks_for_endpoints(c)]
    if certain:
        images = {c.get("image") for c in certain}
        related = [c for c in asking if c.get("image") in images or _has_dynamo_image(c)]
        running = [c for c in possible if c in certain or c in related]
        if unrelated := [c for c in asking if c not in running]:
            return DynamoContainers(
                _names(c for c in possible if c in running or c in unrelated),
                f"{_listed(_names(certain))} by command or DYN_* variables, but "
                f"{_listed(_names(unrelated))} by the endpoints asked for",
                doubtful=True,
            )
        return DynamoContainers(_names(running), "by command and environment")
    if asking:
        return DynamoContainers(_names(asking), "by the endpoints asked for")
    candidates = essential or possible
    if named := [c for c in candidates if _has_dynamo_image(c)]:
        return DynamoContainers(_names(named), "by the image")
    if len(candidates) == 1:
        return DynamoContainers(_names(candidates), "no other container is essential")
    with_gpus = [c for c in candidates if _has_gpus(c)]
    if len(with_gpus) == 1:
        return DynamoContainers(_names(with_gpus), "no other container has GPUs")
    return DynamoContainers(
        _names(candidates), "there is no evidence which of them runs Dynamo", doubtful=True
    )


def dynamo_containers(component: Component) -> DynamoContainers:
    """Return the containers of ``component`` that run Dynamo, as declared or else as inferred."""
    if component.containers:
        return DynamoContainers(component.containers, component.containers_why)
    return find_dynamo_containers(component.template)


def containers_note(component: Component) -> str | None:
    """Return the note of `plan` about a task with several containers; None for other tasks."""
    names = container_names(component.template)
    if component.is_infrastructure or len(names) < 2:
        return None
    dynamo = dynamo_containers(component)
    others = [name for name in names if name not in dynamo.names]
    text = f"{component.name}: Dynamo runs in {_listed(dynamo.names)} ({dynamo.why})"
    return f"{text}; left as written: {_listed(others)}" if others else text


def _names(containers: Iterable[Container]) -> tuple[str, ...]:
    return tuple(str(c.get("name", "")) for c in containers)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names)


def declared_port(component: Component) -> int | None:
    """Return the system port that the task definition declares; None where it declares none."""
    names = dynamo_containers(component).names
    text = environment_value(component.template, SYSTEM_PORT_VARIABLE, names) or ""
    return int(text) if text.isdecimal() else None
