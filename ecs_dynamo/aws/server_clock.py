"""What time it is for AWS, whatever the clock of this machine says.

AWS's timestamps are compared with deadlines. The machine's wall clock may be set while the daemon
runs (NTP steps, a resumed virtual machine), so it is not asked once AWS has answered: each HTTP
response carries the server's time (RFC 9110, section 6.6.1, ``Date``), and between responses the
monotonic clock goes on.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime
from typing import Any

from ecs_dynamo.model.clock import Now

RESOLUTION_SECONDS = 1.0
"""``Date`` has whole seconds."""


class ServerClock:
    """Follows the server's time. ``monotonic`` and ``wall`` give seconds."""

    def __init__(
        self,
        monotonic: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.monotonic = monotonic
        self._wall = wall
        self._offset: tuple[float, float] | None = None
        """Between what and what the server's time lies ahead of the monotonic clock."""

    def now(self) -> Now:
        """This moment; with the machine's own wall clock until a first answer came."""
        at = self.monotonic()
        if self._offset is None:
            return Now(at, self._wall())
        low, high = self._offset
        return Now(at, at + (low + high) / 2.0)

    def observe(self, asked: float, answer: Mapping[str, Any]) -> None:
        """Take in a response to what was sent at ``asked`` (monotonic seconds).

        The server wrote its time, cut to the second, after it was asked and before now.
        """
        headers = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {})
        try:
            date = parsedate_to_datetime(headers["date"]).timestamp()
        except (KeyError, TypeError, ValueError, OverflowError):
            return
        low, high = date - self.monotonic(), date + RESOLUTION_SECONDS - asked
        if self._offset is not None:
            narrower = max(low, self._offset[0]), min(high, self._offset[1])
            # Apart: one of the clocks drifts, or the server's was set. The newest is right.
            if narrower[0] <= narrower[1]:
                low, high = narrower
        self._offset = low, high
