"""The task definition of each member of an etcd cluster."""

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
from ecs_dynamo.planning.desired.component import ComponentState
from ecs_dynamo.planning.desired.fingerprint import fingerprint
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


def _frozen(place: MemberSlot) -> JsonObject | None:
    """What is declared, with the environment of the revision that is there."""
    revision = place.revision
    if revision is None:
        return None
    values = {name: environment_value(revision.content, name) for name in FROZEN}
    return _rendered(place.component, {k: v for k, v in values.items() if v is not None})


def _joining(graph: Graph, found: Membership, place: MemberSlot, awaited: EtcdMember) -> JsonObject:
    others = [m for m in found.members if m.id != awaited.id]
    listed = [f"{m.id:x}={url}" for m in others for url in m.peer_urls]
    latest = max(_generation(p.revision) for p in found.slots)
    return _rendered(
        place.component,
        {
            CLUSTER: ",".join([*listed, f"{place.component.name}={place.placeholder}"]),
            STATE: EXISTING,
            GENERATION: f"{graph.name}-{latest}",
            ADVERTISE: place.placeholder,
        },
    )


def _beginning(graph: Graph, found: Membership, place: MemberSlot) -> JsonObject:
    """The first of a cluster. Another generation where what is there can not come back."""
    latest = max(_generation(p.revision) for p in found.slots)
    revision = place.revision
    begun = (
        revision is not None
        and environment_value(revision.content, STATE) == NEW
        and _generation(revision) == latest
    )
    lost = place.current and place.view is not None and len(place.view.members) > 1
    return _rendered(
        place.component,
        {
            CLUSTER: f"{place.component.name}={place.placeholder}",
            STATE: NEW,
            GENERATION: f"{graph.name}-{latest if begun and not lost else latest + 1}",
            ADVERTISE: place.placeholder,
        },
    )


def is_due(place: MemberSlot) -> bool:
    """Its declaration changed: it is to be replaced by another member, when its turn comes.

    Another network counts: it moves the task, and a member's address is its identity.
    """
    frozen, revision, service = _frozen(place), place.revision, known_service(place.observed)
    return (
        frozen is not None
        and revision is not None
        and place.member is not None
        and place.current
        and service is not None
        and (
            fingerprint(frozen) != revision.fingerprint
            or network_differs(place.component, service.settings.network)
        )
    )


def as_member(graph: Graph, found: Membership, state: ComponentState) -> ComponentState:
    """``one`` with the content that its place calls for; None before its turn to join."""
    place = found.slot(state.component.name)
    content = _frozen(place)
    if place.awaited is not None:
        content = _joining(graph, found, place, place.awaited)
    elif found.lost and place == found.slots[0]:
        content = _beginning(graph, found, place)
    elif content is not None and place.revision is not None:
        # A member is not replaced under its own name, and one that is lost has to be added first.
        held = place.revision
        return replace(state, content=held.content, fingerprint=held.fingerprint)
    print_ = fingerprint(content) if content is not None else None
    return replace(state, content=content, fingerprint=print_)
