"""What the kernel says of a container's first process: proc(5), namespaces(7).

The engine's word is not taken for it: which namespaces a process is in, which links its network
has, and what is mounted in it, the kernel knows. Pids are those of this process's PID namespace, so
the engine must be of this machine.
"""

# ruff: noqa: PTH116
from __future__ import annotations

import bisect
import contextlib
import os
import re
import select
import signal
import stat
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, Self, TypeVar

from interceptor.containers import boundary, seccomp
from netns import unix_sockets

_ESCAPED: Final = re.compile(r"\\([0-7]{3})")
_HOST_ROOT: Final = 0
_T = TypeVar("_T")

CAPABILITIES: Final = (
    *("CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL"),
    *("SETGID", "SETUID", "SETPCAP", "LINUX_IMMUTABLE", "NET_BIND_SERVICE", "NET_BROADCAST"),
    *("NET_ADMIN", "NET_RAW", "IPC_LOCK", "IPC_OWNER", "SYS_MODULE", "SYS_RAWIO"),
    *("SYS_CHROOT", "SYS_PTRACE", "SYS_PACCT", "SYS_ADMIN", "SYS_BOOT", "SYS_NICE"),
    *("SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "MKNOD", "LEASE", "AUDIT_WRITE"),
    *("AUDIT_CONTROL", "SETFCAP", "MAC_OVERRIDE", "MAC_ADMIN", "SYSLOG", "WAKE_ALARM"),
    *("BLOCK_SUSPEND", "AUDIT_READ", "PERFMON", "BPF", "CHECKPOINT_RESTORE"),
)
"""Names by number: linux/capability.h."""


class GoneError(Exception):
    """The process has ended."""


class Process:
    """A process of a container, held by its pidfd, so that no other one is taken for it."""

    def __init__(self, pid: int) -> None:
        """Hold it.

        Raises:
            GoneError: there is none.
        """
        self.pid = pid
        try:
            self.descriptor = os.pidfd_open(pid)
        except (OSError, ValueError) as error:
            raise GoneError(f"there is no process {pid}: {error}") from error

    def close(self) -> None:
        """Let go of it."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def open_network(self) -> int:
        """Open its network namespace; the descriptor is the caller's.

        Raises:
            GoneError: it has ended.
        """
        return self._sure(lambda: os.open(f"/proc/{self.pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC))

    def faults(self, *, running: bool) -> list[str]:
        """Say what it has that a container of ours must not have.

        Args:
            running: it is the container's own program already, and no runtime's that has not given
                up its rights yet.

        Raises:
            GoneError: it has ended.
        """

        def look() -> list[str]:
            faults = [boundary.shared(kind) for kind in self._shared()]
            faults += boundary.link_faults(self._links())
            if running and Path(f"/proc/{self.pid}/root").samefile("/"):
                faults.append("its root file system is the host's. Fix: use an image")
            if running:
                faults += self._running()
            return faults

        return self._sure(look)

    def has_own_user(self) -> bool:
        """Whether its root is not the host's: a user namespace that does not map uid 0 (of ours).

        Raises:
            GoneError: it has ended.
        """

        def look() -> bool:
            if _same(self.pid, "user"):
                return False
            text = Path(f"/proc/{self.pid}/uid_map").read_text("ascii")
            starts = [int(line.split()[1]) for line in text.splitlines()]
            return bool(starts) and _HOST_ROOT not in starts

        return self._sure(look)

    def has_ended(self) -> bool:
        """Whether it has."""
        poll = select.poll()
        poll.register(self.descriptor, select.POLLIN)
        return bool(poll.poll(0))

    def kill(self) -> None:
        """End it: SIGKILL, to it and to no other."""
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.descriptor, signal.SIGKILL)

    def _sure(self, look: Callable[[], _T]) -> _T:
        """Look at files of proc(5), and see that they were of this process to the end."""
        try:
            found = look()
        except OSError as error:
            if not self.has_ended():
                raise
            raise GoneError(f"process {self.pid} has ended") from error
        if self.has_ended():
            raise GoneError(f"process {self.pid} has ended")
        return found

    def _shared(self) -> list[str]:
        return [kind for kind, name in boundary.NAMESPACES.items() if _same(self.pid, name)]

    def _links(self) -> list[str]:
        lines = Path(f"/proc/{self.pid}/net/dev").read_text("ascii").splitlines()[2:]
        return [line.partition(":")[0].strip() for line in lines]

    def _running(self) -> list[str]:
        faults = []
        shown = Path(f"/proc/{self.pid}/status").read_text("utf-8", "replace")
        lines = (line.partition(":\t") for line in shown.splitlines())
        status = {name: text for name, _, text in lines}
        if not self.has_own_user():
            bounding = int(status["CapBnd"], 16)
            held = {f"CAP_{name}" for bit, name in enumerate(CAPABILITIES) if bounding >> bit & 1}
            if bounding >> len(CAPABILITIES):
                held.add("CAP_SYS_ADMIN")
            faults += boundary.capability_faults(held)
        if status.get("Seccomp", "0").strip() == "0" and seccomp.vsock_leads_out():
            faults.append(
                "it runs without a seccomp profile, and vsock(7) leads out of this machine. Fix: "
                "leave out --security-opt seccomp=unconfined and --privileged"
            )
        mounts = Path(f"/proc/{self.pid}/mountinfo").read_text("utf-8", "surrogateescape")
        faults += mounted_faults(targets(mounts), f"/proc/{self.pid}/root")
        return faults


def targets(mountinfo: str) -> list[str]:
    """Mount points of a mountinfo (proc(5)), the root left out."""
    found = []
    for line in mountinfo.splitlines():
        fields = line.split(" ")
        if len(fields) > 4 and fields[4] != "/":
            found.append(_ESCAPED.sub(lambda match: chr(int(match[1], 8)), fields[4]))
    return found


def mounted_faults(places: Sequence[str], root: str) -> list[str]:
    """Say which mount points below `root` are sockets, or places the host is governed from."""
    governed: dict[tuple[int, int], str] = {}
    for place in (*boundary.CONTROLS, *boundary.STORES, *_bound_paths()):
        # Above it as well, as far as that is not the root of what other things lie in.
        for path in (place, *(str(above) for above in Path(place).parents if len(above.parts) > 1)):
            with contextlib.suppress(OSError):
                status = os.stat(path)
                governed.setdefault((status.st_dev, status.st_ino), place)
    faults = []
    for target in places:
        with contextlib.suppress(OSError):
            status = os.stat(f"{root}{target}", follow_symlinks=False)
            if stat.S_ISSOCK(status.st_mode):
                faults.append(f"{target} is a unix socket of the host's. Fix: leave the mount out")
            elif held := governed.get((status.st_dev, status.st_ino)):
                faults.append(
                    f"{target} holds {held}, from where the host is governed. Fix: leave it out"
                )
    return faults


def bound_sockets() -> boundary.Sockets:
    """Look for unix sockets of the host's at a path and below it: those that are bound now."""
    bound = sorted(_bound_paths())

    def look(path: str) -> str:
        with contextlib.suppress(OSError):
            if stat.S_ISSOCK(os.stat(path).st_mode):
                return path
        below = f"{path.rstrip('/')}/"
        at = bisect.bisect_left(bound, below)
        return bound[at] if at < len(bound) and bound[at].startswith(below) else ""

    return look


def _bound_paths() -> set[str]:
    """Paths of unix sockets that somebody in our network namespace, or the first's, has bound."""
    found: set[str] = set()
    for who in ("self", "1"):
        with contextlib.suppress(OSError):
            table = Path(f"/proc/{who}/net/unix").read_text("utf-8", "surrogateescape")
            paths = {path for path, _ in unix_sockets.bound_paths(table) if path[0] == "/"}
            found |= {os.path.realpath(path) for path in paths}
    return found


def _same(pid: int, name: str) -> bool:
    """Whether a process is in a namespace of ours, or of the machine's first process."""
    theirs = os.stat(f"/proc/{pid}/ns/{name}")
    for who in ("self", "1"):
        with contextlib.suppress(OSError):
            ours = os.stat(f"/proc/{who}/ns/{name}")
            if (ours.st_dev, ours.st_ino) == (theirs.st_dev, theirs.st_ino):
                return True
    return False
