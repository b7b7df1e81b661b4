"""The end of a program that has started processes."""

from __future__ import annotations

import asyncio
import signal


def cancel_on_signals() -> None:
    """Cancel the current task on Ctrl-C or SIGTERM, so that no process is left behind."""
    this_task = asyncio.current_task()
    if this_task is not None:
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, this_task.cancel)
