"""An event loop with a virtual clock, which advances instead of waiting."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Mapping
from typing import Any


class _Skipping(selectors.SelectSelector):
    """A selector that advances the clock by the time that it should wait."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise AssertionError("all tasks wait, and no timer is set")
        self.seconds += max(0.0, timeout)
        return super().select(0)


class VirtualLoop(asyncio.SelectorEventLoop):
    """A loop on whose virtual time `asyncio.sleep`, `asyncio.timeout` and `time` are based."""

    def __init__(self) -> None:
        self._skipping = _Skipping()
        self.died: BaseException | None = None
        super().__init__(self._skipping)

    def time(self) -> float:
        return self._skipping.seconds

    def advance(self, seconds: float) -> None:
        """Advance the clock while no task runs."""
        self._skipping.seconds += seconds

    def call_exception_handler(self, context: Mapping[str, Any]) -> None:
        """Ignore errors of tasks that a dead process leaves behind."""
