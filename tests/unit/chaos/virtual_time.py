"""An event loop whose clock moves only when nothing else is left to do: nobody ever waits."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Mapping
from typing import Any


class _Skipping(selectors.SelectSelector):
    """Instead of waiting, moves the loop's clock on by what it was asked to wait."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise AssertionError("everything waits for something that never comes")
        self.seconds += max(0.0, timeout)
        return super().select(0)


class VirtualLoop(asyncio.SelectorEventLoop):
    """Its time is that of `asyncio.sleep`, `asyncio.timeout` and of whoever asks for `time`."""

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
        """What a process that dies leaves behind is told to nobody."""
