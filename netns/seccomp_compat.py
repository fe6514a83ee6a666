"""The agent's filter for 32-bit programs on a 64-bit kernel: the same denials, other call numbers.

libseccomp can add the architecture itself, but takes twenty times as long, since it spreads every
rule about sockets over socketcall(2). So the tables of `netns.seccomp_rules` are translated here to
classic BPF that stands before libseccomp's program and answers for one architecture alone. Layout
of struct seccomp_data: seccomp(2). Arguments of a 32-bit call have 32 bits.
"""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Callable, Iterable
from typing import Final

from netns.seccomp_rules import Condition, Denial

ARCHITECTURES: Final = {
    "x86_64": 0x40000003,  # AUDIT_ARCH_I386; libseccomp has the same number for it
    "aarch64": 0x40000028,  # AUDIT_ARCH_ARM
}
ARCHITECTURE: Final = ARCHITECTURES.get(os.uname().machine)
"""The 32-bit architecture whose programs this kernel may run, or None; <linux/audit.h>."""

MULTIPLEXED: Final = (
    Denial(
        ("socketcall",),
        errno.EAFNOSUPPORT,
        "in 32-bit programs: its arguments lie in memory; socket and socketpair are calls as well",
        (Condition(0, 1),),
    ),
    Denial(
        ("socketcall",),
        errno.EAFNOSUPPORT,
        "in 32-bit programs: its arguments lie in memory; socket and socketpair are calls as well",
        (Condition(0, 8),),
    ),
)
"""SYS_SOCKET and SYS_SOCKETPAIR of socketcall(2), which x86 has and arm has not."""

_DIRECT: Final = {"socket": 359, "socketpair": 360}
"""Calls of x86 since Linux 4.3, for which libseccomp gives no number but that of socketcall."""

_LOAD, _AND, _RETURN = 0x20, 0x54, 0x06  # BPF_LD|BPF_W|BPF_ABS, BPF_ALU|BPF_AND|BPF_K, BPF_RET
_EQUAL, _AT_LEAST, _JUMP = 0x15, 0x35, 0x05  # BPF_JMP with BPF_JEQ, BPF_JGE, BPF_JA
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000
_NUMBER, _ARCH, _ARGUMENTS = 0, 4, 16

_Code = list[tuple[int, int, int, int]]


def program(
    denials: Iterable[Denial], number: Callable[[str], int], architecture: int | None = ARCHITECTURE
) -> bytes:
    """Return instructions (struct sock_filter) to stand before a native filter.

    A call of any other architecture falls through to what follows.

    Args:
        denials: the rules of a profile.
        number: the call's number on `architecture`, below 0 where it has no such call.
        architecture: token of <linux/audit.h>; None where there is no 32-bit architecture.
    """
    if architecture is None:
        return b""
    rules: dict[int, list[Denial]] = {}
    for rule in (*denials, *MULTIPLEXED):
        for call in rule.calls:
            found = number(call)
            if found < 0 and architecture == ARCHITECTURES["x86_64"]:
                found = _DIRECT.get(call, -1)
            if found >= 0:
                rules.setdefault(found, []).append(rule)
    body: _Code = [(_LOAD, 0, 0, _NUMBER)]
    for found, those in rules.items():
        block = [each for rule in those for each in _denial(rule)] + [(_RETURN, 0, 0, _ALLOW)]
        # Conditional jumps reach 255 instructions, the plain one any number.
        body += [(_EQUAL, 1, 0, found), (_JUMP, 0, 0, len(block)), *block]
    body.append((_RETURN, 0, 0, _ALLOW))
    start: _Code = [
        (_LOAD, 0, 0, _ARCH),
        (_EQUAL, 1, 0, architecture),
        (_JUMP, 0, 0, len(body)),
    ]
    return b"".join(struct.pack("=HBBI", *each) for each in (*start, *body))


def _denial(rule: Denial) -> _Code:
    """Return with the rule's errno when every condition holds; else go on behind."""
    code: _Code = []
    for condition in rule.when:
        low = _ARGUMENTS + 8 * condition.argument  # both architectures are little-endian
        code.append((_LOAD, 0, 0, low))
        if condition.mask:
            code.append((_AND, 0, 0, condition.mask))
            code.append((_EQUAL, 0, 0, condition.value & condition.mask))
        else:
            code.append((_AT_LEAST, 0, 0, condition.value))
    size = len(code) + 1
    for place, (operation, _, _, value) in enumerate(code):
        if operation in (_EQUAL, _AT_LEAST):
            code[place] = (operation, 0, size - place - 1, value)
    return [*code, (_RETURN, 0, 0, _ERRNO | rule.error)]
