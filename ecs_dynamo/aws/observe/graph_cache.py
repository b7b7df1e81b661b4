"""Knowledge of one process about a graph between passes."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from ecs_dynamo.aws.observe.capacity import InstanceSizes
from ecs_dynamo.aws.observe.old_revisions import FamilyListings
from ecs_dynamo.aws.observe.sightings import Sightings
from ecs_dynamo.model.graph import TAG_FINGERPRINT
from ecs_dynamo.model.snapshot import Revision

REVISION_FRESH_SECONDS = 60.0
"""A revision's status (ACTIVE or deregistered) is read again after this time."""


class GraphCache:
    """The graph's revisions by ARN, its families' listings, instance sizes and earlier sightings.

    The content of a revision never changes. While ECS's tag index settles, a revision may lack the
    graph's tag, so only tagged ones are kept. Anyone may deregister or delete a revision, so each
    is read again after `REVISION_FRESH_SECONDS`. ``clock`` returns monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._revisions: dict[str, tuple[Revision, float]] = {}
        self.families = FamilyListings()
        self.sizes = InstanceSizes()
        self.sightings = Sightings(clock)

    def get(self, arn: str) -> Revision | None:
        """Return the revision as it was last read, however long ago."""
        return self._revisions[arn][0] if arn in self._revisions else None

    def fresh(self, arn: str) -> Revision | None:
        """Return the revision if it was read within `REVISION_FRESH_SECONDS`."""
        revision, read_at = self._revisions.get(arn, (None, 0.0))
        return revision if self._clock() - read_at < REVISION_FRESH_SECONDS else None

    def put(self, revision: Revision) -> None:
        """Store a revision that was read or registered just now."""
        if TAG_FINGERPRINT in revision.tags:
            self._revisions[revision.arn] = (revision, self._clock())

    def doubt(self, arn: str) -> None:
        """Have the revision read again in the next pass."""
        if arn in self._revisions:
            self._revisions[arn] = (self._revisions[arn][0], -math.inf)

    def forget(self, arn: str) -> None:
        """Drop a revision that was deregistered or deleted, or that is not the graph's."""
        self._revisions.pop(arn, None)
        self.families.forget(arn)

    def latest(self, family: str) -> Revision | None:
        """Return the newest known revision of a family."""
        own = [r for r, _ in self._revisions.values() if r.family == family]
        return max(own, key=lambda r: r.number, default=None)
