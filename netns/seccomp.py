"""System call filters: what a process in the jail, and the interceptor, cannot ask the kernel for.

The namespace without a path out is what keeps bytes in. These filters take away what namespaces do
not cover (vsock), what lets a process act past the other layers (io_uring, TIOCSTI) and kernel
surface an agent has no use for. Every denial is a line of data with its errno and its reason in
`netns.seccomp_rules`; libseccomp compiles them to BPF. Call numbers differ between architectures
(seccomp(2), "Caveats"): the agent's profiles hold the same denials for 32-bit programs as well
(`netns.seccomp_compat`), and who calls by any other architecture, x32 included, is killed.
"""

from __future__ import annotations

import ctypes
import functools
import os
from collections.abc import Iterable
from typing import Self

from netns import seccomp_compat
from netns.seccomp_rules import Denial, Profile, denials

__all__ = ["Profile", "SeccompError", "load", "program"]

_NUMBERS = {
    "io_uring_setup": 425,
    "io_uring_enter": 426,
    "io_uring_register": 427,
    "open_tree": 428,
    "move_mount": 429,
    "fsopen": 430,
    "fsconfig": 431,
    "fsmount": 432,
    "fspick": 433,
    "clone3": 435,
    "pidfd_getfd": 438,
    "mount_setattr": 442,
    "quotactl_fd": 443,
    "open_tree_attr": 467,
}
"""Calls younger than some libseccomp in use. From 424 on all architectures share the numbers."""

_AGENTS = frozenset({Profile.AGENT, Profile.AGENT_WITH_USER_NAMESPACES})


class SeccompError(RuntimeError):
    """No filter could be made, so nothing may start. The message names the fix."""


def program(profile: Profile, more: Iterable[Denial] = ()) -> int:
    """Return a memfd with the compiled filter, at its start, for bwrap --seccomp.

    `more` is denied as well. The descriptor is close-on-exec and the caller's to close. Raises
    SeccompError.
    """
    fd = os.memfd_create("egressguard-seccomp", os.MFD_CLOEXEC)
    try:
        rules = denials(profile, more)
        with _Filter(rules) as filter_:
            if profile in _AGENTS:
                os.write(fd, seccomp_compat.program(rules, _compat_number))
            filter_.export(fd)
        os.lseek(fd, 0, os.SEEK_SET)
    except BaseException:
        os.close(fd)
        raise
    return fd


def load(profile: Profile) -> None:
    """Put the calling process, all its threads included, under a filter for ever.

    Sets no_new_privs. Raises SeccompError, after which the process must not go on.
    """
    with _Filter(denials(profile)) as filter_:
        filter_.load()


# --- libseccomp -----------------------------------------------------------------------------

_ACT_ALLOW, _ACT_KILL_PROCESS, _ACT_ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_ATTR_BADARCH, _ATTR_NNP, _ATTR_TSYNC, _ATTR_OPTIMIZE = 2, 3, 4, 8
_CMP_GE, _CMP_MASKED_EQ = 5, 7


class _Comparison(ctypes.Structure):
    """struct scmp_arg_cmp of seccomp.h."""

    _fields_ = (
        ("arg", ctypes.c_uint),
        ("op", ctypes.c_int),
        ("datum_a", ctypes.c_uint64),
        ("datum_b", ctypes.c_uint64),
    )


@functools.cache
def _library() -> ctypes.CDLL:
    try:
        library = ctypes.CDLL("libseccomp.so.2", use_errno=True)
    except OSError as error:
        raise SeccompError(
            f"libseccomp.so.2 cannot be loaded ({error}); the jail does not start without its "
            "system call filter: apt-get install libseccomp2"
        ) from error
    library.seccomp_init.restype = ctypes.c_void_p
    library.seccomp_init.argtypes = (ctypes.c_uint32,)
    library.seccomp_release.restype = None
    library.seccomp_release.argtypes = (ctypes.c_void_p,)
    library.seccomp_load.argtypes = (ctypes.c_void_p,)
    library.seccomp_attr_set.argtypes = (ctypes.c_void_p, ctypes.c_int, ctypes.c_uint32)
    library.seccomp_export_bpf.argtypes = (ctypes.c_void_p, ctypes.c_int)
    library.seccomp_syscall_resolve_name.argtypes = (ctypes.c_char_p,)
    library.seccomp_syscall_resolve_name_arch.argtypes = (ctypes.c_uint32, ctypes.c_char_p)
    library.seccomp_rule_add_array.argtypes = (
        ctypes.c_void_p,
        ctypes.c_uint32,
        ctypes.c_int,
        ctypes.c_uint,
        ctypes.POINTER(_Comparison),
    )
    return library


class _Filter:
    """A libseccomp filter context with rules."""

    def __init__(self, rules: Iterable[Denial]) -> None:
        self._library = _library()
        self._context = self._library.seccomp_init(_ACT_ALLOW)
        if not self._context:
            raise SeccompError("seccomp_init failed: out of memory")
        try:
            self._set(_ATTR_BADARCH, _ACT_KILL_PROCESS)
            self._set(_ATTR_OPTIMIZE, 2, required=False)  # binary tree; libseccomp 2.5
            for rule in rules:
                self._add(rule)
        except BaseException:
            self._library.seccomp_release(self._context)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._library.seccomp_release(self._context)

    def export(self, fd: int) -> None:
        _check(self._library.seccomp_export_bpf(self._context, fd), "seccomp_export_bpf")

    def load(self) -> None:
        self._set(_ATTR_NNP, 1)
        self._set(_ATTR_TSYNC, 1)
        _check(self._library.seccomp_load(self._context), "seccomp_load")

    def _set(self, attribute: int, value: int, *, required: bool = True) -> None:
        result = self._library.seccomp_attr_set(self._context, attribute, value)
        if required:
            _check(result, f"seccomp_attr_set({attribute})")

    def _add(self, rule: Denial) -> None:
        comparisons = (_Comparison * max(1, len(rule.when)))()
        for slot, condition in zip(comparisons, rule.when, strict=False):
            slot.arg = condition.argument
            if condition.mask:
                slot.op, slot.datum_a = _CMP_MASKED_EQ, condition.mask
                slot.datum_b = condition.value & condition.mask
            else:
                slot.op, slot.datum_a = _CMP_GE, condition.value
        for call in rule.calls:
            number = self._library.seccomp_syscall_resolve_name(call.encode())
            if number == -1:  # not known to this libseccomp
                number = _NUMBERS.get(call, -1)
            if number < 0:  # below -1: this architecture has no such call
                continue
            _check(
                self._library.seccomp_rule_add_array(
                    self._context,
                    _ACT_ERRNO | rule.error,
                    number,
                    len(rule.when),
                    comparisons,
                ),
                f"seccomp_rule_add({call})",
            )


def _compat_number(call: str) -> int:
    """Number of a call on the 32-bit architecture, below 0 where it has none."""
    found: int = _library().seccomp_syscall_resolve_name_arch(
        seccomp_compat.ARCHITECTURE, call.encode()
    )
    return found if found != -1 else _NUMBERS.get(call, -1)


def _check(result: int, what: str) -> None:
    if result < 0:
        raise SeccompError(
            f"{what}: {os.strerror(-result)}; the jail does not start without its system call "
            "filter. Does this kernel have CONFIG_SECCOMP_FILTER?"
        )
