"""What the packet guard has seen, into the evidence."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterable
from typing import Final

import msgspec

from interceptor.flow.packet_flow import PacketFlow, Seen
from interceptor.flow.steps import Record
from interceptor.flow.windows import Note
from interceptor.model import Origin
from interceptor.serve.attribution import Attribution

BATCH: Final = 16
"""Messages taken per wake-up, so that other flows of the worker get their turn."""

_NUMBERS: Final = {"tcp": socket.IPPROTO_TCP, "udp": socket.IPPROTO_UDP}
_LARGEST: Final = 16_384  # the guard hands on 2 KB of a packet's payload at most


class Sightings:
    """Reads the guard's messages until it ends; one object a jail."""

    def __init__(
        self,
        channel: socket.socket,
        flow: PacketFlow,
        write_record: Callable[[Record, Origin], None],
        loop: asyncio.AbstractEventLoop,
        attribution: Attribution | None = None,
    ) -> None:
        """Read `channel`, a sequenced-packet socket, which is closed at the end."""
        self._attribution = attribution
        self._channel = channel
        self._flow = flow
        self._write_record = write_record
        self._loop = loop
        self._decode = msgspec.msgpack.Decoder(Seen).decode
        self._timer: asyncio.TimerHandle | None = None
        self._ended = asyncio.Event()
        channel.setblocking(False)  # noqa: FBT003
        loop.add_reader(channel, self._readable)

    def begin(self) -> None:
        """Tell the guard that what it sees from now on is the agent's."""
        self._say(b"begin")

    async def drain(self, seconds: float) -> None:
        """Take what the guard has still to say; it ends then."""
        self._say(b"end")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._ended.wait()

    def _say(self, word: bytes) -> None:
        try:
            self._channel.send(word)
        except OSError:
            self._stop()  # it has ended before

    def close(self) -> None:
        """Record what was only counted, and read no more; safe to call again."""
        self._stop()
        self._note(self._flow.finish())
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _stop(self) -> None:
        if self._channel.fileno() >= 0:
            self._loop.remove_reader(self._channel)
            self._channel.close()
        self._ended.set()

    def _readable(self) -> None:
        for _ in range(BATCH):
            try:
                message = self._channel.recv(_LARGEST)
            except BlockingIOError:
                break
            except OSError:
                message = b""
            if not message:
                self._stop()  # the guard has ended; the rules go on without it
                break
            # What the guard cannot say properly is no reason to end: it saw the agent's bytes.
            with contextlib.suppress(msgspec.DecodeError):
                packet = self._decode(message)
                self._note(self._flow.seen(packet, self._loop.time()), packet)
        self._set_timer()

    def _note(self, notes: Iterable[Note], packet: Seen | None = None) -> None:
        for note in notes:
            # The evidence counts what it could not write; the packet is refused in any case.
            with contextlib.suppress(Exception):
                self._write_record(note.record, note.origin)
            if self._attribution is not None and packet is not None and packet.port:
                number = _NUMBERS.get(packet.protocol)
                if number is not None:
                    source = (packet.source, packet.source_port)
                    self._attribution.ask(
                        note.origin.flow, number, source, packet.address, packet.port
                    )

    def _set_timer(self) -> None:
        due = self._flow.deadline
        if self._timer is None and due < float("inf"):
            self._timer = self._loop.call_at(due, self._expired)

    def _expired(self) -> None:
        self._timer = None
        self._note(self._flow.timer(self._loop.time()))
        self._set_timer()
