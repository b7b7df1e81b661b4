"""Client tokens of CreateService: one per creation, the same for each attempt at it.

ECS ties a token to the request that it came with ("Identifier that you provide to ensure the
idempotency of the request", CreateService in the service model), and does not say for how long it
remembers it after the service is gone. So a token is never made from the service's content alone: a
service that is created again after it was deleted has another one.

Nothing is lost with the process: who comes after it creates with another token, and finds the
service that is there already by its tag.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable

from ecs_dynamo.model.plan import AnyAction, CreateService

Creation = tuple[str, str, str, int]


def _creation(action: CreateService) -> Creation:
    revision = action.revision.arn or action.revision.fingerprint
    return (action.cluster, action.service, revision, action.desired)


class CreationTokens:
    """The tokens of creations that have not succeeded yet."""

    def __init__(self) -> None:
        self._tokens: dict[Creation, str] = {}

    def begin(self, actions: Iterable[AnyAction]) -> None:
        """A plan begins: forget the creations that it does not ask for any more."""
        wanted = {_creation(a) for a in actions if isinstance(a, CreateService)}
        self._tokens = {k: t for k, t in self._tokens.items() if k in wanted}

    def of(self, action: CreateService) -> str:
        """The token of this creation; ECS takes at most 36 ASCII characters."""
        return self._tokens.setdefault(_creation(action), uuid.uuid4().hex)

    def done(self, action: CreateService) -> None:
        """The service is there: a further creation is another one."""
        self._tokens.pop(_creation(action), None)
