"""Reading a file of any kind, limited in size and time."""

from __future__ import annotations

import errno
import os
import select
import stat
from pathlib import Path
from typing import Final

MAX_BYTES: Final = 1024 * 1024
"""Limit of a file's size. ECS takes task definitions of up to 64 KiB."""
PIPE_SECONDS: Final = 5.0
"""Longest time to wait for the next bytes of a pipe."""


def read_bytes(path: Path) -> bytes:
    """Return the content of a file, at most one byte more than is allowed.

    Reading a pipe (``-f <(...)``) times out where its next bytes do not arrive in time: a pipe that
    nobody writes to would otherwise block a daemon indefinitely.
    """
    data = bytearray()
    file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        is_pipe = stat.S_ISFIFO(os.fstat(file).st_mode)
        while len(data) <= MAX_BYTES:
            if is_pipe and not select.select([file], [], [], PIPE_SECONDS)[0]:
                raise TimeoutError(errno.ETIMEDOUT, f"nothing is written to it ({PIPE_SECONDS} s)")
            try:
                chunk = os.read(file, MAX_BYTES + 1 - len(data))
            except BlockingIOError:
                raise OSError(errno.EAGAIN, "it is not a regular file") from None
            if not chunk:
                break
            data += chunk
    finally:
        os.close(file)
    return bytes(data)
