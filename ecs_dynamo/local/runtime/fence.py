"""Refuses connections from a container to bridge containers of other instances.

On AWS the containers of bridge tasks have addresses on a network that exists on their own host
only. Here all addresses belong to one machine, so seccomp user notification is used, which needs
neither privileges nor a network namespace: the kernel reports each ``connect`` of the container's
processes to the container's init, which refuses the connection or lets the call continue.

Like the init, it uses the standard library only. It works on Linux 5.5 and later on x86-64 and
ARM64; elsewhere `available` is False, and nothing is refused. Numbers and layouts are those of
``linux/seccomp.h``, ``linux/filter.h`` and the architectures' system call tables.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import struct

BRIDGES = (127, range(128, 192))
"""The first byte, and the range of the second byte, of the addresses of bridge containers."""
NOWHERE = "-"
"""The network of a task that is not on a bridge network and can reach no bridge container."""

_PR_SET_NO_NEW_PRIVS = 38
_SECCOMP = {"x86_64": 317, "aarch64": 277}
_CONNECT = {"x86_64": 42, "aarch64": 203}
_AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_SET_MODE_FILTER, _GET_ACTION_AVAIL, _GET_NOTIF_SIZES = 1, 2, 3
_NEW_LISTENER = 8
_USER_NOTIF, _ALLOW = 0x7FC00000, 0x7FFF0000
_RECEIVE, _ANSWER = 0xC0502100, 0xC0182101
_NOTIFICATION, _RESPONSE = struct.Struct("=QIIiIQ6Q"), struct.Struct("=QqiI")
_CONTINUE = 1
_AF_INET, _AF_INET6 = 2, 10
_MAPPED = bytes(10) + b"\xff\xff"
"""The prefix of an IPv4 address that is mapped to IPv6."""


class _Program(ctypes.Structure):
    """``struct sock_fprog``."""

    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))


def _system_call(*arguments: object) -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    return int(libc.syscall(_SECCOMP[os.uname().machine], *arguments))


def available() -> bool:
    """Whether this kernel supports seccomp user notification as it is used here."""
    system = os.uname()
    if system.sysname != "Linux" or system.machine not in _CONNECT:
        return False
    major, minor = (int("0" + n) for n in system.release.replace("-", ".").split(".")[:2])
    if (major, minor) < (5, 5):  # Earlier kernels cannot let a call continue.
        return False
    sizes = ctypes.create_string_buffer(6)
    if _system_call(_GET_NOTIF_SIZES, 0, sizes) != 0:
        return False
    action = ctypes.c_uint32(_USER_NOTIF)
    if _system_call(_GET_ACTION_AVAIL, 0, ctypes.byref(action)) != 0:
        return False
    notification, response, _ = struct.unpack("=3H", sizes.raw)
    return (notification, response) == (_NOTIFICATION.size, _RESPONSE.size)


def install() -> int | None:
    """Have each further ``connect`` of this process and its children reported.

    Returns the descriptor for `answer`, which is closed on exec; None if the kernel refuses.
    """
    machine = os.uname().machine
    if machine not in _CONNECT:
        return None
    instructions = (
        (0x20, 0, 0, 4),  # load the architecture
        (0x15, 0, 3, _AUDIT_ARCH[machine]),
        (0x20, 0, 0, 0),  # load the number of the call
        (0x15, 0, 1, _CONNECT[machine]),
        (0x06, 0, 0, _USER_NOTIF),
        (0x06, 0, 0, _ALLOW),
    )
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *i) for i in instructions))
    program = _Program(len(instructions), ctypes.cast(code, ctypes.c_void_p))
    if ctypes.CDLL(None).prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        return None
    descriptor = _system_call(
        _SET_MODE_FILTER, ctypes.c_ulong(_NEW_LISTENER), ctypes.byref(program)
    )
    return descriptor if descriptor >= 0 else None


def answer(listener: int, network: str) -> None:
    """Answer reports until ``listener`` is closed; runs in a thread of its own.

    ``network``: the first three bytes of the addresses of the bridge containers that may be
    reached ("127.128.3"), or `NOWHERE`.
    """
    while True:
        report = bytearray(_NOTIFICATION.size)
        try:
            fcntl.ioctl(listener, _RECEIVE, report)
        except OSError as error:
            if error.errno in (errno.EINTR, errno.ENOENT):  # The calling process has ended.
                continue
            return
        number, thread, _, _, _, _, _, address, length, *_ = _NOTIFICATION.unpack(report)
        refused = is_refused(_read(thread, address, min(length, 28)), network)
        reply = (-errno.ECONNREFUSED, 0) if refused else (0, _CONTINUE)
        try:
            fcntl.ioctl(listener, _ANSWER, bytearray(_RESPONSE.pack(number, 0, *reply)))
        except OSError:
            continue  # The call was interrupted, and will be reported again.


def _read(thread: int, address: int, length: int) -> bytes:
    """Read memory of the calling process; the result is empty if it cannot be read."""
    try:
        memory = os.open(f"/proc/{thread}/mem", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        return os.pread(memory, length, address)
    except (OSError, OverflowError):
        return b""
    finally:
        os.close(memory)


def is_refused(address: bytes, network: str) -> bool:
    """Whether ``address`` (a ``struct sockaddr``) is a bridge container's outside ``network``."""
    if len(address) < 8:
        return False
    family = struct.unpack_from("=H", address)[0]
    if family == _AF_INET6 and address[8:20] == _MAPPED:
        ip = address[20:24]
    elif family == _AF_INET:
        ip = address[4:8]
    else:
        return False
    first, seconds = BRIDGES
    if len(ip) < 4 or ip[0] != first or ip[1] not in seconds:
        return False
    return ".".join(map(str, ip[:3])) != network
