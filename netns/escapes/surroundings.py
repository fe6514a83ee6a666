"""How a process leaves the machine: namespaces of its own, private places, addresses of its own."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from pathlib import Path
from typing import Final

from netns import anyip, namespaces
from netns.namespaces import MountFlag, Namespace

HOST_V4, LAN_LINK, LAN_V4 = "192.168.77.2", "egx-lan", "192.168.78.2"
_PRIVATE: Final = ("/tmp", "/run", "/dev/shm", "/var/tmp", "/var/spool")  # noqa: S108
_KERNEL: Final = (("debugfs", "/sys/kernel/debug"), ("tracefs", "/sys/kernel/tracing"))


def mounts(keep: tuple[str, ...]) -> None:
    """Private places instead of the machine's; `keep` names directories to bind back."""
    namespaces.mount(None, "/", flags=MountFlag.PRIVATE | MountFlag.REC)
    quiet = MountFlag.NOSUID | MountFlag.NODEV | MountFlag.NOEXEC
    namespaces.mount("proc", "/proc", "proc", quiet)
    places = [Path(place) for place in keep]
    hidden = [each for each in places if any(each.is_relative_to(top) for top in _PRIVATE)]
    kept = [(place, os.open(place, os.O_PATH)) for place in hidden]
    for target in _PRIVATE:
        if Path(target).is_dir() and not Path(target).is_symlink():
            namespaces.mount("tmpfs", target, "tmpfs", None, "mode=1777")
    Path("/run").chmod(0o755)
    for kind, where in _KERNEL:
        with contextlib.suppress(OSError):
            namespaces.mount(kind, where, kind, quiet)
    for place, descriptor in kept:
        place.mkdir(parents=True, exist_ok=True)
        flags = MountFlag.BIND | MountFlag.REC
        namespaces.mount(f"/proc/self/fd/{descriptor}", str(place), None, flags)
        os.close(descriptor)


def network() -> None:
    """Every address is this namespace's own, and a pair of devices leads nowhere."""
    ipv6 = Path("/proc/sys/net/ipv6").is_dir()
    anyip.apply(anyip.messages(anyip.load_messages(), ipv6=ipv6))
    commands = (
        f"addr add {HOST_V4}/32 dev lo",
        f"link add {LAN_LINK} type veth peer name egx-far",
        f"link set {LAN_LINK} up arp off",
        "link set egx-far up arp off",
        f"addr add {LAN_V4}/24 dev {LAN_LINK}",
    )
    with contextlib.suppress(OSError):  # without it, controls that need a device say so
        subprocess.run(
            ["ip", "-force", "-batch", "-"],
            input="\n".join(commands),
            text=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=False,
        )


def enter(*, rootless: bool) -> None:
    """Leave the machine; continue in a child that is the first process of a PID namespace."""
    kinds = Namespace.NET | Namespace.MOUNT | Namespace.PID | Namespace.IPC | Namespace.UTS
    uid, gid = os.geteuid(), os.getegid()
    if rootless:
        namespaces.unshare(Namespace.USER | kinds)
        namespaces.map_own_ids(uid, gid)
        last = int(Path("/proc/sys/kernel/cap_last_cap").read_text("ascii"))
        for capability in range(last + 1):
            namespaces.keep_over_exec(capability)
    else:
        namespaces.unshare(kinds)
    child = os.fork()
    if child:
        _, status = os.waitpid(child, 0)
        os._exit(max(0, os.waitstatus_to_exitcode(status)) if os.WIFEXITED(status) else 70)
    namespaces.die_with_parent(signal.SIGKILL, 0)
