"""Frames of the gateway's socket, and the descriptors that come with them."""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from typing import Final

from interceptor.gateway.messages import LENGTH

DESCRIPTORS: Final = 8
"""Most descriptors of one frame."""


class FrameError(ValueError):
    """What came is no frame."""


def send(channel: socket.socket, data: bytes, descriptors: Sequence[int] = ()) -> None:
    """Send one frame; blocks as long as the socket's time limit.

    Raises:
        OSError: the other end is gone, or takes nothing.
    """
    head = LENGTH.pack(len(data))
    sent = socket.send_fds(channel, [head + data], descriptors)
    channel.sendall((head + data)[sent:])


class Reader:
    """Takes frames out of a stream, whichever way it is cut."""

    def __init__(self, largest: int) -> None:
        """`largest`: bytes of a frame."""
        self._largest = largest
        self._data = b""
        self._descriptors: list[int] = []

    def receive(self, channel: socket.socket) -> bool:
        """Take what is there; False at the end of the stream.

        Raises:
            OSError: nothing is there, or the other end is gone.
            FrameError: more descriptors than a frame may have.
        """
        data, descriptors, _, _ = socket.recv_fds(
            channel, 65_536, DESCRIPTORS, socket.MSG_CMSG_CLOEXEC
        )
        self._descriptors += descriptors
        if len(self._descriptors) > DESCRIPTORS:
            raise FrameError("too many descriptors")
        self._data += data
        return bool(data)

    def frame(self) -> tuple[bytes, list[int]] | None:
        """The next whole frame and its descriptors, which are the caller's then; None: not yet.

        Raises:
            FrameError: it is larger than allowed.
        """
        if len(self._data) < LENGTH.size:
            return None
        (length,) = LENGTH.unpack_from(self._data)
        if length > self._largest:
            raise FrameError(f"a frame of {length} bytes; {self._largest} are allowed")
        end = LENGTH.size + length
        if len(self._data) < end:
            return None
        frame, self._data = self._data[LENGTH.size : end], self._data[end:]
        descriptors, self._descriptors = self._descriptors, []
        return frame, descriptors

    def close(self) -> None:
        """Close descriptors that nobody has taken."""
        for descriptor in self._descriptors:
            os.close(descriptor)
        self._descriptors = []
