"""The state of a rollout in the tags of its service, from which a new daemon continues."""

from __future__ import annotations

from collections.abc import Mapping

from ecs_dynamo.model.plan import TagService
from ecs_dynamo.model.purposes import ActionPurpose
from ecs_dynamo.planning.desired.component import ComponentState


def tag_service(
    state: ComponentState,
    tags: Mapping[str, str],
    purpose: ActionPurpose,
    reason: str,
    remove: tuple[str, ...] = (),
) -> TagService:
    """Return the action that sets ``tags`` on the component's service, and removes others."""
    return TagService(
        component=state.name,
        reason=reason,
        purpose=purpose,
        cluster=state.component.cluster,
        service=state.component.service,
        set_tags=tags,
        remove_tags=remove,
    )
