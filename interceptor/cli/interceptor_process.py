"""The interceptor process, as the supervisor makes it and talks to it."""

from __future__ import annotations

import contextlib
import os
import platform
import select
import signal
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final, NoReturn

import msgspec

import interceptor
from interceptor.cli.pin_keeper import PinKeeper, known
from interceptor.cli.plan import Plan, SetupError
from interceptor.serve.messages import (
    PACKET,
    Addresses,
    Failure,
    Open,
    Pins,
    Ready,
    Settings,
    Start,
    Stop,
)
from netns.identity import Identity

if TYPE_CHECKING:
    from interceptor.decide.mcp.pins import PinBook
    from netns.captive import Captive
    from netns.nic import Nic

_START_SECONDS: Final = 60.0  # the first start after a change of rules compiles them
_STOP_SECONDS: Final = 5.0
_DESCRIPTORS: Final = 16_384
_PINS: Final = b'{"type":"pins"'


class Interceptor:
    """The interceptor process, seen from the supervisor."""

    def __init__(self, plan: Plan, evidence: int) -> None:
        """Fork it. Call before anything else is opened: it inherits what is open."""
        self._pins = PinKeeper(plan.pins)
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        parent = os.getpid()
        self.pid = os.fork()
        if self.pid == 0:
            _become_interceptor(plan, evidence, theirs, parent)
        theirs.close()
        self.pidfd = os.pidfd_open(self.pid)
        self.control_fd = self._control.fileno()
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

    def start(
        self,
        plan: Plan,
        captive: Captive,
        channels: Mapping[str, socket.socket],
        published: Sequence[socket.socket] = (),
    ) -> None:
        """Hand the listeners over; our copies are closed, so that nobody listens if it dies.

        Args:
            plan: what was asked for.
            captive: the namespace, with its listeners.
            channels: to other processes, by name.
            published: listeners on the host for `plan.published`, and the channel to the process
                that makes sockets inside; nothing where nothing is published.
        """
        start = Start(
            tcp=len(captive.tcp),
            dns_udp=len(captive.dns_udp),
            dns_tcp=len(captive.dns_tcp),
            quic=captive.quic_ports,
            channels=tuple(channels),
            published=plan.published,
            command=tuple(map(os.fsencode, plan.command)),
            user=plan.identity.name,
            uid=plan.identity.uid,
            rootless=plan.rootless,
            versions=_versions(),
            guest=None if captive.nic is None else guest_addresses(captive.nic),
        )
        listeners = [*captive.tcp, *captive.dns_udp, *captive.dns_tcp, *captive.quic]
        listeners += published
        listeners += channels.values()
        try:
            socket.send_fds(
                self._control, [msgspec.json.encode(start)], [sock.fileno() for sock in listeners]
            )
        except OSError:
            self.ready()  # it has gone; its last words say why
            raise
        for sock in listeners:
            sock.close()

    def ready(self) -> tuple[str, ...]:
        """Wait until it serves; returns lines for the operator.

        Raises:
            SetupError: with what the interceptor says.
        """
        while True:
            message = self._receive()
            if not message.startswith(_PINS):
                return self._understand(message)
            self._keep(message)

    def open(self) -> None:
        """Tell it that the agent comes now; from here on it records.

        Raises:
            SetupError: the evidence cannot be written.
        """
        self._control.send(msgspec.json.encode(Open()))
        self.ready()

    def stop(self, code: int, seconds: float, changed: tuple[str, ...] = ()) -> str:
        """Tell it that the agent has ended; returns what went wrong with the evidence, or ''."""
        fault = ""
        try:
            self._control.settimeout(_STOP_SECONDS)
            self._control.send(msgspec.json.encode(Stop(code, seconds, changed)))
            self.ready()
        except (OSError, SetupError) as error:
            fault = str(error)
        self.kill(_STOP_SECONDS)
        return fault

    def listen(self) -> bool:
        """Take what it says while the agent runs: `control_fd` is readable; False: it has ended."""
        try:
            message = self._receive()
        except SetupError:
            return False
        if message.startswith(_PINS):
            self._keep(message)
        return bool(message)

    @property
    def unkept(self) -> str:
        """Why pins of tools could not be kept; empty if all were."""
        return self._pins.fault

    def _keep(self, message: bytes) -> None:
        from interceptor.serve.pin_exchange import packed

        try:
            said = msgspec.json.decode(message, type=Pins)
        except msgspec.MsgspecError:
            self._pins.fault = "the interceptor has said what cannot be read"
            return
        for packet in packed(self._pins.keep(said.pins)):
            # It need not read now: what it does not hear it asks for again.
            with contextlib.suppress(OSError):
                os.write(self.control_fd, packet)  # a socket with a time-out never blocks below

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
            try:
                return self._control.recv(PACKET)
            except ConnectionResetError:
                # It has ended with words of ours unread, which Linux says before its last words.
                return self._control.recv(PACKET)
        except OSError as error:
            raise SetupError(f"the interceptor does not answer: {error}") from error

    def _understand(self, message: bytes) -> tuple[str, ...]:
        if not message:
            raise SetupError("the interceptor ended before it served")
        answer: Ready | Failure = msgspec.json.decode(message, type=Ready | Failure)
        if isinstance(answer, Failure):
            raise SetupError(answer.cause)
        return answer.notes


def _become_interceptor(plan: Plan, evidence: int, control: socket.socket, parent: int) -> NoReturn:
    """In the forked child: become the interceptor. Never returns."""
    code = 1
    try:
        os.setsid()  # signals of the operator's terminal are for the agent
        null = os.open("/dev/null", os.O_RDWR)
        os.dup2(null, 0)
        os.dup2(null, 1)
        from interceptor.cli import as_user
        from netns import confine, namespaces

        namespaces.close_all_but((0, 1, 2, evidence, control.fileno()))
        namespaces.die_with_parent(signal.SIGKILL, parent)
        # It reads while we import.
        errand = as_user.send(
            plan.identity, lambda: _collected(plan), first=lambda: _import_readers(plan)
        )
        plan.environ.clear()
        uid = None if plan.rootless else confine.unprivileged_uid(os.getpid())
        decider = plan.identity if uid is None else Identity(uid, uid, (), "interceptor", "", "")

        def collect(work: Callable[[bytes], bytes]) -> Callable[[], bytes]:
            # Neither who reads nor who decides has rights or memory that are of use to the other.
            return as_user.hand_on(errand, decider, work, guarding.warm)

        from interceptor.serve import guarding, worker

        pins = _pins(plan, control)
        worker.run(
            Settings(plan.jail, plan.policy, evidence, plan.cache, plan.authority, pins),
            control,
            lambda: confine.confine(uid, parent, _DESCRIPTORS),
            collect,
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


def _pins(plan: Plan, control: socket.socket) -> PinBook | None:
    """Read the store of pins, which is out of reach later."""
    try:
        return known(plan.pins)
    except Exception as error:
        control.send(msgspec.json.encode(Failure(f"{error}")))
        raise


def _import_readers(plan: Plan) -> None:
    from interceptor.cli import known_secrets
    from netns import environment

    assert all((known_secrets, environment))  # noqa: S101
    if plan.policy.secrets.files or plan.policy.secrets.well_known == "register":
        import configparser
        import json
        import tomllib

        import yaml

        assert all((configparser, json, tomllib, yaml))  # noqa: S101


def _collected(plan: Plan) -> bytes:
    """In a child with the rights of the agent's user: find what may be secret."""
    from interceptor.cli.known_secrets import collect
    from netns import environment

    identity = plan.identity
    agents = environment.build(
        plan.environ, identity, cwd=plan.cwd, home=identity.home, trust={}, env=plan.env
    )
    found = collect(
        plan.policy.secrets,
        agents,
        identity.home,
        folder=plan.policy_folder,
        visible=plan.home != "private",
        canaries=plan.decoys.canaries if plan.decoys else (),
    )
    return msgspec.msgpack.encode(found)


def guest_addresses(nic: Nic) -> Addresses:
    """What the link of a guest tells it."""
    from netns.nic import GATEWAY_MAC

    return Addresses(
        mac=nic.mac,
        router_mac=GATEWAY_MAC,
        ipv4=nic.guest_ipv4,
        gateway_ipv4=nic.gateway_ipv4,
        bits_ipv4=nic.bits_ipv4,
        prefix_ipv6=nic.prefix_ipv6,
        gateway_ipv6=nic.gateway_ipv6,
        mtu=nic.mtu,
    )


def _versions() -> dict[str, str]:
    return {
        "egressguard": interceptor.__version__,
        "python": platform.python_version(),
        "kernel": os.uname().release,
    }
