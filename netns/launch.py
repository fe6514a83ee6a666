"""Starting bubblewrap and, through it, the exec gate: command line, descriptors, fork.

Everything here runs before the agent exists. What the processes on the way inherit is written down:
a minimal environment, and the descriptors that are named.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import resource
import shutil
import signal
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, NoReturn

from netns import landlock, namespaces, overlay, seccomp, seccomp_rules
from netns.identity import Identity
from netns.layout import Layout
from netns.mounts import Data, Mount, arguments
from netns.terminal import Stdio

PROBES = ("198.18.255.254", "fd65:6772:6573:7300:ffff:ffff:ffff:fffe")
"""Addresses the self-test dials: synthetic, and the last to be leased."""

GATE = "/run/egressguard/gate.py"
"""Where the gate lies in every jail."""
CABLE = 3
"""Number of the tap's descriptor, where there is one."""
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class EnclosureError(RuntimeError):
    """The enclosure did not come about as promised, and the agent was not started."""

    exit_code = 70  # EX_SOFTWARE, sysexits.h


class LaunchError(RuntimeError):
    """The agent's program could not be executed inside the jail.

    `exit_code` is 127 when it was not found and 126 when it cannot be executed.
    """

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


@dataclass(frozen=True, slots=True)
class EnclosureSpec:
    """What to enclose, and how."""

    argv: tuple[str, ...]
    """The agent's command, looked up in the PATH of `environment`."""
    cwd: str
    identity: Identity
    environment: Mapping[str, str]
    """All of the agent's environment: `netns.environment.build`. HOME and PWD are set anew."""
    network_fd: int
    """The captive network namespace."""
    user_fd: int | None = None
    """The user namespace that owns it; None when running as root."""
    trust: tuple[Mount, ...] = ()
    """Mounts of `netns.trust`."""
    hostname: str = "jail"
    home_access: str = "rw"
    """`rw`, `ro`, `overlay` or `private`."""
    cwd_access: str = "rw"
    """`rw` or `ro`."""
    writable: tuple[str, ...] = ()
    readable: tuple[str, ...] = ()
    masks: tuple[str, ...] = ()
    """Evidence, policy and registry: hidden even when they lie in the agent's home."""
    protected: tuple[str, ...] = ()
    """What the next start would run: read-only even when it lies in the agent's home."""
    stdio: tuple[int, int, int] = (0, 1, 2)
    user_namespaces: bool = False
    """Let the agent make user namespaces (nested sandboxes need them)."""
    cable: int = -1
    """Descriptor of a tap that the program gets as number `CABLE`: it runs a machine."""
    ptrace: bool = True
    """Let the agent's processes trace and read each other, as debuggers do."""
    unix_sockets: bool = True
    """Let the agent make unix sockets other than connected pairs."""
    groups: tuple[int, ...] = ()
    """Descriptors of the control groups' cgroup.procs that the jail joins."""
    expect_listener: bool = True
    """The self-test requires the TCP listener to accept."""
    expect_dns: bool = True
    """The self-test requires the DNS shim to answer."""
    dns_name: str = "self-test.egressguard.invalid"
    probes: tuple[str, ...] = PROBES


class Launched(NamedTuple):
    """A bubblewrap process that is becoming the gate."""

    pid: int
    control: socket.socket
    """Our end of the gate's socket; the kernel adds the sender's credentials (unix(7))."""
    error_end: int
    """What bubblewrap and its successors write to stderr can be read here."""


def launch(spec: EnclosureSpec, plan: Layout, stdio: Stdio) -> Launched:
    """Fork, enter the captive namespace and become bubblewrap.

    Raises EnclosureError when a program is missing, SeccompError without a filter. What fails in
    the child ends the control socket and can be read at `error_end`.
    """
    bwrap = _program("bwrap", "bubblewrap")
    setpriv = "" if spec.user_fd is not None else _program("setpriv", "util-linux")
    with contextlib.ExitStack() as opened:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        opened.callback(theirs.close)
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        try:
            argv, keep = _command(spec, plan, stdio, theirs.fileno(), bwrap, setpriv, opened)
            pid, error_end = _fork(spec, plan, argv, keep, opened)
        except BaseException:
            ours.close()
            raise
    return Launched(pid, ours, error_end)


def _command(
    spec: EnclosureSpec,
    plan: Layout,
    stdio: Stdio,
    control: int,
    bwrap: str,
    setpriv: str,
    opened: contextlib.ExitStack,
) -> tuple[list[str], list[int]]:
    """Return the command line that becomes the gate, and the descriptors it inherits.

    Our own copies of the descriptors are closed by `opened`.
    """
    keep: list[int] = []

    def passed(fd: int) -> int:
        # Above what has its number, whatever descriptors this process was started with.
        keep.append(fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, CABLE + 1))
        opened.callback(os.close, keep[-1])
        return keep[-1]

    def readable(content: bytes) -> int:
        fd = os.memfd_create("egressguard", os.MFD_CLOEXEC)
        opened.callback(os.close, fd)
        os.write(fd, content)
        os.lseek(fd, 0, os.SEEK_SET)
        return passed(fd)

    profile = (
        seccomp.Profile.AGENT_WITH_USER_NAMESPACES
        if spec.user_namespaces
        else seccomp.Profile.AGENT
    )
    source = Path(__file__).with_name("gate.py").read_text("utf-8")
    more = () if spec.ptrace else seccomp_rules.NO_PTRACE
    more += () if spec.unix_sockets else seccomp_rules.NO_UNIX_SOCKETS
    filter_fd = seccomp.program(profile, more)
    opened.callback(os.close, filter_fd)
    options = [
        *enclosure_options(spec),
        *arguments((*plan.mounts, Data(GATE, source.encode(), 0o444)), readable),
        *("--seccomp", str(passed(filter_fd))),
    ]
    options_fd = readable(b"".join(os.fsencode(option) + b"\0" for option in options))

    gate = [
        *(interpreter(), "-I", "-S", GATE),
        *(str(passed(control)), *(str(passed(fd)) for fd in stdio.given)),
        "1" if stdio.master >= 0 else "0",
        ",".join(spec.probes),
        "1" if spec.expect_listener else "0",
        spec.dns_name if spec.expect_dns else "",
        ":".join(plan.folders),
        str(CABLE if spec.cable >= 0 else -1),
    ]
    become = setpriv_command(setpriv, spec.identity) if setpriv else []
    return [bwrap, "--args", str(options_fd), "--", *become, *gate], keep


def _fork(
    spec: EnclosureSpec,
    plan: Layout,
    argv: list[str],
    keep: list[int],
    opened: contextlib.ExitStack,
) -> tuple[int, int]:
    """Fork into `_become`; return the child's pid and what it says on stderr.

    Nothing of this process's descriptors but `keep` goes along.
    """
    error_read, error_write = os.pipe2(os.O_CLOEXEC)
    opened.callback(os.close, error_write)
    null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
    opened.callback(os.close, null)
    parent = os.getpid()
    try:
        pid = os.fork()
    except OSError:
        os.close(error_read)
        raise
    if pid == 0:
        _become(spec, plan, argv, keep, null, error_write, parent)
    return pid, error_read


def enclosure_options(spec: EnclosureSpec) -> list[str]:
    """Return bwrap(1)'s options that are not mounts."""
    options = [
        "--die-with-parent",
        "--unshare-pid",
        "--unshare-ipc",
        "--unshare-uts",
        "--unshare-cgroup-try",
        *("--hostname", spec.hostname),
        *("--chdir", "/"),
    ]
    identity = spec.identity
    if spec.user_fd is not None:
        return [
            *options,
            "--unshare-user",
            *("--uid", str(identity.uid), "--gid", str(identity.gid)),
        ]
    options += ["--cap-drop", "ALL"]
    for capability in ("CAP_SETUID", "CAP_SETGID", "CAP_SETPCAP"):  # what setpriv needs
        options += ["--cap-add", capability]
    return options


def setpriv_command(setpriv: str, identity: Identity) -> list[str]:
    """Return the prefix that becomes the agent's user with five empty capability sets."""
    groups = ",".join(map(str, identity.groups))
    return [
        setpriv,
        f"--reuid={identity.uid}",
        f"--regid={identity.gid}",
        f"--groups={groups}" if groups else "--clear-groups",
        "--bounding-set=-all",
        "--inh-caps=-all",
        "--ambient-caps=-all",
        "--no-new-privs",
    ]


def _become(
    spec: EnclosureSpec,
    plan: Layout,
    argv: list[str],
    keep: list[int],
    null: int,
    errors: int,
    parent: int,
) -> NoReturn:
    """In the forked child: enter the namespaces and execute bubblewrap. Never returns."""
    try:
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        os.setsid()  # away from the operator's terminal
        for number, fd in enumerate((null, null, errors)):
            os.dup2(fd, number)
        for group in spec.groups:
            os.write(group, b"0")
        namespaces.enter(spec.network_fd, spec.user_fd)
        # Mounts the host makes later must not appear in the jail, where they would be writable.
        namespaces.unshare(namespaces.Namespace.MOUNT)
        flags = namespaces.MountFlag.REC | namespaces.MountFlag.PRIVATE
        namespaces.mount(None, "/", flags=flags)
        if plan.overlay is not None:
            overlay.cover(plan.overlay, rootless=spec.user_fd is not None)
        # 1 byte: no core file, and no dump piped to a collector outside either (core(5)).
        resource.setrlimit(resource.RLIMIT_CORE, (1, 1))
        if spec.cable >= 0:
            keep = [*keep, os.dup2(spec.cable, CABLE)]
        for fd in keep:
            os.set_inheritable(fd, True)  # noqa: FBT003
        namespaces.close_all_but((0, 1, 2, *keep))
        namespaces.die_with_parent(signal.SIGKILL, parent)
        landlock.scope()
        # The agent's environment goes through the gate's socket: bwrap, root, sees none of it.
        os.execve(argv[0], argv, {"PATH": _PATH, "LANG": "C.UTF-8"})  # noqa: S606
    except BaseException as error:  # noqa: BLE001 - a forked child must not unwind
        os.write(2, f"{type(error).__name__}: {error}\n".encode())
    os._exit(70)


def _program(name: str, package: str) -> str:
    found = shutil.which(name, path=_PATH)
    if found is None:
        raise EnclosureError(f"{name} is not installed: apt-get install {package}")
    return found


def interpreter() -> str:
    """Return a Python that every user may execute: the gate runs as the agent's."""
    base = getattr(sys, "_base_executable", sys.executable) or sys.executable
    for candidate in ("/usr/bin/python3", "/usr/local/bin/python3", base):
        path = Path(candidate)
        try:
            real = path.resolve(strict=True)
            steps = [real, *real.parents]
            if all(step.stat().st_mode & 0o001 for step in steps):
                return str(real)
        except OSError:
            continue
    raise EnclosureError(
        "no Python that the agent's user may execute: apt-get install python3-minimal"
    )
