"""Parts of the command lines of benchmarks that start processes."""

from __future__ import annotations

import asyncio
import fnmatch
import signal
from collections.abc import Mapping, Sequence
from typing import TypeVar

Item = TypeVar("Item")


def select(items: Mapping[str, Item], patterns: Sequence[str]) -> list[Item]:
    """Return the items whose names match one of the shell patterns."""
    return [
        item
        for name, item in items.items()
        if any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)
    ]


def cancel_on_signals() -> None:
    """Cancel the current task on Ctrl-C or SIGTERM, so that no process is left behind."""
    this_task = asyncio.current_task()
    if this_task is not None:
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, this_task.cancel)
