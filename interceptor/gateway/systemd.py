"""What the gateway tells systemd, and what that keeps for it: sd_notify(3), sd_listen_fds(3)."""

from __future__ import annotations

import contextlib
import os
import select
import socket
from collections.abc import Mapping, MutableMapping, Sequence
from typing import Final

_FIRST: Final = 3  # SD_LISTEN_FDS_START
_BARRIER_SECONDS: Final = 5.0


class Notifier:
    """Speaks to the service manager; without one every call does nothing."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        """`environ` has NOTIFY_SOCKET and WATCHDOG_USEC where there is a service manager."""
        path = environ.get("NOTIFY_SOCKET", "")
        self._address = "\0" + path[1:] if path.startswith("@") else path
        watched = environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        micro = environ.get("WATCHDOG_USEC", "")
        self.watchdog = int(micro) / 1e6 if micro.isdigit() and watched else 0.0
        """Seconds within which a sign of life is wanted; 0: none is."""

    @property
    def present(self) -> bool:
        """Whether somebody listens."""
        return bool(self._address)

    def send(self, *lines: str, descriptors: Sequence[int] = ()) -> bool:
        """Send assignments such as `READY=1`; False where nobody listens, or it failed."""
        if not self._address:
            return False
        with (
            contextlib.suppress(OSError),
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel,
        ):
            channel.connect(self._address)
            socket.send_fds(channel, ["\n".join(lines).encode()], descriptors)
            return True
        return False

    def barrier(self) -> bool:
        """Wait until all that was sent has been read (sd_notify_barrier(3)); False if not."""
        reading, writing = os.pipe2(os.O_CLOEXEC)
        try:
            try:
                sent = self.send("BARRIER=1", descriptors=(writing,))
            finally:
                os.close(writing)
            poll = select.poll()
            poll.register(reading, 0)  # only the hang-up counts
            return sent and bool(poll.poll(_BARRIER_SECONDS * 1000))
        finally:
            os.close(reading)


def listen_fds(environ: MutableMapping[str, str]) -> dict[str, list[int]]:
    """Descriptors that the service manager has handed over, by name; the variables are removed."""
    count, pid = environ.pop("LISTEN_FDS", ""), environ.pop("LISTEN_PID", "")
    names = environ.pop("LISTEN_FDNAMES", "").split(":")
    if not count.isdigit() or pid != str(os.getpid()):
        return {}
    found: dict[str, list[int]] = {}
    for index in range(int(count)):
        descriptor = _FIRST + index
        os.set_inheritable(descriptor, False)  # noqa: FBT003
        name = names[index] if index < len(names) else "unknown"
        found.setdefault(name, []).append(descriptor)
    return found
