"""A captive namespace for the tests of the enclosure, made by hand: no path out, AnyIP routes.

Nothing of `netns.captive` is used, so that these tests stand alone.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass

_SET_UP = """
ip link set lo up
ip addr add 198.18.0.2/32 dev lo
ip addr add fd65:6772:6573:7300::2/128 dev lo nodad
ip route add local 0.0.0.0/0 dev lo table main
ip -6 route add local ::/0 dev lo table main
echo ready
exec sleep 300
"""


@dataclass(frozen=True)
class Captive:
    pid: int
    network_fd: int
    user_fd: int | None


@contextlib.contextmanager
def captive(rootless_uid: int | None = None) -> Iterator[Captive]:
    """Yield a network namespace; in a user namespace of `rootless_uid` when one is given."""
    unshare = ["unshare", "--net"]
    if rootless_uid is not None:
        ids = (f"--map-user={rootless_uid}", f"--map-group={rootless_uid}", "--keep-caps")
        unshare = [
            *("setpriv", f"--reuid={rootless_uid}", f"--regid={rootless_uid}", "--clear-groups"),
            *("unshare", "--user", *ids, "--net"),
        ]
        if os.geteuid() == rootless_uid:
            unshare = unshare[4:]
    process = subprocess.Popen([*unshare, "sh", "-ec", _SET_UP], stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        network = os.open(f"/proc/{process.pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        user = None
        if rootless_uid is not None:
            user = os.open(f"/proc/{process.pid}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
        try:
            yield Captive(process.pid, network, user)
        finally:
            os.close(network)
            if user is not None:
                os.close(user)
    finally:
        process.kill()
        process.communicate()
