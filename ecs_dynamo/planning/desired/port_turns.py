"""Which system port a revision gets: revisions of a host-mode component take turns (`ports`).

A task that replaces a running one must be able to start beside it on the same instance, so its port
must differ from those of the component's running tasks. This also holds for an earlier revision: a
rollback is a new deployment, whose tasks may run beside others of the same revision.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any

from ecs_dynamo.model.dynamo.containers import dynamo_containers
from ecs_dynamo.model.dynamo.variables import SYSTEM_PORT_VARIABLE
from ecs_dynamo.model.ecs.gpus import gpus_of
from ecs_dynamo.model.ecs.task_definition import environment_value
from ecs_dynamo.model.graph import Component, Graph, JsonObject
from ecs_dynamo.model.plan import Endpoints
from ecs_dynamo.model.snapshot import Revision, Snapshot, Task, Unknown
from ecs_dynamo.planning.desired.canonical import means_the_same
from ecs_dynamo.planning.desired.component import ComponentState
from ecs_dynamo.planning.desired.ports import PortPlan
from ecs_dynamo.planning.desired.rendering import (
    render,
    same_without_routing_ids,
)


def render_in_turn(
    graph: Graph, state: ComponentState, endpoints: Endpoints, ports: PortPlan, snapshot: Snapshot
) -> JsonObject:
    """Return the rendered task definition of a component; the content of ``state`` is not used.

    The current revision keeps its port, unless tasks that it replaces have the same port and its
    tasks may start beside them.
    """
    component = state.component
    port = ports.system_ports.get(component.name, graph.runtime.system_port)
    turns = ports.turns.get(component.name, (port,))
    current = state.current
    used = {_port_of(state, task) for task in _running(state)}
    if current is not None:
        used.add(_port(component, current))
        for turn in turns:
            content = render(graph, component, endpoints, turn)
            if same_without_routing_ids(current.content, content):
                if _may_collide(state, snapshot, state.old_tasks, str(turn)):
                    break
                return content
    free = [turn for turn in turns if str(turn) not in used]
    return render(graph, component, endpoints, (free or turns)[0])


def take_turn(state: ComponentState, ports: PortPlan, snapshot: Snapshot) -> JsonObject | None:
    """Return the content of a component on hold, with a port at which it can start.

    ``state`` is the state on hold; None is returned where it has no content.
    """
    content, turns = state.content, ports.turns.get(state.component.name, ())
    current = state.current
    if content is None or len(turns) < 2:
        return content
    names = dynamo_containers(state.component).names
    port = environment_value(content, SYSTEM_PORT_VARIABLE, names)
    settled = current is not None and means_the_same(current.content, content)
    beside = state.old_tasks if settled else _running(state)
    if port is None or not _may_collide(state, snapshot, beside, port):
        return content
    used = {_port_of(state, task) for task in beside}
    free = [str(turn) for turn in turns if str(turn) not in used]
    return _at_port(content, names, free[0]) if free else content


def _running(state: ComponentState) -> tuple[Task, ...]:
    return tuple(t for t in (*state.new_tasks, *state.old_tasks) if t.desired_status == "RUNNING")


def _port(component: Component, revision: Revision) -> str | None:
    names = dynamo_containers(component).names
    return environment_value(revision.content, SYSTEM_PORT_VARIABLE, names)


def _port_of(state: ComponentState, task: Task) -> str | None:
    revision = state.observed.snapshot.revisions.get(task.task_definition_arn)
    return _port(state.component, revision) if revision is not None else None


def _may_collide(
    state: ComponentState, snapshot: Snapshot, tasks: Iterable[Task], port: str
) -> bool:
    """Return whether one more replica may run beside one of ``tasks`` that uses the port."""
    instances = snapshot.container_instances.get(state.component.cluster, ())
    known = () if isinstance(instances, Unknown) else instances
    slots = gpus_of(state.component)
    fitting = {i.arn for i in known if i.gpus_free >= slots}
    return any(_port_of(state, t) == port and t.container_instance_arn in fitting for t in tasks)


def _at_port(content: JsonObject, names: Iterable[str], port: str) -> JsonObject:
    changed: dict[str, Any] = copy.deepcopy(dict(content))
    for container in changed.get("containerDefinitions", ()):
        if container["name"] in names:
            for entry in container.get("environment", ()):
                if entry["name"] == SYSTEM_PORT_VARIABLE:
                    entry["value"] = port
    return changed
