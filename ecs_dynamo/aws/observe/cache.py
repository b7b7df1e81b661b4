"""What one process knows of a graph between its looks."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from ecs_dynamo.aws.observe.capacity import InstanceSizes
from ecs_dynamo.aws.observe.recall import Recall
from ecs_dynamo.aws.observe.revisions import Families
from ecs_dynamo.model.graph import TAG_FINGERPRINT
from ecs_dynamo.model.snapshot import Revision

REVISION_SECONDS = 60.0
"""For so long a revision is believed to be as it was read: ACTIVE, or deregistered."""


class RevisionCache:
    """What one process knows of a graph: the graph's revisions, by ARN, and what looks saw before.

    A revision's content never changes, but it may lack our tag while ECS's tag index settles, so
    only tagged ones and foreign ones already read with tags are kept; and anybody may deregister or
    delete it, so each is read again after `REVISION_SECONDS`. ``clock`` gives monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._known: dict[str, tuple[Revision, float]] = {}
        self.families = Families()
        self.sizes = InstanceSizes()
        self.recall = Recall(clock)

    def get(self, arn: str) -> Revision | None:
        return self._known[arn][0] if arn in self._known else None

    def fresh(self, arn: str) -> Revision | None:
        """The revision, where it was read a short time ago."""
        found, read = self._known.get(arn, (None, 0.0))
        return found if self._clock() - read < REVISION_SECONDS else None

    def put(self, revision: Revision) -> None:
        if TAG_FINGERPRINT in revision.tags:
            self._known[revision.arn] = (revision, self._clock())

    def doubt(self, arn: str) -> None:
        """Read it again at the next look."""
        if arn in self._known:
            self._known[arn] = (self._known[arn][0], -math.inf)

    def forget(self, arn: str) -> None:
        """It was deregistered or deleted, or is none of ours."""
        self._known.pop(arn, None)
        self.families.forget(arn)

    def latest(self, family: str) -> Revision | None:
        """The newest known revision of a family."""
        own = [r for r, _ in self._known.values() if r.family == family]
        return max(own, key=lambda r: r.number, default=None)
