"""Client tokens of CreateService: one per creation, the same for each attempt at it.

ECS ties a token to the request that it came with ("Identifier that you provide to ensure the
idempotency of the request", CreateService in the service model), and does not document how long it
remembers the token after the service is deleted. So a token is never derived from the service's
content alone: a service that is created again after its deletion gets another token.

Tokens need not outlive the process: its successor uses another token, and recognizes a service that
already exists by its tag.
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
    """Tokens of the creations that have not succeeded yet."""

    def __init__(self) -> None:
        self._tokens: dict[Creation, str] = {}

    def begin(self, actions: Iterable[AnyAction]) -> None:
        """Forget the creations that are not part of a new plan."""
        planned = {_creation(a) for a in actions if isinstance(a, CreateService)}
        self._tokens = {k: t for k, t in self._tokens.items() if k in planned}

    def of(self, action: CreateService) -> str:
        """Return the token of this creation; ECS accepts at most 36 ASCII characters."""
        return self._tokens.setdefault(_creation(action), uuid.uuid4().hex)

    def done(self, action: CreateService) -> None:
        """Forget a token: the service exists, and a further creation gets another one."""
        self._tokens.pop(_creation(action), None)
