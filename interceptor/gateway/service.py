"""The gateway's main loop: clients, workers, signals, and the service manager's watchdog."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import socket
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from interceptor import __version__
from interceptor.gateway import frames, payloads
from interceptor.gateway.held import Held
from interceptor.gateway.heritage import Heritage
from interceptor.gateway.messages import (
    LARGEST_REQUEST,
    VERSION,
    Add,
    Answer,
    Ask,
    Done,
    Enter,
    Fault,
    Guests,
    List,
    Reload,
    Reloaded,
    Remove,
    Request,
    Served,
    State,
    WorkerState,
)
from interceptor.gateway.store import Store, StoreError
from interceptor.gateway.supervisor import RequestError, Supervisor, Surroundings
from interceptor.gateway.systemd import Notifier
from interceptor.gateway.workers import Worker, WorkerError
from interceptor.serve.gateway_worker import Shared
from netns import anyip

SOCKET_NAME: Final = "gateway.sock"
TICK: Final = 5.0
"""Seconds between two signs of life."""

_CLIENTS: Final = 64
_CLIENT_SECONDS: Final = 5.0
_API: Final = "api"
_CREDENTIALS: Final = struct.Struct("3i")  # struct ucred: pid, uid, gid (unix(7))


class Service:
    """The whole of it."""

    def __init__(
        self,
        heritage: Heritage,
        *,
        cache: Path | None,
        workers: int,
        find_secrets: payloads.FindSecrets,
        tell: Callable[[str], None],
        notifier: Notifier,
    ) -> None:
        """Start workers, and serve the guests that are there already.

        Args:
            heritage: what there is of the gateway before.
            cache: of compiled rules.
            workers: number of them.
            find_secrets: see there.
            tell: called with lines for the operator.
            notifier: to the service manager.

        Raises:
            WorkerError: one does not come up.
        """
        self._tell = tell
        self._began = time.time()
        self._notifier = notifier
        self._lock = heritage.lock
        shared = Shared(cache)
        anyip.load_messages()  # once here, not in each child that makes a namespace
        self._supervisor = Supervisor(Surroundings(shared, heritage, find_secrets, tell), workers)
        self._selector = selectors.DefaultSelector()
        self._clients: dict[socket.socket, frames.Reader] = {}
        self._watched: dict[Worker, int] = {}
        self._wake, self._woken = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        path = heritage.registry.directory / SOCKET_NAME
        self._listener = _listen(self._supervisor.store, path)
        self._supervisor.adopt()

    def serve(self) -> None:
        """Serve until SIGTERM or SIGINT; guests are offline then, and can be adopted."""
        selector = self._selector
        selector.register(self._listener, selectors.EVENT_READ, self._accept)
        selector.register(self._wake, selectors.EVENT_READ, self._signalled)
        self._ended = False
        signal.set_wakeup_fd(self._woken)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda *_: None)
        signal.signal(signal.SIGPIPE, signal.SIG_IGN)
        self._notifier.send("READY=1", f"STATUS={self._status_line()}")
        interval = min(TICK, self._notifier.watchdog / 2 or TICK)
        due = 0.0
        while not self._ended:
            now = time.monotonic()
            if now >= min(due, self._supervisor.crew.due):
                self._supervisor.tick(now)
                self._notifier.send("WATCHDOG=1", f"STATUS={self._status_line()}")
                due = now + interval
            self._watch_workers()
            wait = min(due, self._supervisor.crew.due) - time.monotonic()
            for key, _ in selector.select(max(0.0, wait)):
                key.data(key.fileobj)
        self._notifier.send("STOPPING=1")

    def close(self) -> None:
        """End the workers and close everything."""
        signal.set_wakeup_fd(-1)
        for client in list(self._clients):
            self._drop(client)
        self._listener.close()
        self._selector.close()
        self._supervisor.close()
        for descriptor in (self._wake, self._woken, self._lock):
            os.close(descriptor)

    def _status_line(self) -> str:
        held = self._supervisor.held.values()
        offline = sum(each.worker is None for each in held)
        return f"{len(held)} guests" + (f", {offline} offline" if offline else "")

    # -- workers ---------------------------------------------------------------------------------

    def _watch_workers(self) -> None:
        alive = self._supervisor.crew.alive()
        for worker in [worker for worker in self._watched if worker not in alive]:
            # Its descriptor is closed, and perhaps another's by now: the number is what counts.
            with contextlib.suppress(KeyError, ValueError, OSError):
                self._selector.unregister(self._watched[worker])
            del self._watched[worker]
        for worker in alive:
            if worker not in self._watched:
                number = self._watched[worker] = worker.control.fileno()
                self._selector.register(
                    number, selectors.EVENT_READ, lambda _, worker=worker: self._heard(worker)
                )

    def _heard(self, worker: Worker) -> None:
        if worker not in self._supervisor.crew.alive():
            return  # it was found dead meanwhile
        if not worker.has_said():
            return  # a request before this one has taken it
        try:
            worker.report()
        except WorkerError:
            self._selector.unregister(self._watched.pop(worker))
            self._supervisor.crew.lost(worker)

    # -- signals ---------------------------------------------------------------------------------

    def _signalled(self, _: object) -> None:
        with contextlib.suppress(BlockingIOError):
            for number in os.read(self._wake, 64):
                if number in (signal.SIGTERM, signal.SIGINT):
                    self._ended = True
                elif number == signal.SIGHUP:
                    micro = time.monotonic_ns() // 1000
                    self._notifier.send("RELOADING=1", f"MONOTONIC_USEC={micro}")
                    _, faults = self._supervisor.reload(())
                    for name, fault in faults:
                        self._tell(f"{name}: {fault}")
                    self._notifier.send("READY=1")

    # -- clients ---------------------------------------------------------------------------------

    def _accept(self, _: object) -> None:
        with contextlib.suppress(OSError):
            client, _ = self._listener.accept()
            credentials = client.getsockopt(
                socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size
            )
            if (
                _CREDENTIALS.unpack(credentials)[1] != os.geteuid()
                or len(self._clients) >= _CLIENTS
            ):
                client.close()
                return
            client.settimeout(_CLIENT_SECONDS)
            self._clients[client] = frames.Reader(LARGEST_REQUEST)
            self._selector.register(client, selectors.EVENT_READ, self._readable)

    def _readable(self, client: socket.socket) -> None:
        reader = self._clients[client]
        try:
            if not reader.receive(client):
                self._drop(client)
                return
            while (frame := reader.frame()) is not None:
                self._answer(client, *frame)
        except (OSError, frames.FrameError):
            self._drop(client)

    def _drop(self, client: socket.socket) -> None:
        self._selector.unregister(client)
        self._clients.pop(client).close()
        client.close()

    def _answer(self, client: socket.socket, data: bytes, descriptors: list[int]) -> None:
        answer: Answer
        handed: list[int] = []
        ours: list[int] = []
        try:
            answer = self._obey(_request(data), descriptors, handed, ours)
        except RequestError as error:
            answer = Fault(error.code, str(error))  # type: ignore[arg-type]
        finally:
            for descriptor in descriptors:
                os.close(descriptor)
        try:
            frames.send(client, msgspec.json.encode(answer), handed)
        finally:
            for descriptor in ours:
                os.close(descriptor)

    def _obey(self, ask: Ask, descriptors: list[int], handed: list[int], ours: list[int]) -> Answer:
        """Carry out a request; descriptors for the answer go to `handed`, of them `ours` once."""
        supervisor = self._supervisor
        if isinstance(ask, Add):
            process = descriptors.pop() if ask.guest.bound and descriptors else -1
            held, tap = supervisor.add(ask.guest, descriptors[0] if descriptors else -1, process)
            handed.append(held.namespace)
            if tap >= 0:
                handed.append(tap)
                ours.append(tap)
            return _served(held)
        if isinstance(ask, Enter):
            held = supervisor.known(ask.name)
            if held.namespace < 0:
                raise RequestError("setup", f"{ask.name} is offline: {held.fault}")
            handed.append(held.namespace)
            return _served(held)
        if isinstance(ask, Remove):
            supervisor.remove(ask.name)
            return Done()
        if isinstance(ask, Reload):
            changed, faults = supervisor.reload(ask.names)
            return Reloaded(tuple(changed), tuple(faults))
        if isinstance(ask, List):
            self._count()
            return Guests(tuple(h.state() for _, h in sorted(supervisor.held.items())))
        return self._state()

    def _count(self) -> None:
        """Have counts that are those of this moment, as far as workers answer."""
        for worker in self._supervisor.crew.alive():
            try:
                worker.ask()
                worker.report()
            except WorkerError:
                self._supervisor.crew.lost(worker)

    def _state(self) -> State:
        supervisor = self._supervisor
        crew = supervisor.crew
        load = [held.worker.number for held in supervisor.held.values() if held.worker is not None]
        return State(
            egressguard=__version__,
            pid=os.getpid(),
            began=self._began,
            store=supervisor.store.kind,
            guests=len(supervisor.held),
            offline=len(supervisor.held) - len(load),
            workers=tuple(
                WorkerState(
                    number, worker.pid if worker else 0, load.count(number), crew.deaths[number]
                )
                for number, worker in enumerate(crew.workers)
            ),
        )


def _served(held: Held) -> Served:
    return Served(held.guest.name, held.certificate, str(held.evidence), held.notes)


def _request(data: bytes) -> Ask:
    try:
        version = msgspec.json.decode(data, type=_Version).version
        if version != VERSION:
            cause = f"this gateway speaks version {VERSION}, not {version}"
            raise RequestError("version", cause)
        return msgspec.json.decode(data, type=Request).ask
    except msgspec.DecodeError as error:
        raise RequestError("request", str(error)) from None


class _Version(msgspec.Struct):
    version: int = VERSION


def _listen(store: Store, path: Path) -> socket.socket:
    """The API's socket: the one that was kept, whose clients wait in its queue, or a new one."""
    for descriptor in store.found.pop(_API, []):
        kept = socket.socket(fileno=descriptor)
        with contextlib.suppress(OSError):
            if path.exists() and kept.getsockname() == str(path):
                kept.settimeout(_CLIENT_SECONDS)
                return kept
        kept.close()
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    path.unlink(missing_ok=True)
    before = os.umask(0o177)
    try:
        listener.bind(str(path))
    finally:
        os.umask(before)
    listener.listen(_CLIENTS)
    listener.settimeout(_CLIENT_SECONDS)
    with contextlib.suppress(StoreError):
        store.put(_API, [listener.fileno()])
    return listener
