"""An event loop whose clock advances when nothing else is left to do, so that nothing waits."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Mapping
from typing import Any


class _Skipping(selectors.SelectSelector):
    """Advances the loop's clock by the requested time instead of waiting."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise AssertionError("everything waits for something that never comes")
        self.seconds += max(0.0, timeout)
        return super().select(0)


class VirtualLoop(asyncio.SelectorEventLoop):
    """A loop whose time applies to `asyncio.sleep`, `asyncio.timeout` and `time`."""

    def __init__(self) -> None:
        self._skipping = _Skipping()
        self.died: BaseException | None = None
        super().__init__(self._skipping)

    def time(self) -> float:
        return self._skipping.seconds

    def advance(self, seconds: float) -> None:
        """Let time pass while nothing runs."""
        self._skipping.seconds += seconds

    def call_exception_handler(self, context: Mapping[str, Any]) -> None:
        """Ignore errors of the tasks that a dead process leaves behind."""
