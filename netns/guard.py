"""The packet guard: a process in the captive namespace that names what no listener took.

The rules refuse such packets by themselves (`netns.nft`), so nothing depends on the guard: it is
shown each of them, up to a rate, before they are refused, says what they were, and lets the
refusal go on. When it dies, or was never there, packets are refused without a name; when packets
come faster than it may look, the rest are refused and counted by the kernel.

    rules of the notice table -> NFQUEUE -> guard (names it) -> accept: on to the refusing rules
                                              |
                                              +-> a Sighting to the interceptor, which records it

It runs as a user of its own with CAP_NET_ADMIN, which the kernel asks for with each verdict
(nfnetlink checks the sender), and nothing else: no other capability, no sockets but the two that
it has, no new namespaces.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import signal
import socket
import subprocess
import threading
from collections import deque
from typing import TYPE_CHECKING, Final, NoReturn

import msgspec

from netns import namespaces, nft
from netns.packets import describe
from netns.processes import readable
from netns.remedies import find_program

if TYPE_CHECKING:
    from netfilterqueue import Packet

    from netns.nic import Nic

QUEUE: Final = 0
"""Number of the queue; queues are numbered within a network namespace."""

BEGIN: Final = b"begin"
"""What the interceptor says when the agent's program starts."""
END: Final = b"end"
"""What it says when that has ended."""

_COPIED: Final = 4_096
"""Bytes of each packet that the kernel shows us."""
_WAITING: Final = 1_024
"""Packets that may wait in the queue; with `bypass` the kernel lets more go on to the refusal."""
_START_SECONDS: Final = 5.0

NATIVE: Final = "nftables queue"
XTABLES: Final = "NFQUEUE through iptables-nft"


class GuardError(RuntimeError):
    """No guard: packets are refused without a name. The message says why."""


class Ready(msgspec.Struct, frozen=True, tag="ready"):
    """First message of a guard."""

    backend: str
    """`NATIVE` or `XTABLES`."""


class Failure(msgspec.Struct, frozen=True, tag="failure"):
    """First and last message of a guard that could not start."""

    cause: str


class Guard:
    """The guard's process, as the supervisor has it."""

    def __init__(
        self, network: int, user: int | None, uid: int | None, nic: Nic | None = None
    ) -> None:
        """Fork it. The caller must have one thread.

        Args:
            network: descriptor of the captive network namespace.
            user: the user namespace that owns it; None for root's.
            uid: user and group id to become; None to stay who we are (rootless).
            nic: the guest's NIC, where the namespace holds one.

        Raises:
            OSError: no process or descriptor was left.
        """
        self.channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        """Where one `netns.packets.Sighting` a message comes, MessagePack; for the interceptor."""
        self._word, word = os.pipe2(os.O_CLOEXEC)
        parent = os.getpid()
        try:
            self.pid = os.fork()
        except OSError:
            self.channel.close()
            theirs.close()
            os.close(self._word)
            os.close(word)
            raise
        if self.pid == 0:
            _become(theirs, word, network, user, uid, parent, nic)
        theirs.close()
        os.close(word)
        self.pidfd = os.pidfd_open(self.pid)

    def ready(self, timeout: float = _START_SECONDS) -> str:
        """Wait until it is shown packets; returns the backend.

        Raises:
            GuardError: it is not, and has ended.
        """
        if not readable(self._word, timeout):
            raise GuardError(f"the guard did not answer within {timeout:g} s")
        try:
            answer = msgspec.msgpack.decode(os.read(self._word, 65_536), type=Ready | Failure)
        except msgspec.DecodeError:
            raise GuardError("the guard ended before it was ready") from None
        if isinstance(answer, Failure):
            raise GuardError(answer.cause)
        return answer.backend

    def close(self) -> None:
        """End it; safe to call again."""
        self.channel.close()
        if self.pid:
            os.close(self._word)
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)
            os.waitpid(self.pid, 0)
            os.close(self.pidfd)
            self.pid = 0


def _become(
    channel: socket.socket,
    word: int,
    network: int,
    user: int | None,
    uid: int | None,
    parent: int,
    nic: Nic | None,
) -> NoReturn:
    """In the forked child: be the guard. Never returns."""
    try:
        os.setsid()  # signals of the operator's terminal are for the agent
        null = os.open("/dev/null", os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(null, descriptor)
        keep = (0, 1, 2, channel.fileno(), word, network, *(() if user is None else (user,)))
        namespaces.close_all_but(keep)
        namespaces.die_with_parent(signal.SIGKILL, parent)
        namespaces.enter(network, user)
        try:
            watch = _Watch(channel)
            backend = install(rootless=user is not None, nic=nic)
            _confine(uid, parent)
        except Exception as error:  # noqa: BLE001 - whatever it is, the supervisor is told
            os.write(word, msgspec.msgpack.encode(Failure(f"{error}" or type(error).__name__)))
            os._exit(1)
        os.close(network)
        if user is not None:
            os.close(user)
        os.write(word, msgspec.msgpack.encode(Ready(backend)))
        os.close(word)
        watch.run()
        os._exit(0)
    except BaseException:  # noqa: BLE001 - a forked child must not unwind
        os._exit(1)


def install(*, rootless: bool, nic: Nic | None = None) -> str:
    """Add the rules that show packets to the queue of this namespace; returns the backend.

    The native statement where the kernel has it, else the xtables target, which iptables-nft
    reaches through the same netlink interface.

    Raises:
        GuardError: neither works.
    """
    if rootless:
        namespaces.keep_over_exec(namespaces.CAP_NET_ADMIN)
    entries = (nft.PROCESS,) if nic is None else nft.guest_entries(nic.link)
    faults: list[str] = []
    for copies in (True, False):
        complaint = _load("nft", ("-f", "-"), nft.notice(QUEUE, copies=copies, entries=entries))
        if not complaint:
            return NATIVE
        faults.append(f"nft: {complaint}")
    rules = nft.xtables(QUEUE, entries)
    complaint = _load("iptables-nft-restore", ("--noflush", "--wait"), rules)
    if complaint:
        raise GuardError("; ".join([*faults, f"iptables-nft: {complaint}"]))
    _load("ip6tables-nft-restore", ("--noflush", "--wait"), rules)  # without IPv6 there is no need
    for copies in (True, False):
        complaint = _load("nft", ("-f", "-"), nft.notice(None, copies=copies, entries=entries))
        if not complaint:
            return XTABLES
        faults.append(f"nft: {complaint}")
    raise GuardError("; ".join(faults))


def _load(program: str, arguments: tuple[str, ...], rules: str) -> str:
    """Feed rules to a program; returns what it complained about, or an empty text."""
    try:
        done = subprocess.run(
            [find_program(program), *arguments],
            input=rules.encode(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env={"LC_ALL": "C", "XTABLES_LOCKFILE": "/dev/null"},
            timeout=_START_SECONDS,
            check=False,
        )
    except (OSError, subprocess.SubprocessError) as error:
        return str(error)
    if done.returncode == 0:
        return ""
    return done.stderr.decode("utf-8", "replace").strip().partition("\n")[0] or "no message"


def _confine(uid: int | None, parent: int) -> None:
    """Become `uid` with CAP_NET_ADMIN alone, for good."""
    from netns import seccomp

    admin = 1 << namespaces.CAP_NET_ADMIN
    os.chdir("/")
    namespaces.drop_bounding_set(keep=admin)
    if uid is not None:
        namespaces.prctl(namespaces.Prctl.SET_KEEPCAPS, 1)
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
    namespaces.prctl(namespaces.Prctl.CAP_AMBIENT, namespaces.AMBIENT_CLEAR_ALL)
    namespaces.set_capabilities(admin, admin, 0)
    namespaces.no_new_privileges()
    # After the change of user, which clears it (prctl(2)).
    namespaces.die_with_parent(signal.SIGKILL, parent)
    seccomp.load(seccomp.Profile.GUARD)


class _Watch:
    """The queue, the thread that names what was in it, and the channel.

    The interceptor says on the channel when the agent comes (what was before is our own self-test)
    and when it has gone; then what waits is named, and the guard ends.

    A packet goes on to its refusal before it is named: the sender learns at once, also while Scapy
    is being imported.
    """

    def __init__(self, channel: socket.socket) -> None:
        from netfilterqueue import COPY_PACKET, NetfilterQueue

        self._channel = channel
        self._waiting: deque[bytes] = deque(maxlen=_WAITING)
        self._news = threading.Semaphore(0)
        self._agent = False
        self._ending = False
        self._queue = NetfilterQueue()
        self._queue.bind(QUEUE, self._packet, _WAITING, COPY_PACKET, _COPIED)

    def run(self) -> None:
        """Name packets until the interceptor has gone."""
        threading.Thread(target=self._name, daemon=True).start()
        poll = select.poll()
        poll.register(self._queue.get_fd(), select.POLLIN)
        poll.register(self._channel, select.POLLHUP | select.POLLIN)
        while True:
            for descriptor, _ in poll.poll():
                if descriptor == self._channel.fileno():
                    word = self._channel.recv(16)
                    if not word:
                        return  # the interceptor has ended
                    self._agent = True
                    if word == END:
                        self._ending = True
                        self._news.release()
                    continue
                try:
                    self._queue.run(block=False)
                except OSError as error:
                    # Packets came faster than they were read: the kernel let them go on.
                    if error.errno != errno.ENOBUFS:
                        raise

    def _packet(self, packet: Packet) -> None:
        if self._agent:
            self._waiting.append(packet.get_payload())
            self._news.release()
        packet.accept()  # on to the rule that refuses it, or drops the copy

    def _name(self) -> None:
        while True:
            self._news.acquire()
            try:
                raw = self._waiting.popleft()
            except IndexError:
                if self._ending:
                    os._exit(0)
                continue  # the oldest made room for a newer one
            try:
                self._channel.send(msgspec.msgpack.encode(describe(raw)))
            except OSError:
                os._exit(0)  # the interceptor has gone
