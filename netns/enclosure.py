"""The enclosure: mounts, namespaces, filter and identity around an agent, and its exec gate.

One code path, two modes. As root, bubblewrap is run as root without a user namespace (some systems
restrict those), and setpriv(1) then empties every capability set and becomes the agent's user.
Rootless, the user namespace of the captive network is entered first and bubblewrap nests one of its
own, in which the agent holds nothing over the network. In both, what comes last before the agent is
`netns.gate`, whose report must satisfy `netns.selftest`.

The tree dies with the supervisor: parent-death signals on the bubblewrap process and on the jail's
init, whose end is the end of its PID namespace (pid_namespaces(7)).
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import resource
import select
import shutil
import signal
import socket
import struct
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from netns import layout, namespaces, seccomp, selftest
from netns.identity import Identity
from netns.mounts import Data, Mount, arguments
from netns.terminal import Stdio

PROBES = ("198.18.255.254", "fd65:6772:6573:7300:ffff:ffff:ffff:fffe")
"""Addresses the self-test dials: synthetic, and the last to be leased."""

_GATE = "/run/egressguard/gate.py"
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_FROM_KEYBOARD = frozenset({signal.SIGINT, signal.SIGQUIT, signal.SIGHUP})
_FORWARDED = (
    signal.SIGINT,
    signal.SIGTERM,
    signal.SIGHUP,
    signal.SIGQUIT,
    signal.SIGUSR1,
    signal.SIGUSR2,
)
_NAMESPACES = ("cgroup", "ipc", "mnt", "net", "pid", "user", "uts")
_CREDENTIALS = struct.Struct("3i")  # struct ucred, unix(7)


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
    """`rw`, `ro` or `private`."""
    writable: tuple[str, ...] = ()
    readable: tuple[str, ...] = ()
    masks: tuple[str, ...] = ()
    """Evidence, policy and registry: hidden even when they lie in the agent's home."""
    stdio: tuple[int, int, int] = (0, 1, 2)
    user_namespaces: bool = False
    """Let the agent make user namespaces (nested sandboxes need them)."""
    expect_listener: bool = True
    """The self-test requires the TCP listener to accept."""
    expect_dns: bool = True
    """The self-test requires the DNS shim to answer."""
    dns_name: str = "self-test.egressguard.invalid"
    probes: tuple[str, ...] = PROBES


class Enclosure:
    """One agent's enclosure: `start`, `open_gate`, `wait`; `close` in any case."""

    def __init__(self, spec: EnclosureSpec) -> None:
        self.spec = spec
        self.gate_report: dict[str, Any] = {}
        """What the jail looked like from the inside. Empty before `start` has returned."""
        self.notes: tuple[str, ...] = ()
        """What a person should know about this jail."""
        self.masked_sockets: tuple[str, ...] = ()
        self.seconds: dict[str, float] = {}
        """How long the steps took."""
        self.pid = 0
        """The agent's process as this process sees it; leader of its session and group."""
        self._monitor = 0
        self._monitor_fd = -1
        self._agent_fd = -1
        self._control: socket.socket | None = None
        self._stdio: Stdio | None = None
        self._layout: layout.Layout | None = None
        self._exit_code: int | None = None

    def start(self, timeout: float = 15.0) -> None:
        """Make the enclosure and have the gate's report judged; the agent does not run yet.

        `timeout` in seconds. Raises EnclosureError, LayoutError, SeccompError or StdioError.
        """
        begin = time.perf_counter()
        spec = self.spec
        bwrap = _program("bwrap", "bubblewrap")
        setpriv = "" if spec.user_fd is not None else _program("setpriv", "util-linux")
        python = _interpreter()
        with contextlib.ExitStack() as opened:
            opened.callback(self._undo)
            self._stdio = Stdio(spec.stdio)
            self._stdio.give_to(spec.identity.uid, spec.identity.gid)
            self._layout = layout.plan(
                layout.View(
                    identity=spec.identity,
                    cwd=spec.cwd,
                    hostname=spec.hostname,
                    home_access=spec.home_access,
                    writable=spec.writable,
                    readable=spec.readable,
                    masks=spec.masks,
                    trust=spec.trust,
                    console=self._stdio.console,
                )
            )
            self.notes, self.masked_sockets = self._layout.notes, self._layout.masked_sockets
            planned = time.perf_counter()
            with contextlib.ExitStack() as passed:
                argv, keep = self._command(bwrap, setpriv, python, passed)
                error_end = self._fork(bwrap, argv, keep, passed)
                passed.callback(os.close, error_end)
                self._stdio.handed_over()
                self._judge(error_end, begin + timeout)
            opened.pop_all()
        now = time.perf_counter()
        self.seconds = {"plan": planned - begin, "enclosure": now - planned}

    def open_gate(self, timeout: float = 15.0) -> None:
        """Let the agent's program take the gate's place.

        Raises LaunchError when it cannot be executed, EnclosureError when the gate is gone.
        """
        begin = time.perf_counter()
        control, plan = self._control, self._layout
        if control is None or plan is None:
            raise EnclosureError("the gate is not waiting: start() comes first, and once")
        environment = dict(self.spec.environment) | {"HOME": plan.home, "PWD": plan.cwd}
        settings = [f"{name}={value}" for name, value in environment.items()]
        argv = self.spec.argv
        body = os.fsencode("\0".join([plan.cwd, str(len(argv)), *argv, *settings]))
        control.settimeout(timeout)
        try:
            control.sendall(len(body).to_bytes(4, "big") + body)
            answer = control.makefile("rb").readline()
        except OSError as error:
            raise EnclosureError(f"the exec gate does not answer: {error}") from error
        finally:
            control.close()
            self._control = None
        self.seconds["exec"] = time.perf_counter() - begin
        if answer:
            report = selftest.parsed(answer)
            raise LaunchError(str(report["error"]), int(report["code"]))

    def wait(self, watch: Mapping[int, Callable[[], None]] | None = None) -> int:
        """Relay streams and signals until the agent ends; return its exit code, 128+n for signals.

        `watch` maps descriptors to what is called, once, when one becomes readable: a pidfd of the
        interceptor, for example. Call it from the main thread.
        """
        if self._exit_code is None:
            stdio = self._stdio
            if stdio is None:
                raise EnclosureError("nothing to wait for: start() comes first")
            handlers = self._forward_signals(stdio)
            try:
                stdio.begin()
                stdio.relay(self._monitor_fd, watch)
            finally:
                stdio.close()
                for number, handler in handlers.items():
                    signal.signal(number, handler)
            self._reap()
        return self._exit_code if self._exit_code is not None else 70

    def signal(self, number: int) -> None:
        """Send a signal to the agent: what a keyboard sends goes to its group, the rest to it."""
        if self._agent_fd < 0:
            return
        with contextlib.suppress(ProcessLookupError):
            # Through the pidfd first: it cannot mean another process (pidfd_open(2)).
            if number in _FROM_KEYBOARD or number in {signal.SIGSTOP, signal.SIGCONT}:
                signal.pidfd_send_signal(self._agent_fd, 0)
                os.killpg(self.pid, number)
            else:
                signal.pidfd_send_signal(self._agent_fd, number)

    def kill(self) -> None:
        """End the whole jail at once; returns when the kernel has ended it."""
        if self._monitor and self._exit_code is None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._monitor_fd, signal.SIGKILL)
            self._reap()

    def close(self) -> None:
        """End what still runs and give everything back. Safe to call at any time."""
        self.kill()
        if self._control is not None:
            self._control.close()
            self._control = None
        if self._stdio is not None:
            self._stdio.close()
        for name in ("_monitor_fd", "_agent_fd"):
            if (fd := getattr(self, name)) >= 0:
                os.close(fd)
                setattr(self, name, -1)

    def __enter__(self) -> Enclosure:  # noqa: PYI034
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _undo(self) -> None:
        """Clean up after a start that failed."""
        self.close()

    def _command(
        self, bwrap: str, setpriv: str, python: str, opened: contextlib.ExitStack
    ) -> tuple[list[str], list[int]]:
        """Return the command line that becomes the gate, and the descriptors it inherits.

        Our own copies of the descriptors are closed by `opened`.
        """
        spec, plan, stdio = self.spec, self._layout, self._stdio
        assert plan is not None  # noqa: S101
        assert stdio is not None  # noqa: S101
        keep: list[int] = []

        def passed(fd: int) -> int:
            # Above 2, whatever descriptors this process was started with.
            keep.append(fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 3))
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
        filter_fd = seccomp.program(profile)
        opened.callback(os.close, filter_fd)
        options = [
            *enclosure_options(spec),
            *arguments((*plan.mounts, Data(_GATE, source.encode(), 0o444)), readable),
            *("--seccomp", str(passed(filter_fd))),
        ]
        options_fd = readable(b"".join(os.fsencode(option) + b"\0" for option in options))

        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self._control = ours
        opened.callback(theirs.close)
        gate = [
            *(python, "-I", "-S", _GATE),
            *(str(passed(theirs.fileno())), *(str(passed(fd)) for fd in stdio.given)),
            "1" if stdio.master >= 0 else "0",
            ",".join(spec.probes),
            "1" if spec.expect_listener else "0",
            spec.dns_name if spec.expect_dns else "",
            ":".join(plan.folders),
        ]
        become = setpriv_command(setpriv, spec.identity) if setpriv else []
        return [bwrap, "--args", str(options_fd), "--", *become, *gate], keep

    def _fork(
        self, bwrap: str, argv: list[str], keep: list[int], opened: contextlib.ExitStack
    ) -> int:
        """Fork, enter the captive namespace and become bubblewrap; return what it says on stderr.

        Nothing of this process's descriptors but `keep` goes along.
        """
        error_read, error_write = os.pipe2(os.O_CLOEXEC)
        opened.callback(os.close, error_write)
        null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
        opened.callback(os.close, null)
        parent = os.getpid()
        self._monitor = os.fork()
        if self._monitor == 0:
            _become(self.spec, bwrap, argv, keep, null, error_write, parent)
        self._monitor_fd = os.pidfd_open(self._monitor)
        return error_read

    def _judge(self, error_end: int, deadline: float) -> None:
        """Receive the gate's report, learn the agent's pid, and judge. Raises EnclosureError."""
        control = self._control
        assert control is not None  # noqa: S101
        line, sender = b"", 0
        while not line.endswith(b"\n"):
            control.settimeout(max(0.01, deadline - time.perf_counter()))
            try:
                piece, ancillary, _, _ = control.recvmsg(65536, socket.CMSG_SPACE(12))
            except TimeoutError:
                raise EnclosureError(
                    f"the self-test did not end in time{_said(error_end)}"
                ) from None
            if not piece:
                raise EnclosureError(f"the enclosure could not be made{_said(error_end)}")
            for level, kind, data in ancillary:
                if level == socket.SOL_SOCKET and kind == socket.SCM_CREDENTIALS:
                    sender = _CREDENTIALS.unpack(data[: _CREDENTIALS.size])[0]
            line += piece
        if sender <= 0:
            raise EnclosureError("the kernel did not say which process the gate is")
        # It waits for us, so its number cannot have been given to another process.
        self.pid, self._agent_fd = sender, os.pidfd_open(sender)
        self.gate_report = selftest.parsed(line)
        identity = self.spec.identity
        broken = selftest.problems(
            self.gate_report,
            selftest.Expectation(
                uid=identity.uid,
                gid=identity.gid,
                hostname=self.spec.hostname,
                outside={kind: os.readlink(f"/proc/self/ns/{kind}") for kind in _NAMESPACES},  # noqa: PTH115
                network=f"net:[{os.fstat(self.spec.network_fd).st_ino}]",
                resolver=layout.RESOLVER,
                listener=self.spec.expect_listener,
                dns=self.spec.expect_dns,
            ),
        )
        if broken:
            raise EnclosureError("the self-test inside the jail failed: " + "; ".join(broken))

    def _forward_signals(self, stdio: Stdio) -> dict[int, Any]:
        """Install the handlers; return those they replace."""

        def forward(number: int, _frame: object) -> None:
            self.signal(number)

        def resize(_number: int, _frame: object) -> None:
            stdio.resize()

        def suspend(_number: int, _frame: object) -> None:
            # A session leader's group is orphaned, and SIGTSTP does not stop those: setpgid(2).
            stdio.restore()
            self.signal(signal.SIGSTOP)
            os.kill(os.getpid(), signal.SIGSTOP)
            self.signal(signal.SIGCONT)
            stdio.begin()

        handlers: dict[int, Any] = {}
        for number in _FORWARDED:
            # nohup(1): a signal that is ignored stays ignored, for the agent as well.
            if signal.getsignal(number) is not signal.SIG_IGN:
                handlers[number] = signal.signal(number, forward)
        handlers[signal.SIGWINCH] = signal.signal(signal.SIGWINCH, resize)
        handlers[signal.SIGTSTP] = signal.signal(signal.SIGTSTP, suspend)
        return handlers

    def _reap(self) -> None:
        _, status = os.waitpid(self._monitor, 0)
        code = os.waitstatus_to_exitcode(status)
        self._exit_code = code if code >= 0 else 128 - code


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
    bwrap: str,
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
        namespaces.enter(spec.network_fd, spec.user_fd)
        # Mounts the host makes later must not appear in the jail, where they would be writable.
        namespaces.unshare(namespaces.Namespace.MOUNT)
        flags = namespaces.MountFlag.REC | namespaces.MountFlag.PRIVATE
        namespaces.mount(None, "/", flags=flags)
        # 1 byte: no core file, and no dump piped to a collector outside either (core(5)).
        resource.setrlimit(resource.RLIMIT_CORE, (1, 1))
        for fd in keep:
            os.set_inheritable(fd, True)  # noqa: FBT003
        namespaces.close_all_but((0, 1, 2, *keep))
        namespaces.die_with_parent(signal.SIGKILL, parent)
        # The agent's environment goes through the gate's socket: bwrap, root, sees none of it.
        os.execve(bwrap, argv, {"PATH": _PATH, "LANG": "C.UTF-8"})  # noqa: S606
    except BaseException as error:  # noqa: BLE001 - a forked child must not unwind
        os.write(2, f"{type(error).__name__}: {error}\n".encode())
    os._exit(70)


def _said(error_end: int) -> str:
    """Return what bubblewrap or its successors wrote to stderr, as a clause."""
    poll = select.poll()
    poll.register(error_end, select.POLLIN)
    text = b""
    while poll.poll(200) and (piece := os.read(error_end, 4096)):
        text += piece
    clause = "; ".join(text.decode("utf-8", "replace").split("\n")).strip("; ")
    return f": {clause[-1000:]}" if clause else ""


def _program(name: str, package: str) -> str:
    found = shutil.which(name, path=_PATH)
    if found is None:
        raise EnclosureError(f"{name} is not installed: apt-get install {package}")
    return found


def _interpreter() -> str:
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
