"""What the system call filters deny, as data: calls, conditions, errno, reason.

`netns.seccomp` compiles these tables; tests and docs/ read them.
"""

from __future__ import annotations

import enum
import errno
import os
from collections.abc import Iterable, Iterator
from typing import NamedTuple

_EPERM, _ENOSYS = errno.EPERM, errno.ENOSYS
_EAFNOSUPPORT, _EPROTONOSUPPORT = errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT

_LOW32 = 0xFFFFFFFF  # the kernel reads these arguments as int: bits above must not hide a value
_CLONE_NEWUSER, _CLONE_THREAD = 0x10000000, 0x00010000
_AF_UNIX, _AF_INET, _AF_INET6, _AF_NETLINK, _AF_FIRST_UNKNOWN = 1, 2, 10, 16, 46


class Profile(enum.StrEnum):
    """Whom a filter is for."""

    AGENT = "agent"
    AGENT_WITH_USER_NAMESPACES = "agent_with_user_namespaces"
    INTERCEPTOR = "interceptor"
    GUARD = "guard"
    WITNESS = "witness"


class Condition(NamedTuple):
    """A comparison of one argument; libseccomp allows one per argument and rule."""

    argument: int
    value: int
    mask: int = _LOW32
    """The argument is compared after masking; 0 means `argument >= value` on all 64 bits."""


class Denial(NamedTuple):
    """One rule: calls that fail with an errno when all conditions hold."""

    calls: tuple[str, ...]
    error: int
    why: str
    when: tuple[Condition, ...] = ()


_CLONE_FLAGS = 1 if os.uname().machine == "s390x" else 0

_ALWAYS: tuple[Denial, ...] = (
    Denial(
        ("io_uring_setup", "io_uring_enter", "io_uring_register"),
        _ENOSYS,
        "does sockets and files past every rule below; libraries fall back on ENOSYS",
    ),
    Denial(("bpf",), _EPERM, "loads programs into the kernel"),
    Denial(("perf_event_open",), _EPERM, "reads other processes' timing and memory traces"),
    Denial(("userfaultfd",), _EPERM, "holds the kernel still in the middle of a copy"),
    Denial(("kexec_load", "kexec_file_load", "reboot"), _EPERM, "replaces or stops the kernel"),
    Denial(
        ("init_module", "finit_module", "delete_module", "create_module", "query_module"),
        _EPERM,
        "loads code into the kernel",
    ),
    Denial(
        ("keyctl", "add_key", "request_key"),
        _EPERM,
        "keyrings belong to the user, not to a namespace: keys of the operator's session",
    ),
    Denial(("pidfd_getfd",), _EPERM, "takes descriptors out of other processes"),
    Denial(
        ("open_by_handle_at", "fanotify_init"), _EPERM, "opens files past the mounts that hide them"
    ),
    Denial(("quotactl", "quotactl_fd", "swapon", "swapoff", "acct"), _EPERM, "administration"),
    Denial(("syslog",), _EPERM, "reads the kernel's log"),
    Denial(("vhangup", "iopl", "ioperm"), _EPERM, "terminals and ports of the machine"),
    Denial(
        (
            "settimeofday",
            "clock_settime",
            "clock_settime64",
            "stime",
            "sethostname",
            "setdomainname",
        ),
        _EPERM,
        "global settings",
    ),
    Denial(
        ("uselib", "nfsservctl", "_sysctl", "lookup_dcookie", "sysfs", "ustat", "vm86", "vm86old"),
        _ENOSYS,
        "obsolete or unused; only surface",
    ),
    Denial(
        ("ioctl",),
        _EPERM,
        "TIOCSTI: types into the terminal as if the operator had",
        (Condition(1, 0x5412),),
    ),
    Denial(
        ("ioctl",),
        _EPERM,
        "TIOCLINUX: pastes into a virtual console",
        (Condition(1, 0x541C),),
    ),
    Denial(
        ("ioctl",),
        _EPERM,
        "TIOCSETD: loads a line discipline's module onto a terminal",
        (Condition(1, 0x5423),),
    ),
)

_NO_USER_NAMESPACES: tuple[Denial, ...] = (
    Denial(
        ("clone",),
        _EPERM,
        "a user namespace hands out every capability over itself: kernel surface",
        (Condition(_CLONE_FLAGS, _CLONE_NEWUSER, _CLONE_NEWUSER),),
    ),
    Denial(
        ("unshare",),
        _EPERM,
        "a user namespace hands out every capability over itself: kernel surface",
        (Condition(0, _CLONE_NEWUSER, _CLONE_NEWUSER),),
    ),
    Denial(
        ("clone3",),
        _ENOSYS,
        "its flags lie in memory, unread by filters; libc falls back to clone",
    ),
    Denial(("setns",), _EPERM, "enters other namespaces"),
    Denial(
        (
            "mount",
            "umount",
            "umount2",
            "pivot_root",
            "chroot",
            "mount_setattr",
            "open_tree",
            "open_tree_attr",
            "move_mount",
            "fsopen",
            "fsconfig",
            "fsmount",
            "fspick",
        ),
        _EPERM,
        "changes what the mounts hide",
    ),
)

_INTERCEPTOR: tuple[Denial, ...] = (
    Denial(("execve", "execveat"), _EPERM, "the interceptor runs nothing"),
    Denial(("fork", "vfork"), _EPERM, "one process, with threads"),
    Denial(("clone",), _EPERM, "threads only", (Condition(_CLONE_FLAGS, 0, _CLONE_THREAD),)),
    Denial(
        ("ptrace", "process_vm_readv", "process_vm_writev", "kcmp"),
        _EPERM,
        "it holds the authority's key; it looks into nobody",
    ),
    Denial(
        ("setuid", "setgid", "setreuid", "setregid", "setresuid", "setresgid", "setgroups"),
        _EPERM,
        "it has become who it is",
    ),
    Denial(("mknod", "mknodat", "name_to_handle_at"), _EPERM, "it makes no nodes"),
    Denial(("personality",), _EPERM, "no need"),
)


NO_PTRACE: tuple[Denial, ...] = (
    Denial(
        ("ptrace", "process_vm_readv", "process_vm_writev"),
        _EPERM,
        "no debuggers and tracers in the jail",
    ),
)
"""For jails of `--no-ptrace`."""

_SOCK_DGRAM, _SOCK_RAW = 2, 3

NO_UNIX_SOCKETS: tuple[Denial, ...] = (
    Denial(
        ("socket",),
        _EAFNOSUPPORT,
        "a unix socket reaches every socket file in view, also one that is made later",
        (Condition(0, _AF_UNIX),),
    ),
    *(
        Denial(
            ("socketpair",),
            _EAFNOSUPPORT,
            "of a pair, only datagram sockets can be connected again; raw means the same (unix(7))",
            (Condition(0, _AF_UNIX), Condition(1, kind, 0xF)),
        )
        for kind in (_SOCK_DGRAM, _SOCK_RAW)
    ),
)
"""For jails of `--no-unix-sockets`."""

_NO_CONNECTION = Denial(
    ("connect", "listen", "accept", "accept4"),
    _EPERM,
    "it has the two sockets it needs",
)


def _sockets(families: Iterable[int], netlink: Iterable[int]) -> Iterator[Denial]:
    """Yield the rules that leave `families`, and of netlink these protocols.

    One comparison per argument: every other family is a rule of its own, and one rule ends the
    list, so that families of later kernels are denied too.
    """
    calls = ("socket", "socketpair")
    left = frozenset(families)
    why = "only unix, IP and route netlink: vsock, packet, ALG... are not held by the namespace"
    for family in range(_AF_FIRST_UNKNOWN):
        if family not in left:
            yield Denial(calls, _EAFNOSUPPORT, why, (Condition(0, family),))
    yield Denial(calls, _EAFNOSUPPORT, why, (Condition(0, _AF_FIRST_UNKNOWN, 0),))
    for family in (_AF_INET, _AF_INET6):
        for kind in (3, 10):  # SOCK_RAW, SOCK_PACKET; the bits above are SOCK_CLOEXEC and such
            yield Denial(
                ("socket",), _EPERM, "raw IP", (Condition(0, family), Condition(1, kind, 0xF))
            )
        for number, name in ((132, "SCTP"), (136, "UDP-Lite"), (262, "MPTCP"), (33, "DCCP")):
            yield Denial(
                ("socket",),
                _EPROTONOSUPPORT,
                f"{name} reaches no listener; programs fall back to TCP",
                (Condition(0, family), Condition(2, number)),
            )
    allowed = frozenset(netlink)
    for number in range(23):
        if number not in allowed:
            yield Denial(
                ("socket",),
                _EPROTONOSUPPORT,
                "netlink that configures the kernel",
                (Condition(0, _AF_NETLINK), Condition(2, number)),
            )


def denials(profile: Profile, more: Iterable[Denial] = ()) -> tuple[Denial, ...]:
    """Return the rules of a profile, and `more`. docs/ and the tests read the same table."""
    rules = [*_ALWAYS, *more]
    if profile is Profile.INTERCEPTOR:
        rules += _NO_USER_NAMESPACES
        rules += _INTERCEPTOR
        # getaddrinfo(3) asks route netlink which address families the host has.
        rules += _sockets((_AF_UNIX, _AF_INET, _AF_INET6, _AF_NETLINK), (0,))
    elif profile is Profile.WITNESS:
        rules += _NO_USER_NAMESPACES
        rules += _INTERCEPTOR
        rules += _sockets((), ())
        rules.append(_NO_CONNECTION)
    elif profile is Profile.GUARD:
        rules += _NO_USER_NAMESPACES
        rules += _INTERCEPTOR
        # Scapy asks route netlink which interfaces there are.
        rules += _sockets((_AF_UNIX, _AF_NETLINK), (0,))
        rules.append(_NO_CONNECTION)
    else:
        if profile is Profile.AGENT:
            rules += _NO_USER_NAMESPACES
        # NETLINK_ROUTE, SOCK_DIAG, AUDIT (login tools), KOBJECT_UEVENT (udev), GENERIC
        rules += _sockets((_AF_UNIX, _AF_INET, _AF_INET6, _AF_NETLINK), (0, 4, 9, 15, 16))
    return tuple(rules)


def table(profile: Profile) -> str:
    """The rules of a profile as a Markdown table; docs/threat-model.md holds that of the agent."""
    rows: dict[tuple[str, int], list[str]] = {}
    for rule in denials(profile):
        calls = rows.setdefault((rule.why, rule.error), [])
        calls += [call for call in rule.calls if call not in calls]
    lines = ["| calls | errno | why |", "|---|---|---|"]
    for (why, error), calls in rows.items():
        lines.append(f"| {', '.join(calls)} | {errno.errorcode[error]} | {why} |")
    return "\n".join(lines) + "\n"
