"""`Lab`: starts the lab, runs programs in it and asks what its internet saw."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec

from tests.lab import control, nginx, seal, world
from tests.lab.daemon import Daemon
from tests.lab.keeper_plan import Plan
from tests.lab.oracle_view import Oracle
from tests.lab.processes import Process, Traces, members, namespaces
from tests.lab.programs import ROOT, LabError, Programs, clients_environment, search_path
from tests.lab.records import Arrival, Question, Request


class Lab(Programs):
    """A sealed host and internet. Use as a context manager, as root.

    :param names: DNS answers beside `world.NAMES`
    :param keep: further directories that must stay visible (below /tmp, /run, /home, /var/log)
    :raises LabError: when it cannot be built here, or is not sealed
    """

    def __init__(
        self, *, names: Mapping[str, world.Answer] | None = None, keep: Sequence[str] = ()
    ) -> None:
        self._names = dict(names or {})
        clients = clients_environment()
        own = (str(clients),) if clients.exists() else ()
        self._keep = (str(ROOT), sys.prefix, sys.base_prefix, *own, *keep)
        self.daemons: dict[str, Daemon] = {}
        """Server programs that were started, by name: see `daemon`."""
        self._lock = threading.Lock()
        self._started = []
        self.oracle = Oracle(self._ask)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @staticmethod
    def missing() -> str:
        """Why there can be no lab here, or an empty text."""
        if os.geteuid() != 0:
            return "the lab needs root (network and mount namespaces): run with sudo"
        for kind in ("net", "pid", "mnt"):
            if not Path(f"/proc/self/ns/{kind}").exists():
                return f"the kernel lacks {kind} namespaces"
        for directory in search_path().split(":"):
            if Path(directory, "nft").exists():
                return ""
        return "nft is not installed: apt-get install nftables"

    def start(self) -> None:
        """Build, assert that it is sealed, and only then set its links up."""
        if reason := self.missing():
            raise LabError(reason)
        self._channel, theirs = socket.socketpair()
        me = os.pidfd_open(os.getpid())
        plan = Plan(theirs.fileno(), me, self._keep, self._names)
        self._keeper = subprocess.Popen(
            [sys.executable, "-m", "tests.lab.keeper", msgspec.json.encode(plan).decode()],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT), "PATH": search_path()},
            stdin=subprocess.DEVNULL,
            pass_fds=(theirs.fileno(), me),
            start_new_session=True,
        )
        theirs.close()
        os.close(me)
        self._channel.settimeout(20)
        self._first = self._host_net = self._internet_net = -1
        try:
            built, descriptors, _, _ = socket.recv_fds(self._channel, 16, 3)
            if built != b"built":
                raise EOFError  # noqa: TRY301
            self._first, self._host_net, self._internet_net = descriptors
            self.first_pid = _pid_of(self._first)
            self._pid_namespace = Path(f"/proc/{self.first_pid}/ns/pid").stat().st_ino
            self.assert_sealed()
            self._channel.sendall(b"open")
            control.receive(self._channel)
        except EOFError as error:
            self.close()
            raise LabError(
                "the lab's internet ended while it started; its error is above"
            ) from error
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End every process of the lab and wait until they are gone."""
        with contextlib.suppress(ProcessLookupError):
            self._keeper.kill()
        self._keeper.wait()
        self._channel.close()
        if self._first >= 0:
            waiter = select.poll()
            waiter.register(self._first, select.POLLIN)
            waiter.poll(10_000)
        for program in self._started:  # their end came with PID 1
            program.wait()
            for pipe in (program.stdin, program.stdout, program.stderr):
                if pipe is not None:
                    with contextlib.suppress(BrokenPipeError):  # unwritten input
                        pipe.close()
        self._started.clear()
        for descriptor in (self._first, self._host_net, self._internet_net):
            if descriptor >= 0:
                os.close(descriptor)
        self._first = self._host_net = self._internet_net = -1

    def assert_sealed(self) -> None:
        """Prove by netlink, without a packet, that no way leads out of the lab.

        :raises LabError: naming every fault
        """
        pids = frozenset(process.pid for process in self.processes())
        if found := seal.faults(self._host_net, self._internet_net, pids):
            raise LabError("the lab is not sealed: " + "; ".join(found))

    def processes(self) -> list[Process]:
        """Every process that lives in the lab, jails included, with pids that `os.kill` takes."""
        return members(self._pid_namespace)

    # What its internet saw

    def requests(self, name: str = "") -> list[Request]:
        """Requests the web servers read since the last clear; of one server name if given."""
        found = msgspec.convert(self._ask("requests"), list[Request])
        return [entry for entry in found if name in ("", entry.name or entry.field("host"))]

    def dials(self, address: str = "", port: int = 0) -> list[Arrival]:
        """Connections to daemons since the last clear; of one address or port if given."""
        found = msgspec.convert(self._ask("dials"), list[Arrival])
        return [
            entry
            for entry in found
            if address in ("", entry.destination) and port in (0, entry.port)
        ]

    def dns_log(self) -> list[Question]:
        """DNS queries the resolver read since the last clear."""
        return msgspec.convert(self._ask("questions"), list[Question])

    def clear(self) -> None:
        """Forget arrivals, dials, requests and DNS questions."""
        self._ask("clear")

    def set_name(self, name: str, answer: world.Answer) -> None:
        """Add or change a DNS name while the lab runs."""
        self._ask("name", name=name, answer=msgspec.to_builtins(answer))

    def set_page(self, name: str, kind: str, content: bytes) -> None:
        """Put content of a media type under `/served/NAME` on every site."""
        self._ask("page", name=name, kind=kind, content=content)

    def leaf(self, name: str) -> bytes:
        """Key and certificate of the lab's authority for a name, PEM."""
        return bytes(self._ask("leaf", name=name))

    def make_repository(self) -> None:
        """Make the git repository now, not with the first request for it."""
        self._ask("repository")

    def nginx(self, cpu: int = 0) -> str:
        """Start nginx as an upstream, its one worker on core `cpu`; its base URL. See `nginx`."""
        return nginx.start(self, cpu)

    def traces(self) -> Traces:
        """What is on the host now: compare before and after."""
        living = self.processes()
        listed = {"/run", "/tmp", "/home"}
        rules = self.run(["nft", "list", "ruleset"]).stdout.decode()
        network = seal.inventory(self._host_net)
        mounts = Path(f"/proc/{self.first_pid}/mountinfo").read_text("utf-8").splitlines()
        root = self.path("/")
        found = (path for top in listed for path in self.path(top).rglob("*"))
        every = ("/" + str(path.relative_to(root)) for path in found)
        files = {path for path in every if not path.startswith(self._keep)}
        return Traces(
            frozenset(process.pid for process in living),
            namespaces(living),
            tuple(mounts),
            rules,
            tuple(str(entry) for entry in (*network.links, *network.routes)),
            frozenset(files),
        )

    def _ask(self, operation: str, **values: object) -> Any:
        with self._lock:
            self._channel.sendall(control.frame({"op": operation, **values}))
            answer = control.receive(self._channel)
        if "error" in answer:
            raise LabError(f"{operation}: {answer['error']}")
        return answer["ok"]


def _pid_of(pidfd: int) -> int:
    """Pid behind a pidfd in the caller's namespace (proc(5), fdinfo)."""
    for line in Path(f"/proc/self/fdinfo/{pidfd}").read_text("ascii").splitlines():
        if line.startswith("Pid:"):
            return int(line.split()[1])
    raise LabError("the kernel shows no pid for a pidfd")
