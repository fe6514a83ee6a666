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
import os
import select
import signal
import socket
import struct
import time
from typing import Any

from netns import layout, selftest
from netns.launch import EnclosureError, EnclosureSpec, LaunchError, launch
from netns.terminal import Stdio, Watch

__all__ = ["Enclosure", "EnclosureError", "EnclosureSpec", "LaunchError"]

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

    @property
    def monitor(self) -> int:
        """Process id of bubblewrap outside, the ancestor of every process of the jail."""
        return self._monitor

    def start(self, timeout: float = 15.0) -> None:
        """Make the enclosure and have the gate's report judged; the agent does not run yet.

        `timeout` in seconds. Raises EnclosureError, LayoutError, SeccompError or StdioError.
        """
        begin = time.perf_counter()
        spec = self.spec
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
                    cwd_access=spec.cwd_access,
                    writable=spec.writable,
                    readable=spec.readable,
                    masks=spec.masks,
                    protected=spec.protected,
                    trust=spec.trust,
                    console=self._stdio.console,
                )
            )
            self.notes, self.masked_sockets = self._layout.notes, self._layout.masked_sockets
            planned = time.perf_counter()
            launched = launch(spec, self._layout, self._stdio)
            self._control, self._monitor = launched.control, launched.pid
            opened.callback(os.close, launched.error_end)
            self._monitor_fd = os.pidfd_open(self._monitor)
            self._stdio.handed_over()
            self._judge(launched.error_end, begin + timeout)
            opened.pop_all()
            os.close(launched.error_end)
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
        # What comes between the agent's start and `wait` is for the agent, and waits until then.
        signal.pthread_sigmask(signal.SIG_BLOCK, _FORWARDED)
        try:
            control.sendall(len(body).to_bytes(4, "big") + body)
            with control.makefile("rb") as lines:
                answer = lines.readline()
        except OSError as error:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _FORWARDED)
            raise EnclosureError(f"the exec gate does not answer: {error}") from error
        finally:
            control.close()
            self._control = None
        self.seconds["exec"] = time.perf_counter() - begin
        if answer:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _FORWARDED)
            report = selftest.parsed(answer)
            raise LaunchError(str(report["error"]), int(report["code"]))

    def wait(self, watch: Watch | None = None) -> int:
        """Relay streams and signals until the agent ends; return its exit code, 128+n for signals.

        `watch` maps descriptors to what is called when one is readable, until it returns something
        else than True: a pidfd of the interceptor, for example. Call it from the main thread.
        """
        if self._exit_code is None:
            stdio = self._stdio
            if stdio is None:
                raise EnclosureError("nothing to wait for: start() comes first")
            handlers = self._forward_signals(stdio)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _FORWARDED)
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

    def late_sockets(self) -> tuple[str, ...]:
        """Socket files that programs outside have bound since the start, where the agent sees them.

        Meaningful once the jail has ended: while it runs, its own are among them.
        """
        plan = self._layout
        if plan is None or plan.visible is None or not self.spec.unix_sockets:
            return ()
        return plan.visible.late()

    def __enter__(self) -> Enclosure:  # noqa: PYI034
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _undo(self) -> None:
        """Clean up after a start that failed."""
        self.close()

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
                devices=_devices(self.spec),
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


def _devices(spec: EnclosureSpec) -> tuple[str, ...]:
    """Return the network devices that there must be, and no other."""
    if spec.cable < 0:
        return ("lo",)
    from netns.nic import INTERFACE

    return ("lo", INTERFACE)


def _said(error_end: int) -> str:
    """Return what bubblewrap or its successors wrote to stderr, as a clause."""
    poll = select.poll()
    poll.register(error_end, select.POLLIN)
    text = b""
    while poll.poll(200) and (piece := os.read(error_end, 4096)):
        text += piece
    clause = "; ".join(text.decode("utf-8", "replace").split("\n")).strip("; ")
    return f": {clause[-1000:]}" if clause else ""
