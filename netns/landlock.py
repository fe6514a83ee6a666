"""Landlock as a second layer: no signal to, and no abstract socket of, what is outside the jail.

Namespaces hold both already; where a fault opened one of them, this still stands. A domain also
keeps its processes from tracing those outside (landlock(7)). It handles no files: a domain that
does may not mount, and bubblewrap has to.
"""

from __future__ import annotations

import ctypes
import os
import struct
from typing import Final

from netns import namespaces

_NR_CREATE_RULESET: Final = 444  # the same on every architecture
_NR_RESTRICT_SELF: Final = 446
_SCOPES: Final = 1 | 2  # LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET, LANDLOCK_SCOPE_SIGNAL
_SINCE: Final = 6
"""Landlock's ABI that has scopes: Linux 6.12."""

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


def scope() -> bool:
    """Put this process and its children to come into a domain, where the kernel can.

    Needs CAP_SYS_ADMIN in the user namespace, or no_new_privs.

    Returns:
        False where the kernel has no scopes; the namespaces stand alone then.

    Raises:
        OSError: it has, and refuses.
    """
    if namespaces.landlock_version() < _SINCE:
        return False
    attributes = struct.pack("=QQQ", 0, 0, _SCOPES)
    ruleset = _libc.syscall(
        ctypes.c_long(_NR_CREATE_RULESET),
        ctypes.c_char_p(attributes),
        ctypes.c_size_t(len(attributes)),
        ctypes.c_uint(0),
    )
    if ruleset < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"landlock_create_ruleset: {os.strerror(number)}")
    try:
        result = _libc.syscall(
            ctypes.c_long(_NR_RESTRICT_SELF), ctypes.c_int(ruleset), ctypes.c_uint(0)
        )
        if result < 0:
            number = ctypes.get_errno()
            raise OSError(number, f"landlock_restrict_self: {os.strerror(number)}")
    finally:
        os.close(ruleset)
    return True
