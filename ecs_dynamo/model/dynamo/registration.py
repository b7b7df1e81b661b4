"""How Dynamo's workers register themselves in discovery."""

from __future__ import annotations

from ecs_dynamo.model.graph import DECODING_ROLES, Component, Role

SERVED_ENDPOINT = "generate"
"""Name of the endpoint at which a Dynamo worker takes requests."""


def discovery_components(component: Component) -> frozenset[str]:
    """Return Dynamo's names of the component's registrations (1.6.1: `backend`, `prefill`)."""
    names = set()
    if Role.PREFILL in component.roles:
        names.add("prefill")
    if component.roles & DECODING_ROLES:
        names.add("backend")
    return frozenset(names)
