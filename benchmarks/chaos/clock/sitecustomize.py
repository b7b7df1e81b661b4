"""Advance a process's wall clock by the number of seconds in the file that CHAOS_CLOCK names.

Python imports this module automatically if its folder is on PYTHONPATH. It replaces a change of the
machine's clock, which would need privileges. The monotonic clock does not change, as in reality.
"""

import os
import time

_real, _real_ns = time.time, time.time_ns
_path = os.environ.get("CHAOS_CLOCK", "")


def _ahead() -> float:
    try:
        with open(_path, encoding="ascii") as file:  # noqa: PTH123 (imported by every process)
            return float(file.read() or 0.0)
    except (OSError, ValueError):
        return 0.0


time.time = lambda: _real() + _ahead()
time.time_ns = lambda: _real_ns() + int(_ahead() * 1e9)
