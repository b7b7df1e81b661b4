"""The task definition of each member of an etcd cluster.

etcd reads its environment only when it starts without data, so the environment of a running member
is frozen: a change of the endpoints of others must not replace it. A changed declaration replaces a
member by another one, which joins under its own id.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ecs_dynamo.model.dynamo.discovery import EtcdMember
from ecs_dynamo.model.dynamo.etcd_cluster import (
    ADVERTISE,
    CLUSTER,
    EXISTING,
    FROZEN,
    GENERATION,
    LISTEN,
    NEW,
    STATE,
)
from ecs_dynamo.model.ecs.task_definition import environment_value
from ecs_dynamo.model.graph import Component, Graph, JsonObject
from ecs_dynamo.model.snapshot import Revision
from ecs_dynamo.planning.desired.canonical import fingerprint
from ecs_dynamo.planning.desired.component import ComponentState
from ecs_dynamo.planning.desired.service_settings import network_differs
from ecs_dynamo.planning.observed.etcd_membership import Membership, MemberSlot
from ecs_dynamo.planning.observed.lookup import known_service


def _generation(revision: Revision | None) -> int:
    token = environment_value(revision.content, GENERATION) if revision is not None else None
    number = (token or "").rpartition("-")[2]
    return int(number) if number.isdecimal() else 0


def _rendered(component: Component, values: Mapping[str, str]) -> JsonObject:
    content: dict[str, Any] = copy.deepcopy(dict(component.template))
    content["family"] = component.family
    for container in content.get("containerDefinitions", ()):
        entries = {e["name"]: e.get("value", "") for e in container.get("environment", ())}
        if LISTEN in entries:
            entries |= values
            container["environment"] = [
                {"name": name, "value": entries[name]} for name in sorted(entries)
            ]
    return content


def _frozen(slot: MemberSlot) -> JsonObject | None:
    """Return the declaration with the environment of the slot's revision; None without one."""
    revision = slot.revision
    if revision is None:
        return None
    values = {name: environment_value(revision.content, name) for name in FROZEN}
    return _rendered(slot.component, {k: v for k, v in values.items() if v is not None})


def _joining(
    graph: Graph, membership: Membership, slot: MemberSlot, awaited: EtcdMember
) -> JsonObject:
    """Return the task definition of a member that joins a cluster that exists."""
    others = [m for m in membership.members if m.id != awaited.id]
    listed = [f"{m.id:x}={url}" for m in others for url in m.peer_urls]
    latest = max(_generation(s.revision) for s in membership.slots)
    return _rendered(
        slot.component,
        {
            CLUSTER: ",".join([*listed, f"{slot.component.name}={slot.placeholder}"]),
            STATE: EXISTING,
            GENERATION: f"{graph.name}-{latest}",
            ADVERTISE: slot.placeholder,
        },
    )


def _beginning(graph: Graph, membership: Membership, slot: MemberSlot) -> JsonObject:
    """Return the task definition of the first member of a cluster.

    A cluster whose data is lost gets a new generation, so that its remaining servers cannot mix
    with the new ones. Until the first member of a generation has started, the generation stays.
    """
    latest = max(_generation(s.revision) for s in membership.slots)
    revision = slot.revision
    begun = (
        revision is not None
        and environment_value(revision.content, STATE) == NEW
        and _generation(revision) == latest
    )
    lost = slot.is_current and slot.view is not None and len(slot.view.members) > 1
    return _rendered(
        slot.component,
        {
            CLUSTER: f"{slot.component.name}={slot.placeholder}",
            STATE: NEW,
            GENERATION: f"{graph.name}-{latest if begun and not lost else latest + 1}",
            ADVERTISE: slot.placeholder,
        },
    )


def needs_replacement(slot: MemberSlot) -> bool:
    """Return whether another member must replace that of the slot, because its declaration changed.

    A changed network counts: it moves the task, and a member's address is its identity.
    """
    frozen, revision, service = _frozen(slot), slot.revision, known_service(slot.observed)
    return (
        frozen is not None
        and revision is not None
        and slot.member is not None
        and slot.is_current
        and service is not None
        and (
            fingerprint(frozen) != revision.fingerprint
            or network_differs(slot.component, service.settings.network)
        )
    )


def as_member(graph: Graph, membership: Membership, state: ComponentState) -> ComponentState:
    """Return ``state`` with the content that its slot needs; None before its turn to join."""
    slot = membership.slot(state.name)
    content = _frozen(slot)
    if slot.awaited is not None:
        content = _joining(graph, membership, slot, slot.awaited)
    elif membership.lost and slot == membership.slots[0]:
        content = _beginning(graph, membership, slot)
    elif content is not None and slot.revision is not None:
        # A member is not replaced under its own name: the cluster must add a lost one again first.
        current = slot.revision
        return replace(state, content=current.content, fingerprint=current.fingerprint)
    digest = fingerprint(content) if content is not None else None
    return replace(state, content=content, fingerprint=digest)
