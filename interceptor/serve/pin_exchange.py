"""Pins of tools, between the worker, which may open no file, and the supervisor with the store."""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Final

import msgspec

from interceptor.decide.mcp.pins import Pin, PinBook
from interceptor.serve.messages import PACKET, Pinned, Pins

ASK_SECONDS: Final = 2.0
"""How often approvals are asked for, while there is something that waits for one."""
_ASKED: Final = 64
_PART: Final = PACKET // 2
"""Bytes of a message but for one pin, which has fewer than that (`pins.KEPT`, `pins.NAMES`)."""
_ENCODE: Final = msgspec.json.Encoder().encode


class PinExchange:
    """The worker's side.

    What the supervisor does not read yet waits in the book, each pin once: memory is bounded.
    """

    def __init__(self, book: PinBook, control: socket.socket) -> None:
        """Begin.

        Args:
            book: of the judge; what has changed in it is told.
            control: to the supervisor, non-blocking.
        """
        self._book = book
        self._control = control
        self._packets: deque[bytes] = deque()
        self._next = 0.0

    def flush(self, now: float) -> None:
        """Tell what has changed, and ask for approvals; what cannot be sent now is sent later.

        Args:
            now: seconds of a clock that only grows.
        """
        book = self._book
        if not self._packets:
            self._packets.extend(self._changes())
            if book.waits and now >= self._next:
                self._next = now + ASK_SECONDS
                self._packets.extend(self._questions())
        try:
            while self._packets:
                self._control.send(self._packets[0])
                self._packets.popleft()
        except BlockingIOError:
            pass
        except OSError:
            self._packets.clear()  # the supervisor is gone, and with it this process

    async def finish(self, loop: asyncio.AbstractEventLoop) -> None:
        """Tell all that has changed.

        Raises:
            OSError: the supervisor is gone.
        """
        self._packets.extend(self._changes())
        while self._packets:
            await loop.sock_sendall(self._control, self._packets.popleft())

    def learn(self, told: Pins) -> None:
        """Take over what the store has."""
        for one in told.pins:
            pin = msgspec.convert(one.pin, Pin | None)
            self._book.learn(one.server, one.tool, pin)

    def _changes(self) -> Iterator[bytes]:
        book = self._book
        if not book.touched:
            return iter(())
        touched, book.touched = book.touched, {}
        return packed(
            Pinned(server, tool, book.get(server, tool), anew)
            for (server, tool), anew in touched.items()
        )

    def _questions(self) -> Iterator[bytes]:
        asked: list[Pinned] = []
        for server, tool in sorted(self._book.waits)[:_ASKED]:
            pin = self._book.get(server, tool)
            if pin is None or pin.pending is None:
                self._book.waits.discard((server, tool))
            else:
                asked.append(Pinned(server, tool, waits=pin.pending.digest))
        return packed(asked)


def packed(pins: Iterable[Pinned]) -> Iterator[bytes]:
    """Give messages of a bounded length."""
    part: list[msgspec.Raw] = []
    length = 0
    for pin in pins:
        data = _ENCODE(pin)
        if part and length + len(data) > _PART:
            yield _ENCODE({"type": "pins", "pins": part})
            part, length = [], 0
        part.append(msgspec.Raw(data))
        length += len(data)
    if part:
        yield _ENCODE({"type": "pins", "pins": part})
