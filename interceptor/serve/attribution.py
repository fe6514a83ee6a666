"""Asking the witness who has opened a connection, beside the event loop's path.

A question is one message to a process of its own (`netns.witness`); the answer comes while the
client still shakes hands. Nothing waits for it: a decision that was written before is followed by a
`process` event.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any, Final

import msgspec

BATCH: Final = 64
"""Answers taken per wake-up."""

PATIENCE: Final = 0.25
"""Seconds that a connection waits for its program's name where the policy asks for it."""

_LARGEST: Final = 65_536


class Asked(msgspec.Struct, frozen=True, array_like=True):
    """`netns.witness.Asked`; a test holds the two equal."""

    flow: str
    protocol: int
    source: bytes
    source_port: int
    address: bytes
    port: int


class Process(msgspec.Struct, frozen=True):
    """`netns.witness.Process`: who has opened a flow, not masked yet."""

    pid: int
    executable: str
    arguments: tuple[str, ...] = ()
    folder: str = ""
    parents: tuple[str, ...] = ()


class Answer(msgspec.Struct, frozen=True):
    """`netns.witness.Answer`."""

    flow: str
    process: Process | None


class Attribution:
    """The interceptor's end of the witness's channel; one object a jail."""

    def __init__(
        self,
        channel: socket.socket,
        loop: asyncio.AbstractEventLoop,
        found: Callable[[str, Process], None],
    ) -> None:
        """Call `found` with a flow's id and its process; `channel` is closed at the end."""
        self._channel = channel
        self._loop = loop
        self._found = found
        self._open = True
        self._wanted: dict[str, Callable[[str], None]] = {}
        self._encode = msgspec.msgpack.Encoder().encode
        self._decode = msgspec.msgpack.Decoder(Answer).decode
        channel.setblocking(False)  # noqa: FBT003
        loop.add_reader(channel, self._readable)

    def want(self, flow: str, then: Callable[[str], None]) -> None:
        """Call `then` with the path of a flow's program, or an empty text after `PATIENCE`."""
        self._wanted[flow] = then
        self._loop.call_later(PATIENCE, self._tell, flow, "")

    def _tell(self, flow: str, executable: str) -> None:
        then = self._wanted.pop(flow, None)
        if then is not None:
            then(executable)

    def ask(self, flow: str, protocol: int, source: Any, address: str, port: int) -> None:
        """Ask who owns a socket. Never raises: what cannot be asked stays unknown.

        Args:
            flow: id of the flow.
            protocol: IP protocol number.
            source: the client's socket address, as the kernel gave it.
            address: what it has dialled, address text.
            port: the port of that.
        """
        if not self._open:
            return
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        try:
            asked = Asked(
                flow,
                protocol,
                socket.inet_pton(family, source[0].partition("%")[0]),
                source[1],
                socket.inet_pton(family, address),
                port,
            )
            self._channel.send(self._encode(asked))
        except BlockingIOError:
            pass  # it has hundreds of questions before this one
        except (OSError, TypeError, IndexError):
            self.close()

    def close(self) -> None:
        """Ask no more; safe to call again."""
        if self._open:
            self._open = False
            self._loop.remove_reader(self._channel)
            self._channel.close()

    def _readable(self) -> None:
        for _ in range(BATCH):
            try:
                message = self._channel.recv(_LARGEST)
                if not message:
                    break
                answer = self._decode(message)
            except BlockingIOError:
                return
            except (OSError, msgspec.DecodeError):
                break
            if answer.process is not None:
                self._found(answer.flow, answer.process)
            self._tell(answer.flow, answer.process.executable if answer.process else "")
        else:
            return
        self.close()  # the witness has ended
