"""The supervisor: makes the captive namespace, the interceptor and the enclosure, and cleans up.

It parses no byte of the agent's. The order is what makes a start race impossible: namespace,
listeners, interceptor serving, self-test inside the jail, and only then the agent.
"""

from __future__ import annotations

import contextlib
import os
import platform
import select
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn

import msgspec

import interceptor
from interceptor.model import SELF_TEST_NAME
from interceptor.policy.schema import Policy
from interceptor.serve.messages import Failure, Open, Ready, Settings, Start, Stop
from netns.identity import Identity

if TYPE_CHECKING:
    from netns.captive import Captive
    from netns.enclosure import Enclosure
    from netns.registry import Registration
    from netns.trust import Trust

_START_SECONDS: Final = 20.0
_STOP_SECONDS: Final = 5.0
_DESCRIPTORS: Final = 16_384
_DIE: Final = "the interceptor has ended; the agent is offline from here on"


class SetupError(RuntimeError):
    """The jail could not be set up; nothing of it remains. The message names cause and fix."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What `egressguard jail` was asked to do."""

    jail: str
    command: tuple[str, ...]
    policy: Policy
    identity: Identity
    evidence: Path
    cwd: str
    rootless: bool
    cache: Path | None
    env: tuple[str, ...] = ()
    home: str = "rw"
    writable: tuple[str, ...] = ()
    readable: tuple[str, ...] = ()
    masks: tuple[str, ...] = ()
    """What the agent must not see: evidence, policy, registry."""
    protected: tuple[str, ...] = ()
    """What the agent must not change: our own program and its environment."""
    environ: Mapping[str, str] = field(default_factory=dict)


class Interceptor:
    """The interceptor process, seen from the supervisor."""

    def __init__(self, plan: Plan, evidence: int) -> None:
        """Fork it. Call before anything else is opened: it inherits what is open."""
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        parent = os.getpid()
        self.pid = os.fork()
        if self.pid == 0:
            _become_interceptor(plan, evidence, theirs, parent)
        theirs.close()
        self.pidfd = os.pidfd_open(self.pid)
        self._control.settimeout(_START_SECONDS)

    def certificate(self) -> bytes:
        """Wait for the authority's certificate (PEM).

        Raises:
            SetupError: with what the interceptor says.
        """
        message = self._receive()
        if not message.startswith(b"-----BEGIN CERTIFICATE"):
            self._understand(message)
        return message

    def start(self, plan: Plan, captive: Captive) -> None:
        """Hand the listeners over; our copies are closed, so that nobody listens if it dies."""
        start = Start(
            tcp=len(captive.tcp),
            dns_udp=len(captive.dns_udp),
            dns_tcp=len(captive.dns_tcp),
            quic=captive.quic_ports,
            command=tuple(map(os.fsencode, plan.command)),
            user=plan.identity.name,
            uid=plan.identity.uid,
            rootless=plan.rootless,
            versions=_versions(),
        )
        listeners = [*captive.tcp, *captive.dns_udp, *captive.dns_tcp, *captive.quic]
        try:
            socket.send_fds(
                self._control, [msgspec.json.encode(start)], [sock.fileno() for sock in listeners]
            )
        except OSError:
            self.ready()  # it has gone; its last words say why
            raise
        for sock in listeners:
            sock.close()

    def ready(self) -> None:
        """Wait until it serves.

        Raises:
            SetupError: with what the interceptor says.
        """
        self._understand(self._receive())

    def open(self) -> None:
        """Tell it that the agent comes now; from here on it records.

        Raises:
            SetupError: the evidence cannot be written.
        """
        self._control.send(msgspec.json.encode(Open()))
        self.ready()

    def stop(self, code: int, seconds: float) -> str:
        """Tell it that the agent has ended; returns what went wrong with the evidence, or ''."""
        fault = ""
        try:
            self._control.settimeout(_STOP_SECONDS)
            self._control.send(msgspec.json.encode(Stop(code, seconds)))
            self._understand(self._receive())
        except (OSError, SetupError) as error:
            fault = str(error)
        self.kill(_STOP_SECONDS)
        return fault

    def kill(self, patience: float = 0.0) -> None:
        """Close the control socket, which ends it; kill it if that takes longer than `patience`."""
        self._control.close()
        if self.pid:
            poll = select.poll()
            poll.register(self.pidfd, select.POLLIN)
            if not poll.poll(patience * 1000):
                with contextlib.suppress(ProcessLookupError):
                    signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)
            os.waitpid(self.pid, 0)
            os.close(self.pidfd)
            self.pid = 0

    def _receive(self) -> bytes:
        try:
            return self._control.recv(65_536)
        except OSError as error:
            raise SetupError(f"the interceptor does not answer: {error}") from error

    def _understand(self, message: bytes) -> None:
        if not message:
            raise SetupError("the interceptor ended before it served")
        answer: Ready | Failure = msgspec.json.decode(message, type=Ready | Failure)
        if isinstance(answer, Failure):
            raise SetupError(answer.cause)


def _become_interceptor(plan: Plan, evidence: int, control: socket.socket, parent: int) -> NoReturn:
    """In the forked child: become the interceptor. Never returns."""
    code = 1
    try:
        os.setsid()  # signals of the operator's terminal are for the agent
        null = os.open("/dev/null", os.O_RDWR)
        os.dup2(null, 0)
        os.dup2(null, 1)
        from interceptor.serve import worker
        from netns import confine, namespaces

        namespaces.close_all_but((0, 1, 2, evidence, control.fileno()))
        namespaces.die_with_parent(signal.SIGKILL, parent)
        uid = None if plan.rootless else confine.unprivileged_uid(os.getpid())
        worker.run(
            Settings(plan.jail, plan.policy, evidence, plan.cache),
            control,
            lambda: confine.confine(uid, parent, _DESCRIPTORS),
        )
        code = 0
    except KeyboardInterrupt:
        pass
    except BaseException as error:  # noqa: BLE001 - a forked child must not unwind
        sys.stderr.write(f"egressguard: interceptor: {type(error).__name__}: {error}\n")
        if os.environ.get("EGRESSGUARD_DEBUG") == "1":
            import traceback

            traceback.print_exc()
    finally:
        os._exit(code)


def supervise(plan: Plan, evidence: int, entry: Registration, told: Callable[[str], None]) -> int:
    """Run the agent of `plan` in a jail and return its exit code.

    Args:
        plan: what to run, and how.
        evidence: descriptor of the evidence file; closed here.
        entry: the jail in the registry.
        told: called with lines for the operator.

    Raises:
        SetupError, CaptiveError, EnclosureError and others: nothing is left behind.
    """
    from netns import captive, processes
    from netns.enclosure import LaunchError

    with contextlib.ExitStack() as undo:
        # Both children import what they need while the other works.
        preparation = captive.Preparation(rootless=plan.rootless)
        undo.callback(preparation.abandon)
        interceptor_process = Interceptor(plan, evidence)
        undo.callback(interceptor_process.kill)
        os.close(evidence)
        entry.update([processes.process("interceptor", interceptor_process.pid)])
        installed = _trust(plan, interceptor_process.certificate())
        namespace = preparation.finish()
        undo.callback(namespace.close)
        interceptor_process.start(plan, namespace)
        agent = _enclosure(plan, namespace, installed)
        undo.callback(agent.close)
        interceptor_process.ready()
        agent.start()
        for note in (*agent.notes, *installed.notes):
            told(note)
        entry.update([*entry.jail.processes, processes.process("agent", agent.pid)])
        interceptor_process.open()
        begin = time.monotonic()
        try:
            agent.open_gate()
        except LaunchError as error:
            interceptor_process.stop(error.exit_code, 0.0)
            raise
        died: list[bool] = []

        def offline() -> None:
            died.append(True)
            told(_DIE)

        code = agent.wait({interceptor_process.pidfd: offline})
        agent.close()
        fault = interceptor_process.stop(code, time.monotonic() - begin)
        if fault and not died:
            told(f"the evidence may be incomplete: {fault}")
        return code


def _trust(plan: Plan, certificate: bytes) -> Trust:
    from netns import trust

    home = plan.identity.home if plan.home != "private" else ""
    return trust.prepare(certificate, plan.environ, home, plan.writable)


def _enclosure(plan: Plan, namespace: Captive, installed: Trust) -> Enclosure:
    from netns import enclosure, environment, launch

    return enclosure.Enclosure(
        enclosure.EnclosureSpec(
            argv=plan.command,
            cwd=plan.cwd,
            identity=plan.identity,
            environment=environment.build(
                plan.environ,
                plan.identity,
                cwd=plan.cwd,
                home=plan.identity.home,
                trust=installed.environment,
                env=plan.env,
            ),
            network_fd=namespace.namespace_fd,
            user_fd=namespace.user_namespace_fd,
            trust=installed.mounts,
            home_access=plan.home,
            writable=plan.writable,
            readable=plan.readable,
            masks=plan.masks,
            protected=plan.protected,
            dns_name=SELF_TEST_NAME,
            probes=launch.PROBES[: len(namespace.tcp)],
        )
    )


def _versions() -> dict[str, str]:
    return {
        "egressguard": interceptor.__version__,
        "python": platform.python_version(),
        "kernel": os.uname().release,
    }
