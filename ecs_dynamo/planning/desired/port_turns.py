"""Which system port a revision gets: revisions of a host-mode component take turns (`ports`).

What is to replace a running task must be able to start beside it on one instance, so it takes a
port that no running task of the component has. This holds for a former revision too: going back
begins a new deployment, whose tasks may come to run beside those of the same revision.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any

from ecs_dynamo.model.dynamo.containers import dynamo_containers
from ecs_dynamo.model.dynamo.variables import SYSTEM_PORT_VARIABLE
from ecs_dynamo.model.ecs.task_definition import (
    environment_value,
    gpus_of,
)
from ecs_dynamo.model.graph import Component, Graph, JsonObject
from ecs_dynamo.model.plan import Endpoints
from ecs_dynamo.model.snapshot import Revision, Snapshot, Task, Unknown
from ecs_dynamo.planning.desired.canonical import means_the_same
from ecs_dynamo.planning.desired.component import ComponentState
from ecs_dynamo.planning.desired.ports import PortPlan
from ecs_dynamo.planning.desired.rendering import (
    anonymous,
    render,
)


def render_in_turn(
    graph: Graph, seen: ComponentState, endpoints: Endpoints, ports: PortPlan, snapshot: Snapshot
) -> JsonObject:
    """The rendered task definition; ``seen`` tells what runs, its content is not looked at.

    What runs keeps its port, unless tasks that it replaces have the same and may be beside it.
    """
    component = seen.component
    port = ports.system_ports.get(component.name, graph.runtime.system_port)
    turns = ports.turns.get(component.name, (port,))
    current = seen.current
    for turn in turns if current is not None else ():
        made = render(graph, component, endpoints, turn)
        if current is not None and means_the_same(anonymous(current.content), anonymous(made)):
            if _crowded(seen, snapshot, seen.old_tasks, str(turn)):
                break
            return made
    used = {_port_of(seen, task) for task in _running(seen)}
    if current is not None:
        used.add(_port(component, current))
    free = [turn for turn in turns if str(turn) not in used]
    return render(graph, component, endpoints, (free or turns)[0])


def take_turn(state: ComponentState, ports: PortPlan, snapshot: Snapshot) -> JsonObject | None:
    """The content of a component that is held back, at a port that it can start at."""
    content, turns = state.content, ports.turns.get(state.component.name, ())
    current = state.current
    if content is None or len(turns) < 2:
        return content
    names = dynamo_containers(state.component).names
    port = environment_value(content, SYSTEM_PORT_VARIABLE, names)
    settled = current is not None and means_the_same(current.content, content)
    beside = state.old_tasks if settled else _running(state)
    if port is None or not _crowded(state, snapshot, beside, port):
        return content
    used = {_port_of(state, task) for task in beside}
    free = [str(turn) for turn in turns if str(turn) not in used]
    return _at_port(content, names, free[0]) if free else content


def _running(seen: ComponentState) -> tuple[Task, ...]:
    return tuple(t for t in (*seen.new_tasks, *seen.old_tasks) if t.desired_status == "RUNNING")


def _port(component: Component, revision: Revision) -> str | None:
    names = dynamo_containers(component).names
    return environment_value(revision.content, SYSTEM_PORT_VARIABLE, names)


def _port_of(seen: ComponentState, task: Task) -> str | None:
    revision = seen.observed.revisions.get(task.task_definition_arn)
    return _port(seen.component, revision) if revision is not None else None


def _crowded(seen: ComponentState, snapshot: Snapshot, tasks: Iterable[Task], port: str) -> bool:
    """Whether one more replica may come to run beside one of ``tasks`` that has the port."""
    instances = snapshot.container_instances.get(seen.component.cluster, ())
    known = () if isinstance(instances, Unknown) else instances
    roomy = {i.arn for i in known if i.gpus_free >= gpus_of(seen.component)}
    return any(_port_of(seen, t) == port and t.container_instance_arn in roomy for t in tasks)


def _at_port(content: JsonObject, names: Iterable[str], port: str) -> JsonObject:
    made: dict[str, Any] = copy.deepcopy(dict(content))
    for container in made.get("containerDefinitions", ()):
        if container["name"] in names:
            for entry in container.get("environment", ()):
                if entry["name"] == SYSTEM_PORT_VARIABLE:
                    entry["value"] = port
    return made
