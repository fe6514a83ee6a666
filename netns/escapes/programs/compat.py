"""Out by the 32-bit system calls of an x86-64 kernel: other numbers, and calls of their own.

The program that makes them is assembled here, byte by byte, so that no compiler is needed: it makes
one call after the other, stops at the first that fails, and ends with its errno.
"""

from __future__ import annotations

import errno
import os
import socket
import struct

from netns.escapes.task import Task

FIRST = None
"""Stands for what the first call gave, such as a socket."""

_BASE, _HEAD = 0x08048000, 0x54  # ELF header and one program header: elf(5)
_REGISTERS = (0xBB, 0xB9, 0xBA, 0xBE, 0xBF)  # mov ebx, ecx, edx, esi, edi: syscall(2), i386

_WRITE, _OLD_UMOUNT, _SOCKETCALL, _CLONE, _KEYCTL, _UNSHARE = 4, 22, 102, 120, 288, 310
_SOCKET, _CONNECT, _URING_SETUP, _EXIT = 359, 362, 425, 1

Call = tuple[int | None, ...]


def program(calls: list[Call], data: bytes = b"") -> bytes:
    """Return an executable of i386 that makes `calls`: number, then up to five arguments.

    `data` lies at `at(0)` and on; the first four bytes are overwritten with what the first call
    gives.
    """
    body = b""
    for place, (number, *arguments) in enumerate(calls):
        for load, argument in zip(_REGISTERS, arguments, strict=False):
            if argument is None:  # mov r32, [address]
                body += b"\x8b" + bytes((0x05 | (load - 0xB8) << 3,)) + struct.pack("<I", at(0))
            else:
                body += bytes((load,)) + struct.pack("<I", argument & 0xFFFFFFFF)
        body += b"\xb8" + struct.pack("<I", number or 0) + b"\xcd\x80"  # mov eax, number; int 0x80
        if place == 0:
            body += b"\xa3" + struct.pack("<I", at(0))  # mov [address], eax
        body += b"\x85\xc0\x79\x0b"  # test eax, eax; jns over the next three
        body += b"\xf7\xd8\x89\xc3"  # neg eax; mov ebx, eax
        body += b"\xb8" + struct.pack("<I", _EXIT) + b"\xcd\x80"
    body += b"\x31\xdb\xb8" + struct.pack("<I", _EXIT) + b"\xcd\x80"  # xor ebx, ebx; exit
    body = body.ljust(_DATA - _HEAD, b"\x90") + data.ljust(4, b"\0")
    size = _HEAD + len(body)
    head = b"\x7fELF\x01\x01\x01".ljust(16, b"\0")
    head += struct.pack("<HHIIIIIHHHHHH", 2, 3, 1, _BASE + _HEAD, 52, 0, 0, 52, 32, 1, 0, 0, 0)
    head += struct.pack("<8I", 1, 0, _BASE, _BASE, size, size, 7, 0x1000)
    return head + body


_DATA = 0x400


def at(offset: int) -> int:
    """Address of a byte of the data."""
    return _BASE + _DATA + offset


def run(calls: list[Call], data: bytes = b"") -> int:
    """Run such a program; returns 0, or the errno of the call that failed.

    Raises OSError when this kernel runs no such programs, or kills them.
    """
    if os.uname().machine != "x86_64":
        raise OSError(errno.ENOSYS, "only on x86-64")
    file = os.memfd_create("compat", 0)
    os.write(file, program(calls, data))
    child = os.posix_spawn(f"/proc/self/fd/{file}", ["compat"], {})
    os.close(file)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code < 0:
        raise OSError(errno.ENOSYS, f"killed by signal {-code}")
    return code


def _granted(task: Task, code: int, *asked: int) -> str:
    """Say that a call got past every filter: it succeeded, or complains of its arguments."""
    if code == 0 or code in asked:
        return task.gain(errno.errorcode.get(code, "granted"))
    raise OSError(code, os.strerror(code))


def tcp(task: Task) -> str:
    """Connect by 32-bit calls and write."""
    address = struct.pack("<H", socket.AF_INET) + struct.pack(">H", task.args["port"])
    address += socket.inet_aton(task.world["public4"]) + bytes(8)
    data = bytes(4) + address + task.nonce
    code = run(
        [
            (_SOCKET, socket.AF_INET, socket.SOCK_STREAM, 0),
            (_CONNECT, FIRST, at(4), 16),
            (_WRITE, FIRST, at(20), len(task.nonce)),
        ],
        data,
    )
    return errno.errorcode.get(code, "written")


def family(task: Task) -> str:
    """Get a socket of a family that no namespace holds: vsock."""
    return _granted(task, run([(_SOCKET, 40, socket.SOCK_STREAM, 0)]))


def multiplexed(task: Task) -> str:
    """The same by socketcall(2), whose arguments lie in memory, where no filter reads."""
    arguments = struct.pack("<3I", 40, socket.SOCK_STREAM, 0)
    return _granted(task, run([(_SOCKETCALL, 1, at(4))], bytes(4) + arguments))


def user_namespace(task: Task) -> str:
    """A user namespace by unshare or clone."""
    calls: dict[str, Call] = {"unshare": (_UNSHARE, 0x10000000), "clone": (_CLONE, 0x10000011, 0)}
    return _granted(task, run([calls[task.args["call"]]]))


def ring(task: Task) -> str:
    """io_uring_setup, whose number all architectures share."""
    return _granted(task, run([(_URING_SETUP, 1, 0)]), errno.EFAULT)


def keyring(task: Task) -> str:
    """keyctl(KEYCTL_GET_KEYRING_ID) of the session's keyring."""
    return _granted(task, run([(_KEYCTL, 0, -3 & 0xFFFFFFFF, 0)]))


def unmount(task: Task) -> str:
    """The umount without flags, which 64-bit programs do not have."""
    return _granted(task, run([(_OLD_UMOUNT, at(4))], bytes(4) + b"/\0"), errno.EBUSY, errno.EINVAL)
