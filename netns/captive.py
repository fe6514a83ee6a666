"""The captive namespace: a network namespace without a path out, and listeners made inside it.

A forked child makes everything and hands it over as descriptors; then it ends. Nothing has a
name (no /run/netns), so when the last process that holds a descriptor or lives inside is gone,
the kernel takes all of it back, whatever killed them. The host's links, routes and rules are
never touched.

With a `Nic`, the namespace holds the host end of a guest's NIC besides, and no other link: what the
guest sends ends there like what a process dials. Nothing is ever forwarded.

Root and rootless mode run the same code; rootless only unshares a user namespace as well, with
the caller's ids mapped onto themselves.
"""

from __future__ import annotations

import array
import dataclasses
import json
import os
import signal
import socket
import subprocess
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, NoReturn

from netns import namespaces, nft
from netns.maker import FAMILIES, Maker, first_line
from netns.processes import readable
from netns.remedies import find_program, remedy

if TYPE_CHECKING:
    from netns.nic import Nic

_OUT_OF_PROCESSES: Final = "close other programs, or raise `ulimit -n` and `ulimit -u`"


class CaptiveError(Exception):
    """A captive namespace could not be made, or read. Nothing half-made remains.

    Attributes:
        step: what was being done: `fork`, `imports`, `namespace`, `nft`, `sysctls`, `addresses`,
            `link`, `listeners`, `rules`, `hand-over`, `time limit` or `refusals`.
        cause: what the kernel or the program said.
        fix: what to do about it.

    """

    def __init__(self, step: str, cause: str, fix: str) -> None:
        super().__init__(f"captive namespace: {step} failed: {cause}. Fix: {fix}")
        self.step, self.cause, self.fix = step, cause, fix


@dataclasses.dataclass(slots=True)
class Captive:
    """A live captive namespace, held by its descriptors. Close it, or end, and it is gone."""

    namespace_fd: int
    """The network namespace, for `namespaces.enter`; close-on-exec."""
    user_namespace_fd: int | None
    """The user namespace that owns it in rootless mode."""
    tcp: list[socket.socket]
    """TCP listeners, IPv4 then IPv6 (if there is IPv6); not blocking, as all of these."""
    dns_udp: list[socket.socket]
    """DNS over UDP. Receive with IP_PKTINFO / IPV6_PKTINFO and answer from the address it names,
    or conntrack does not know the answer and the rules drop it."""
    dns_tcp: list[socket.socket]
    """DNS over TCP, listening."""
    quic: list[socket.socket]
    """QUIC, as `quic_ports` numbers them; receive and answer as with `dns_udp`. Behind them stand
    those of `nft.NEIGHBOUR_PORTS`, where multicast arrives under another address."""
    quic_ports: tuple[int, ...]
    """The port that agents dial to reach each of `quic`."""
    seconds: float
    """How long namespace, configuration, rules and listeners took, without imports."""
    nic: Nic | None = None
    """The guest's NIC, if there is one."""
    dhcp: socket.socket | None = None
    """With a NIC: bound to port 67 of the link, for `interceptor.serve.guest`."""
    router: socket.socket | None = None
    """With a NIC and IPv6: ICMPv6 that hears router solicitations and may advertise."""
    tap_fd: int = -1
    """With a tap that was made: its descriptor, for the machine's monitor; close-on-exec."""
    notices: socket.socket | None = None
    """What is refused, as the kernel logs it; for `netns.shared_guard`."""

    def close(self) -> None:
        """Close every descriptor; safe to call again."""
        for listener in (*self.tcp, *self.dns_udp, *self.dns_tcp, *self.quic, *self.guest):
            listener.close()
        if self.notices is not None:
            self.notices.close()
        self.close_tap()
        for descriptor in (self.namespace_fd, self.user_namespace_fd):
            if descriptor is not None and descriptor >= 0:
                os.close(descriptor)
        self.namespace_fd, self.user_namespace_fd = -1, None

    @property
    def guest(self) -> list[socket.socket]:
        """The sockets that serve the guest's link: DHCP, then router advertisements."""
        return [made for made in (self.dhcp, self.router) if made is not None]

    @property
    def channels(self) -> dict[str, socket.socket]:
        """The same by the names that `interceptor.serve.messages.Start` has for them."""
        return dict(zip(("dhcp", "router"), self.guest, strict=False))

    def close_tap(self) -> None:
        """Give our copy of the tap's descriptor back: with the monitor's the link ends then."""
        if self.tap_fd >= 0:
            os.close(self.tap_fd)
            self.tap_fd = -1

    def read_refusals(self, timeout: float = 5.0) -> Mapping[str, int]:
        """Packets the rules refused so far, by class (`netns.nft.REFUSALS`).

        Needs the rights that made the namespace: call it in the supervisor.

        Args:
            timeout: seconds nft may take.

        Raises:
            CaptiveError: nft failed, or the rules inside are not ours any more.

        """
        network, user = self.namespace_fd, self.user_namespace_fd

        def inside() -> None:
            namespaces.enter(network, user)
            if user is not None:
                namespaces.keep_over_exec(namespaces.CAP_NET_ADMIN)

        try:
            answer = subprocess.run(
                [find_program("nft"), *nft.LIST_REFUSALS],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                env={"LC_ALL": "C"},
                preexec_fn=inside,
                timeout=timeout,
                check=False,
            )
            if answer.returncode == 0:
                return nft.parse_refusals(answer.stdout.decode())
            cause = first_line(answer.stderr)
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            cause = str(error)
        raise CaptiveError("refusals", cause, "stop the jail: its rules are not ours any more")


class Preparation:
    """A captive namespace being made by a child, while the caller does something else."""

    def __init__(
        self,
        *,
        rootless: bool,
        ipv6: bool | None = None,
        nic: Nic | None = None,
        notices: bool = False,
    ) -> None:
        """Fork the child that makes it. The caller must have one thread.

        Args:
            rootless: make a user namespace too, for a caller without rights.
            ipv6: None takes IPv6 when the kernel has it; False leaves it without address, route
                and listeners: a captive process then finds IPv6 unreachable.
            nic: the link of a guest. `nic.existing` is looked for in the caller's network
                namespace, and is gone from there.
            notices: have the kernel log what is refused, where it can (`Captive.notices`).

        Raises:
            CaptiveError: no process or descriptor was left.

        """
        self._rootless, self._nic = rootless, nic
        if ipv6 is None:
            ipv6 = _kernel_has_ipv6()
        self._families = FAMILIES if ipv6 else FAMILIES[:1]
        parent = os.getpid()
        try:
            self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        except OSError as error:
            raise CaptiveError(
                "fork", str(error), "close other programs or raise limits"
            ) from error
        try:
            self._child = os.fork()
        except OSError as error:
            self._channel.close()
            theirs.close()
            raise CaptiveError(
                "fork", str(error), "close other programs or raise limits"
            ) from error
        if self._child == 0:
            maker = Maker(parent, rootless=rootless, ipv6=ipv6, nic=nic, notices=notices)
            _child(theirs, maker, nic)
        theirs.close()

    def finish(self, timeout: float = 10.0) -> Captive:
        """Wait for the child and take what it made. Call it once.

        Args:
            timeout: seconds from now; a child that needs longer is killed.

        Raises:
            CaptiveError: it failed; nothing remains.

        """
        descriptors: list[int] = []
        try:
            if not readable(self._channel.fileno(), timeout):
                raise self._error("time limit", 0, f"no answer after {timeout:g} s")
            data, descriptors = _receive(self._channel)
            if not data:
                raise self._error("hand-over", 0, "the process that makes it was killed")
            answer = json.loads(data)
            if "step" in answer:
                raise self._error(answer["step"], answer["errno"], answer["cause"])
            logged = bool(answer["notices"])
            listeners = (3 + len(nft.QUIC_PORTS) + len(nft.NEIGHBOUR_PORTS)) * len(self._families)
            others = 1 + self._rootless + logged + self._link_descriptors()
            if len(descriptors) != others + listeners:
                raise self._error("hand-over", 0, "descriptors were lost: too many open files")
            captive = self._captive(descriptors, answer["seconds"], logged=logged)
            descriptors = []
            return captive
        finally:
            for descriptor in descriptors:
                os.close(descriptor)
            self.abandon()

    def abandon(self) -> None:
        """End the child and forget what it made; safe to call again."""
        self._channel.close()
        if self._child:
            os.kill(self._child, signal.SIGKILL)  # not reaped yet, so the pid is still its own
            os.waitpid(self._child, 0)
            self._child = 0

    def _error(self, step: str, number: int, cause: str) -> CaptiveError:
        return CaptiveError(step, cause, remedy(step, number, rootless=self._rootless))

    def _captive(self, descriptors: list[int], seconds: float, *, logged: bool) -> Captive:
        network, *rest = descriptors
        user = rest.pop(0) if self._rootless else None
        tap = rest.pop() if self._makes_tap() else -1
        notices = socket.socket(fileno=rest.pop()) if logged else None
        sockets = [socket.socket(fileno=descriptor) for descriptor in rest]
        count = len(self._families)
        tcp, udp, dns = (sockets[i * count : (i + 1) * count] for i in range(3))
        dialled = (*nft.QUIC_PORTS, *nft.NEIGHBOUR_PORTS)
        quic_ports = tuple(port for port in dialled for _ in self._families)
        end = (3 + len(dialled)) * count
        quic, link = sockets[3 * count : end], sockets[end:]
        made = Captive(network, user, tcp, udp, dns, quic, quic_ports, seconds, self._nic)
        made.notices = notices
        if self._nic is not None:
            made.tap_fd = tap
            made.dhcp, made.router = (*link, None, None)[:2]
        return made

    def _makes_tap(self) -> bool:
        return self._nic is not None and self._nic.kind == "tap" and not self._nic.existing

    def _link_descriptors(self) -> int:
        """DHCP, router advertisements where there is IPv6, and the tap."""
        return 0 if self._nic is None else len(self._families) + self._makes_tap()


def create(
    *,
    rootless: bool,
    ipv6: bool | None = None,
    nic: Nic | None = None,
    notices: bool = False,
    timeout: float = 10.0,
) -> Captive:
    """Make a captive namespace and wait for it; see `Preparation` for the arguments.

    Raises:
        CaptiveError: a step failed; nothing remains.

    """
    return Preparation(rootless=rootless, ipv6=ipv6, nic=nic, notices=notices).finish(timeout)


def _receive(channel: socket.socket) -> tuple[bytes, list[int]]:
    """One message and its descriptors; unix(7), SCM_RIGHTS."""
    descriptors = array.array("i")
    size = socket.CMSG_SPACE(32 * descriptors.itemsize)
    data, ancillary, _, _ = channel.recvmsg(65536, size, socket.MSG_CMSG_CLOEXEC)
    for level, kind, content in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            whole = len(content) - len(content) % descriptors.itemsize
            descriptors.frombytes(content[:whole])
    return data, list(descriptors)


def _kernel_has_ipv6() -> bool:
    try:
        socket.socket(socket.AF_INET6, socket.SOCK_DGRAM).close()
    except OSError:
        return False
    return True


def _child(channel: socket.socket, maker: Maker, nic: Nic | None) -> NoReturn:
    """Body of the forked child. It never returns into the caller's code."""
    try:
        signal.set_wakeup_fd(-1)
        peer = () if nic is None or nic.peer < 0 else (nic.peer,)
        namespaces.close_all_but((2, channel.fileno(), *peer))
        seconds, descriptors = maker.make()
        answer: dict[str, str | int | float] = {"seconds": seconds, "notices": maker.logs}
    except Exception as error:  # noqa: BLE001 - reported, then this process ends
        descriptors = []
        number = error.errno if isinstance(error, OSError) else None
        text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        answer = {"step": maker.step, "errno": number or 0, "cause": text}
    try:
        socket.send_fds(channel, [json.dumps(answer).encode()], descriptors)
    finally:
        os._exit(0)
