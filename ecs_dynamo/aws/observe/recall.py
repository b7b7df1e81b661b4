"""What earlier looks saw, so that a look that contradicts them is doubted and not believed.

ECS's lists and descriptions are eventually consistent (ECS API reference, "Eventual consistency"):
for some seconds one may not show what another showed a moment ago. What was seen is therefore
looked for by name when a list lacks it, and a report that it does not exist is believed once it has
been repeated for longer than such a delay lasts. A process that has seen nothing believes at once.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Iterable

CONFIRM_SECONDS = 60.0
"""A resource that was seen is taken for gone once this has passed since it was first missed."""
ADDRESSES = 10_000
"""Container instances whose address is remembered; those used longest ago are let go."""

Key = tuple[str, ...]


class Recall:
    """One for each graph and process. ``clock`` gives monotonic seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seen: set[Key] = set()
        self._missed: dict[Key, float] = {}
        self._lists: dict[Key, frozenset[str]] = {}
        self._addresses: OrderedDict[str, str] = OrderedDict()

    # Whether something exists ------------------------------------------------------------------

    def saw(self, *key: str) -> None:
        """It exists."""
        self._seen.add(key)
        self._missed.pop(key, None)

    def ended(self, *key: str) -> None:
        """AWS says that it was deleted, which is more than not to know it."""
        self._seen.discard(key)
        self._missed.pop(key, None)

    def doubts_loss(self, *key: str) -> str | None:
        """Why a report that there is no such resource is not believed yet; None: it is believed."""
        if key not in self._seen:
            return None
        now = self._clock()
        since = now - self._missed.setdefault(key, now)
        if since >= CONFIRM_SECONDS:
            self.ended(*key)
            return None
        return (
            f"AWS reports that {key[-1]} does not exist, and it was there a moment ago; "
            f"believed after {CONFIRM_SECONDS:g} s ({since:.0f} s so far)"
        )

    # What was in a list ------------------------------------------------------------------------

    def listed(self, *key: str) -> frozenset[str]:
        """The names or ARNs of `keep`."""
        return self._lists.get(key, frozenset())

    def keep(self, arns: Iterable[str], *key: str) -> None:
        """Look for ``arns``, or names, next time, whether a list shows them or not."""
        self._lists[key] = frozenset(arns)

    # Addresses of container instances -----------------------------------------------------------

    def address(self, instance: str) -> str | None:
        """The primary private address of a container instance, which never changes."""
        found = self._addresses.get(instance)
        if found is not None:
            self._addresses.move_to_end(instance)
        return found

    def learn(self, instance: str, address: str) -> None:
        """EC2 told the address."""
        self._addresses[instance] = address
        self._addresses.move_to_end(instance)
        while len(self._addresses) > ADDRESSES:
            self._addresses.popitem(last=False)
