"""Calls of the C library that Python 3.11 does not offer: namespaces, mounts, prctl, capabilities.

This is the only module of `netns` that uses ctypes. Every function raises `OSError` whose message
begins with the name of the call, so that a refusal by the kernel can be read without a debugger.
Nothing here decides anything; see `netns.captive` and `netns.enclosure` for the order of calls.
"""

from __future__ import annotations

import ctypes
import enum
import errno
import os
from pathlib import Path
from typing import Final


class Namespace(enum.IntFlag):
    """Kinds of namespace; values from `<linux/sched.h>`, namespaces(7)."""

    MOUNT = 0x00020000
    CGROUP = 0x02000000
    UTS = 0x04000000
    IPC = 0x08000000
    USER = 0x10000000
    PID = 0x20000000
    NET = 0x40000000


class MountFlag(enum.IntFlag):
    """Flags of mount(2) and umount2(2) that this project uses."""

    RDONLY = 1
    NOSUID = 2
    NODEV = 4
    NOEXEC = 8
    REMOUNT = 32
    BIND = 4096
    MOVE = 8192
    REC = 16384
    PRIVATE = 1 << 18
    SLAVE = 1 << 19


class Prctl(enum.IntEnum):
    """Operations of prctl(2); values from `<linux/prctl.h>`."""

    SET_PDEATHSIG = 1
    GET_DUMPABLE = 3
    SET_DUMPABLE = 4
    SET_KEEPCAPS = 8
    GET_SECCOMP = 21
    SET_SECCOMP = 22
    CAPBSET_READ = 23
    CAPBSET_DROP = 24
    SET_SECUREBITS = 28
    SET_CHILD_SUBREAPER = 36
    SET_NO_NEW_PRIVS = 38
    GET_NO_NEW_PRIVS = 39
    CAP_AMBIENT = 47


MNT_DETACH: Final = 2
"""Flag of umount2(2): detach now, clean up when the last user is gone."""

CLOSE_RANGE_CLOEXEC: Final = 4
"""Flag of close_range(2): mark close-on-exec instead of closing."""

CAP_NET_ADMIN: Final = 12
CAP_NET_RAW: Final = 13
CAP_SYS_ADMIN: Final = 21

_CAPABILITY_VERSION_3: Final = 0x20080522  # capget(2): 64-bit sets in two halves
_AMBIENT_RAISE: Final = 2
AMBIENT_CLEAR_ALL: Final = 4

_libc = ctypes.CDLL(None, use_errno=True)
_libc.unshare.argtypes = [ctypes.c_int]
_libc.setns.argtypes = [ctypes.c_int, ctypes.c_int]
_libc.mount.argtypes = [
    ctypes.c_char_p,
    ctypes.c_char_p,
    ctypes.c_char_p,
    ctypes.c_ulong,
    ctypes.c_char_p,
]
_libc.umount2.argtypes = [ctypes.c_char_p, ctypes.c_int]
_libc.prctl.argtypes = [
    ctypes.c_int,
    ctypes.c_ulong,
    ctypes.c_ulong,
    ctypes.c_ulong,
    ctypes.c_ulong,
]
_libc.syscall.restype = ctypes.c_long

_NR_CLOSE_RANGE: Final = 436  # the same on every architecture: close_range(2), Linux 5.9


class _CapabilityHeader(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _CapabilityHalf(ctypes.Structure):
    _fields_ = (
        ("effective", ctypes.c_uint32),
        ("permitted", ctypes.c_uint32),
        ("inheritable", ctypes.c_uint32),
    )


def _check(result: int, call: str) -> int:
    """Return `result`, or raise OSError naming `call` when it is -1."""
    if result == -1:
        number = ctypes.get_errno()
        raise OSError(number, f"{call}: {os.strerror(number)}")
    return result


def _named(flags: enum.IntFlag) -> str:
    """Names of the bits of `flags`, such as `USER|NET`, for messages."""
    return "|".join(bit.name or hex(bit) for bit in type(flags) if bit in flags) or "0"


def unshare(kinds: Namespace) -> None:
    """Move this process into new namespaces of `kinds`.

    Source: unshare(2).

    Raises:
        OSError: EPERM without CAP_SYS_ADMIN (or where user namespaces are restricted),
            ENOSPC when `user.max_*_namespaces` is reached, EINVAL in a threaded process for USER.
    """
    _check(_libc.unshare(int(kinds)), f"unshare({_named(kinds)})")


def setns(descriptor: int, kind: Namespace) -> None:
    """Enter the namespace behind `descriptor`, which must be of `kind`.

    Source: setns(2).

    Raises:
        OSError: EPERM without rights over it, EINVAL when it is not of `kind`.
    """
    _check(_libc.setns(descriptor, int(kind)), f"setns({_named(kind)})")


def enter(network: int, user: int | None) -> None:
    """Enter a captive namespace: its user namespace first (if any), which gives the rights.

    Raises:
        OSError: from `setns`.
    """
    if user is not None:
        setns(user, Namespace.USER)
    setns(network, Namespace.NET)


def mount(
    source: str | None,
    target: str,
    kind: str | None = None,
    flags: MountFlag | None = None,
    data: str | None = None,
) -> None:
    """Mount `source` of file system `kind` on `target`.

    Source: mount(2).

    Raises:
        OSError: whatever mount(2) says; the message names the target.
    """

    def encoded(text: str | None) -> bytes | None:
        return None if text is None else os.fsencode(text)

    result = _libc.mount(
        encoded(source), os.fsencode(target), encoded(kind), int(flags or 0), encoded(data)
    )
    _check(result, f"mount({target})")


def umount(target: str, flags: int = MNT_DETACH) -> None:
    """Unmount `target`; umount2(2).

    Raises:
        OSError: whatever umount2(2) says; the message names the target.
    """
    _check(_libc.umount2(os.fsencode(target), flags), f"umount2({target})")


def prctl(
    operation: Prctl, first: int = 0, second: int = 0, third: int = 0, fourth: int = 0
) -> int:
    """Do one operation on this process and return its result.

    Source: prctl(2).

    Raises:
        OSError: whatever prctl(2) says; the message names the operation.
    """
    result = _libc.prctl(int(operation), first, second, third, fourth)
    return _check(result, f"prctl(PR_{operation.name})")


def die_with_parent(signal_number: int, parent: int) -> None:
    """Have the kernel send `signal_number` when the thread that forked this process ends.

    Args:
        signal_number: usually SIGKILL.
        parent: pid the caller had as its parent before the fork; when it is already gone this
            process ends at once, because the signal was missed (prctl(2), PR_SET_PDEATHSIG).
            0 skips the check: the parent is outside this PID namespace.
    """
    prctl(Prctl.SET_PDEATHSIG, signal_number)
    if parent and os.getppid() != parent:
        os._exit(1)


def no_new_privileges() -> None:
    """Give up for ever what set-user-id and file capabilities could add; prctl(2)."""
    prctl(Prctl.SET_NO_NEW_PRIVS, 1)


def close_range(first: int, last: int, flags: int = 0) -> None:
    """Close descriptors `first` to `last`, both included.

    Source: close_range(2), Linux 5.9.

    Raises:
        OSError: ENOSYS on an older kernel, EINVAL when `first` is above `last`.
    """
    result = _libc.syscall(
        ctypes.c_long(_NR_CLOSE_RANGE),
        ctypes.c_uint(first),
        ctypes.c_uint(last),
        ctypes.c_uint(flags),
    )
    _check(result, "close_range")


def close_all_but(keep: tuple[int, ...]) -> None:
    """Close every descriptor of this process except those in `keep`.

    Raises:
        OSError: from `close_range`.
    """
    start = 0
    for descriptor in sorted(set(keep)):
        if descriptor > start:
            close_range(start, descriptor - 1)
        start = descriptor + 1
    close_range(start, 0xFFFFFFFF)


def capabilities() -> tuple[int, int, int]:
    """Capability sets of this thread as bit masks: effective, permitted, inheritable; capget(2)."""
    header = _CapabilityHeader(_CAPABILITY_VERSION_3, 0)
    halves = (_CapabilityHalf * 2)()
    _check(_libc.capget(ctypes.byref(header), halves), "capget")
    low, high = halves
    return (
        low.effective | high.effective << 32,
        low.permitted | high.permitted << 32,
        low.inheritable | high.inheritable << 32,
    )


def set_capabilities(effective: int, permitted: int, inheritable: int) -> None:
    """Set the capability sets of this thread from bit masks; capset(2).

    Raises:
        OSError: EPERM when a bit is asked for that the thread may not have.
    """
    header = _CapabilityHeader(_CAPABILITY_VERSION_3, 0)
    halves = (_CapabilityHalf * 2)()
    for index in (0, 1):
        shift = 32 * index
        halves[index].effective = effective >> shift & 0xFFFFFFFF
        halves[index].permitted = permitted >> shift & 0xFFFFFFFF
        halves[index].inheritable = inheritable >> shift & 0xFFFFFFFF
    _check(_libc.capset(ctypes.byref(header), halves), "capset")


def keep_over_exec(capability: int) -> None:
    """Let a program that this process executes have `capability`, although its uid is not 0.

    A user namespace with an identity map gives its first process all capabilities, and execve(2)
    takes them away again unless they are ambient (capabilities(7), "Ambient capability set").

    Raises:
        OSError: EPERM when the capability is not held.
    """
    effective, permitted, inheritable = capabilities()
    set_capabilities(effective, permitted, inheritable | 1 << capability)
    prctl(Prctl.CAP_AMBIENT, _AMBIENT_RAISE, capability)


def drop_capabilities() -> None:
    """Empty all five capability sets of this thread; capabilities(7).

    The bounding set can only be emptied while CAP_SETPCAP is held, so it goes first; where it is
    not held, the other four empty sets and no_new_privs make it meaningless.

    Raises:
        OSError: from prctl(2) and capset(2).
    """
    prctl(Prctl.CAP_AMBIENT, AMBIENT_CLEAR_ALL)
    drop_bounding_set()
    set_capabilities(0, 0, 0)


def drop_bounding_set(keep: int = 0) -> None:
    """Take everything but the bits of `keep` out of the bounding set, where CAP_SETPCAP is held.

    Raises:
        OSError: from prctl(2).
    """
    last = int(Path("/proc/sys/kernel/cap_last_cap").read_text("ascii"))
    setpcap = 8
    if capabilities()[0] >> setpcap & 1:
        for capability in range(last + 1):
            if not keep >> capability & 1:
                prctl(Prctl.CAPBSET_DROP, capability)


def map_own_ids(uid: int, gid: int) -> None:
    """Map the caller's ids onto themselves in the user namespace it has just made.

    A process without rights outside may map itself only, one line each, and only after setgroups
    is denied for good (user_namespaces(7), "User and group ID mappings").

    Raises:
        OSError: EPERM where a security module restricts user namespaces.
    """
    # After a change of uid the files belong to root until the process is dumpable; proc(5).
    dumpable = prctl(Prctl.GET_DUMPABLE)
    prctl(Prctl.SET_DUMPABLE, 1)
    try:
        Path("/proc/self/setgroups").write_text("deny", "ascii")
        Path("/proc/self/uid_map").write_text(f"{uid} {uid} 1\n", "ascii")
        Path("/proc/self/gid_map").write_text(f"{gid} {gid} 1\n", "ascii")
    finally:
        prctl(Prctl.SET_DUMPABLE, 1 if dumpable == 1 else 0)


def landlock_version() -> int:
    """Highest Landlock ABI of this kernel, 0 without Landlock.

    Source: landlock_create_ruleset(2), LANDLOCK_CREATE_RULESET_VERSION; number 444 everywhere.

    """
    version = _libc.syscall(ctypes.c_long(444), None, ctypes.c_size_t(0), ctypes.c_uint(1))
    return max(0, int(version))


def io_uring_answers() -> bool:
    """Whether io_uring_setup(2) exists here and is allowed; number 425 everywhere."""
    result = _libc.syscall(ctypes.c_long(425), ctypes.c_uint(1), None)
    return bool(result >= 0 or ctypes.get_errno() == errno.EFAULT)


def library_loads(name: str) -> bool:
    """Whether the dynamic linker finds the shared library `name`, such as `libseccomp.so.2`."""
    try:
        ctypes.CDLL(name)
    except OSError:
        return False
    return True
