"""Observations of earlier passes, so that a contradicting observation is confirmed first.

ECS's lists and descriptions are eventually consistent (ECS API reference, "Eventual consistency"):
for some seconds one may omit what another showed a moment ago. Therefore known resources are
described by name when a list omits them, and a report that a resource does not exist is accepted
only after it has been repeated for longer than such a delay lasts. A new process has no sightings
and accepts every report at once.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Iterable

CONFIRM_SECONDS = 60.0
"""A known resource counts as gone once it has been missing for this long."""
MAX_ADDRESSES = 10_000
"""Container instances whose address is remembered; the least recently used are dropped."""

Key = tuple[str, ...]
"""A kind of resource and its name, with its cluster where the name is not unique."""


class Sightings:
    """The sightings of one graph by one process. ``clock`` returns monotonic seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._known: set[Key] = set()
        self._missing_since: dict[Key, float] = {}
        self._names: dict[Key, frozenset[str]] = {}
        self._addresses: OrderedDict[str, str] = OrderedDict()

    # Existence ---------------------------------------------------------------------------------

    def confirm(self, *key: str) -> None:
        """Record that the resource exists."""
        self._known.add(key)
        self._missing_since.pop(key, None)

    def confirm_gone(self, *key: str) -> None:
        """Record that AWS reports the resource as deleted, not merely as unknown."""
        self._known.discard(key)
        self._missing_since.pop(key, None)

    def doubt_absence(self, *key: str) -> str | None:
        """Return why a report that the resource does not exist is not accepted yet, or None."""
        if key not in self._known:
            return None
        now = self._clock()
        missing = now - self._missing_since.setdefault(key, now)
        if missing >= CONFIRM_SECONDS:
            self.confirm_gone(*key)
            return None
        return (
            f"AWS reports that {key[-1]} does not exist, and it was there a moment ago; "
            f"believed after {CONFIRM_SECONDS:g} s ({missing:.0f} s so far)"
        )

    # Names to describe -------------------------------------------------------------------------

    def remembered(self, *key: str) -> frozenset[str]:
        """Return the names or ARNs that `remember` has stored."""
        return self._names.get(key, frozenset())

    def remember(self, names: Iterable[str], *key: str) -> None:
        """Store names or ARNs to describe in the next pass, whether a list shows them or not."""
        self._names[key] = frozenset(names)

    # Addresses of container instances -----------------------------------------------------------

    def address(self, instance: str) -> str | None:
        """Return the primary private address of a container instance, which never changes."""
        address = self._addresses.get(instance)
        if address is not None:
            self._addresses.move_to_end(instance)
        return address

    def remember_address(self, instance: str, address: str) -> None:
        """Store the address that EC2 reported."""
        self._addresses[instance] = address
        self._addresses.move_to_end(instance)
        while len(self._addresses) > MAX_ADDRESSES:
            self._addresses.popitem(last=False)
