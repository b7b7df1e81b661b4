"""The process 1 of a container: runs one command and takes everything down with it.

Run by path with ``python -I -S``, so it uses the standard library alone and starts in some ten
milliseconds. Like a container's own namespace it guarantees that nothing outlives the command:
its process group is killed when it ends, and also when the server that started it dies.
SIGUSR1 means SIGKILL to the command (SIGKILL itself can not be handled, so not be passed on).
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
from types import FrameType

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
FORWARDED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR2)


def _prctl(option: int, value: int) -> None:
    ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)


def main(arguments: list[str]) -> int:
    """Run ``arguments[1:]`` as a child of the process ``arguments[0]``; its exit code."""
    server, command = int(arguments[0]), arguments[1:]
    _prctl(PR_SET_PDEATHSIG, signal.SIGUSR1)
    _prctl(PR_SET_CHILD_SUBREAPER, 1)
    signal.pthread_sigmask(signal.SIG_BLOCK, (*FORWARDED, signal.SIGUSR1))
    child = os.fork()
    if child == 0:
        os.setsid()
        _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, (*FORWARDED, signal.SIGUSR1))
        try:
            os.execvpe(command[0], command, os.environ)  # noqa: S606
        except OSError as error:
            sys.stderr.write(f"{command[0]}: {error.strerror}\n")
            # 127: not found, 126: not executable, as shells and Docker say.
            os._exit(127 if isinstance(error, FileNotFoundError) else 126)

    def kill_all(*_: object) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)

    def forward(number: int, _: FrameType | None) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, number)

    signal.signal(signal.SIGUSR1, kill_all)
    for number in FORWARDED:
        signal.signal(number, forward)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, (*FORWARDED, signal.SIGUSR1))
    if os.getppid() != server:
        kill_all()
    code: int | None = None
    while code is None:
        pid, status = os.wait()
        if pid == child:
            code = os.waitstatus_to_exitcode(status)
    kill_all()
    with contextlib.suppress(ChildProcessError):
        # What left the group by a session of its own came to us as the subreaper.
        for _ in range(1000):
            for orphan in _children():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(orphan, signal.SIGKILL)
            os.wait()
    return 128 - code if code < 0 else code


def _children() -> list[int]:
    path = f"/proc/self/task/{os.getpid()}/children"
    with contextlib.suppress(OSError), open(path, encoding="ascii") as listed:  # noqa: PTH123
        return [int(pid) for pid in listed.read().split()]
    return []


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
