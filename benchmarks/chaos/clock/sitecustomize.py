"""Puts a process's wall clock ahead by what the file in CHAOS_CLOCK says, in seconds.

Python imports this by itself where it is on PYTHONPATH. Only a machine's owner may set its clock;
the monotonic clock stays as it is, as it would.
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
