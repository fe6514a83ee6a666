"""How the interceptor gives up everything it does not need, for good, before it reads a byte."""

from __future__ import annotations

import os
import pwd
import resource
import signal
from typing import Final

from netns import namespaces, seccomp

# systemd's range for dynamic users (systemd.exec(5), DynamicUser=): no distribution gives these
# to anybody, so no other process of the host shares the uid.
_FIRST_UID: Final = 61_184
_UIDS: Final = 65_519 - _FIRST_UID


class ConfineError(RuntimeError):
    """A privilege could not be given up, so nothing may be served."""


def unprivileged_uid(seed: int) -> int:
    """Pick a uid that no account has, by `seed` (such as a process id)."""
    for step in range(_UIDS):
        uid = _FIRST_UID + (seed + step) % _UIDS
        try:
            pwd.getpwuid(uid)
        except KeyError:
            return uid
    raise ConfineError("every uid of the dynamic range is taken")


def confine(uid: int | None, parent: int, descriptors: int) -> None:
    """Drop to `uid` without groups, capabilities, new privileges, core dumps or dangerous calls.

    Args:
        uid: user and group id to become; None to stay who we are (rootless).
        parent: process id of the supervisor, whose death is ours (PR_SET_PDEATHSIG).
        descriptors: limit on open descriptors.

    Raises:
        ConfineError: naming the step that failed.
    """
    try:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        limit = descriptors if hard == resource.RLIM_INFINITY else min(descriptors, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
        os.chdir("/")
        os.umask(0o077)
        if uid is not None:
            os.setgroups([])
            os.setresgid(uid, uid, uid)
            os.setresuid(uid, uid, uid)
        namespaces.drop_capabilities()
        namespaces.no_new_privileges()
        # After the change of user, which clears it (prctl(2)).
        namespaces.die_with_parent(signal.SIGKILL, parent)
        # The authority's key lies in this memory: nobody of the same uid may look (prctl(2)).
        namespaces.prctl(namespaces.Prctl.SET_DUMPABLE, 0)
        seccomp.load(seccomp.Profile.INTERCEPTOR)
        if any(namespaces.capabilities()):
            raise ConfineError("capabilities are left after they were dropped")
    except (OSError, seccomp.SeccompError, ValueError) as error:
        raise ConfineError(f"cannot confine the interceptor: {error}") from error
