"""AWS's time, independent of the clock of this machine.

AWS's timestamps are compared with deadlines. The machine's wall clock may be set while the daemon
runs (NTP steps, a resumed virtual machine), so it is not used once AWS has answered: each HTTP
response has the server's time (RFC 9110, section 6.6.1, ``Date``), and between responses the
monotonic clock continues from it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime
from typing import Any

from ecs_dynamo.model.clock import Now

RESOLUTION_SECONDS = 1.0
"""Resolution of ``Date``."""


class ServerClock:
    """A clock that follows the server's time. ``monotonic`` and ``wall`` return seconds."""

    def __init__(
        self,
        monotonic: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.monotonic = monotonic
        self._wall = wall
        self._offset: tuple[float, float] | None = None
        """Lower and upper bound of the server's time minus the monotonic clock, in seconds."""

    def now(self) -> Now:
        """Return the current time; before the first answer the machine's wall clock is used."""
        at = self.monotonic()
        if self._offset is None:
            return Now(at, self._wall())
        low, high = self._offset
        return Now(at, at + (low + high) / 2.0)

    def observe(self, sent_at: float, answer: Mapping[str, Any]) -> None:
        """Follow the ``Date`` of a response to a request sent at ``sent_at`` (monotonic seconds).

        The server wrote its time, truncated to the second, between ``sent_at`` and now.
        """
        headers = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {})
        try:
            date = parsedate_to_datetime(headers["date"]).timestamp()
        except (KeyError, TypeError, ValueError, OverflowError):
            return
        low, high = date - self.monotonic(), date + RESOLUTION_SECONDS - sent_at
        if self._offset is not None:
            narrower = max(low, self._offset[0]), min(high, self._offset[1])
            # If the bounds do not overlap, a clock drifts or the server's was set: the newest
            # answer is right.
            if narrower[0] <= narrower[1]:
                low, high = narrower
        self._offset = low, high
