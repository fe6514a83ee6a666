"""The QUIC listener's sockets: datagrams of the captive namespace, refused from outside it.

A refusal goes out after its record was written, or without one if it cannot be written: what the
agent gets is the same, and nothing can follow from it. The listener takes a bounded share of the
worker's time, whatever the agent sends; what it does not read, the kernel drops.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from interceptor.flow.quic_flow import QuicFlow, Send
from interceptor.flow.quic_refusals import Peer
from interceptor.flow.steps import Record
from interceptor.flow.windows import Note
from interceptor.model import Origin
from interceptor.serve.datagrams import answer_from, prepare, received
from interceptor.wire.quic import LARGEST

BATCH: Final = 32
"""Datagrams taken per wake-up, so that other flows of the worker get their turn."""
SHARE: Final = 0.1
"""Part of the worker's time that the listener may take in the long run."""
BURST: Final = 0.05
"""Seconds of it that it may take at once: some hundreds of connections."""

WriteRecord = Callable[[Record, Origin], None]


class QuicServer:
    """Refuses one jail's QUIC on bound UDP sockets until it is closed.

    The sockets stay the caller's, who closes them after the server. Times given to the flow are
    `loop.time()`.
    """

    def __init__(
        self,
        sockets: Sequence[tuple[socket.socket, int]],
        flow: QuicFlow,
        write_record: WriteRecord,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        """`sockets` come with the port that agents dial to reach them."""
        self.answered = 0
        """Refusals given."""
        self.failed = 0
        """Refusals that the kernel did not take."""
        self.pauses = 0
        """Times that the share was used up."""
        self._flow = flow
        self._write_record = write_record
        self._loop = loop
        self._sockets = {(sock.family, port): sock for sock, port in sockets}
        self._buffer = bytearray(LARGEST + 1)  # one more than is read shows what was cut off
        self._left = BURST  # seconds of work
        self._counted = loop.time()
        self._timer: asyncio.TimerHandle | None = None
        self._due = float("inf")
        self._pause: asyncio.TimerHandle | None = None
        for sock in self._sockets.values():
            prepare(sock)
        self._listen()

    def close(self) -> None:
        """Stop serving at once, and record what was only counted; safe to call again."""
        for sock in self._sockets.values():
            self._loop.remove_reader(sock)
        self._carry_out(self._flow.finish())
        for handle in (self._timer, self._pause):
            if handle is not None:
                handle.cancel()

    def _listen(self) -> None:
        self._pause = None
        for (_, port), sock in self._sockets.items():
            self._loop.add_reader(sock, self._readable, sock, port)

    def _readable(self, sock: socket.socket, port: int) -> None:
        self._work(((sock, port),))
        self._set_timer()

    def _work(self, sockets: Iterable[tuple[socket.socket, int]], *, timer: bool = False) -> None:
        """Read sockets, then let the flow's timer run; all of it at the share's expense."""
        begin = self._loop.time()
        self._left = min(BURST, self._left + (begin - self._counted) * SHARE)
        try:
            for sock, port in sockets:
                self._read(sock, port, begin)
            if timer:
                self._carry_out(self._flow.timer(begin))
        finally:
            self._counted = end = self._loop.time()
            self._left -= end - begin
            if self._left <= 0 and self._pause is None:
                self._rest()

    def _rest(self) -> None:
        """Read nothing until half of a burst is there again."""
        self.pauses += 1
        for sock in self._sockets.values():
            self._loop.remove_reader(sock)
        self._pause = self._loop.call_later((BURST / 2 - self._left) / SHARE, self._listen)

    def _read(self, sock: socket.socket, port: int, now: float) -> None:
        for data, address, interface, source in received(sock, self._buffer, BATCH):
            if address:
                peer = Peer(source, address, port, interface)
                self._carry_out(self._flow.datagram(data, peer, now))

    def _carry_out(self, steps: Iterable[Note | Send]) -> None:
        for step in steps:
            if isinstance(step, Note):
                # The evidence counts what it could not write; a refusal needs no permission.
                with contextlib.suppress(Exception):
                    self._write_record(step.record, step.origin)
                continue
            peer = step.peer
            family = socket.AF_INET6 if ":" in peer.address else socket.AF_INET
            try:
                self._sockets[family, peer.port].sendmsg(
                    [step.data], answer_from(peer.address, peer.interface), 0, peer.source
                )
            except OSError:
                self.failed += 1  # the client has gone, or sends faster than it reads
            else:
                self.answered += 1

    def _set_timer(self) -> None:
        due = self._flow.deadline
        if due < self._due:
            if self._timer is not None:
                self._timer.cancel()
            self._due = due
            self._timer = self._loop.call_at(due, self._expired)

    def _expired(self) -> None:
        self._due = float("inf")
        self._timer = None
        # What has arrived meanwhile is read first: a hello whose rest waits in the socket is not
        # late, the worker was.
        waiting = [(sock, port) for (_, port), sock in self._sockets.items()]
        self._work(waiting if self._pause is None else (), timer=True)
        self._set_timer()
