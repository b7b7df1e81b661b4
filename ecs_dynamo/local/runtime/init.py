"""The init process of a container: runs one command and ends all of its processes with it.

It is run by path with ``python -I -S``, so it uses only the standard library and `fence`, which is
beside it, and starts in about ten milliseconds. Like the PID namespace of a container, it
guarantees that no process outlives the command: the command's process group and its orphans are
killed when it ends, and also when the server that started the init dies. Signals are forwarded to
the command only, as Docker sends them to process 1 only. SIGKILL and SIGSTOP cannot be handled, so
they are sent as ``SIGRTMIN + n`` and reach the whole process group.
"""

from __future__ import annotations

import _thread
import contextlib
import ctypes
import os
import signal
import sys
from collections.abc import Callable
from types import FrameType

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
UNCATCHABLE = {signal.SIGRTMIN + number: number for number in (signal.SIGKILL, signal.SIGSTOP)}
DIE = signal.SIGRTMIN + signal.SIGKILL
FORWARDED = (
    signal.SIGTERM,
    signal.SIGINT,
    signal.SIGHUP,
    signal.SIGQUIT,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGCONT,
)
HANDLED = (*FORWARDED, *UNCATCHABLE)


def _prctl(option: int, value: int) -> None:
    ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)


def _run(command: list[str]) -> None:
    """Become the command.

    Python ignores SIGPIPE and SIGXFSZ from its start, which exec would preserve.
    """
    os.setsid()
    _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    for ignored in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(ignored, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, HANDLED)
    try:
        os.execvpe(command[0], command, os.environ)  # noqa: S606
    except OSError as error:
        sys.stderr.write(f"{command[0]}: {error.strerror}\n")
        sys.stderr.flush()
        # As for shells and Docker, 127 is "not found" and 126 is "not executable".
        os._exit(127 if isinstance(error, FileNotFoundError) else 126)


def _fence(network: str) -> Callable[[], None]:
    """Install the fence for this process and its children; return what starts its thread."""
    sys.path.insert(0, os.path.dirname(__file__))  # noqa: PTH120 (pathlib takes ten times longer)
    import fence  # type: ignore[import-not-found]  # beside this file, which is in no package

    listener = fence.install()
    if listener is None:
        return lambda: None

    def watch() -> None:
        _thread.start_new_thread(fence.answer, (listener, network))

    return watch


def main(arguments: list[str]) -> int:
    """Run the command ``arguments[2:]`` and return its exit code.

    ``arguments[0]`` is the process id of the server. ``arguments[1]`` is the network of bridge
    containers that the command may connect to; if it is empty, there is no restriction.
    """
    server, network, command = int(arguments[0]), arguments[1], arguments[2:]
    signal.pthread_sigmask(signal.SIG_BLOCK, HANDLED)
    _prctl(PR_SET_PDEATHSIG, DIE)
    _prctl(PR_SET_CHILD_SUBREAPER, 1)
    watch = _fence(network) if network else None
    child = os.fork()
    if child == 0:
        _run(command)
    if watch is not None:
        watch()  # Signals are blocked, so that none is delivered to the thread.

    def to_group(number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child, number)

    def to_command(number: int, _: FrameType | None) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, number)

    for carrier, number in UNCATCHABLE.items():
        signal.signal(carrier, lambda _n, _f, number=number: to_group(number))  # type: ignore[misc]  # the default argument binds the loop variable
    for number in FORWARDED:
        # SIGSTOP stops the whole group, so SIGCONT continues the whole group.
        continues = number == signal.SIGCONT
        signal.signal(number, (lambda n, _f: to_group(n)) if continues else to_command)
    if os.getppid() != server:
        os.kill(child, signal.SIGKILL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, HANDLED)
    # The child is not reaped yet: while it is a zombie, no other group can get its number.
    while (ended := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT)) and ended.si_pid != child:
        os.waitpid(ended.si_pid, 0)
    to_group(signal.SIGKILL)
    signal.pthread_sigmask(signal.SIG_BLOCK, HANDLED)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    _end_orphans()
    return 128 - code if code < 0 else code


def _end_orphans() -> None:
    """Kill processes that left the group by creating a session.

    They are children of this process now, since it is their subreaper.
    """
    for _ in range(1000):
        with contextlib.suppress(OSError):
            listed = open(f"/proc/self/task/{os.getpid()}/children", encoding="ascii")  # noqa: SIM115, PTH123
            with listed:
                for pid in listed.read().split():
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(int(pid), signal.SIGKILL)
        try:
            os.wait()
        except ChildProcessError:
            return


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
